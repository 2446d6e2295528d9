//! Leases: of each node, with what it serves, and of the one that writes statuses.
//!
//! Clocks may differ: whether a lease is renewed is told by its version, from when that was seen
//! here. Whoever leads does so for less long than others wait for it.

use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt as _;
use kube::Error;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::client::Clients;
use super::echo::Echo;
use super::raw::Raw;
use super::resources::leases;
use super::shared::Shared;
use super::standing::{LEASE, OUTAGE, Served};
use super::told::told;
use super::watch::{Pauses, restarted};

/// How often a lease is renewed.
const RENEWAL: Duration = Duration::from_secs(5);
/// How long after its last renewal a leader goes on.
const LEADING: Duration = Duration::from_secs(10);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often is looked again while something is amiss.
const AGAIN: Duration = Duration::from_secs(2);
/// When the lease of a node that has gone is taken away.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// What a node serves.
const SERVES: &str = "culvert.dev/serves";
/// Whose nodes.
const CONTROLLER: &str = "culvert.dev/controller";
const MANAGER: &str = "culvert.dev/node";

/// The leases of a node.
pub(super) struct Leases<'a> {
    shared: &'a Shared,
    clients: Clients,
    /// What the leases of this controller begin with, which is the name of the leader's.
    base: String,
    /// Who this process is.
    identity: String,
    /// When it has become that.
    since: String,
    /// The version of the leader's lease, and when it was first seen.
    observed: (String, Instant),
    /// Since when the server has not answered.
    away_since: Option<Instant>,
    echo: Echo,
}

impl<'a> Leases<'a> {
    pub(super) fn new(shared: &'a Shared, clients: Clients) -> Self {
        let settings = &shared.settings;
        Leases {
            clients,
            base: base(&shared.controller),
            identity: format!("{}/{}", settings.node, Uuid::new_v4()),
            since: now(),
            observed: (String::new(), Instant::now()),
            away_since: None,
            echo: Echo::default(),
            shared,
        }
    }

    /// Keeps them for as long as this process is the node, and gives them back then.
    pub(super) async fn keep(&mut self) {
        let mut report = self.shared.report.subscribe();
        while !self.shared.retired.is_cancelled() {
            let asked = Instant::now();
            let renewed = self.renew().await;
            self.note(asked, renewed);
            let seen = self.shared.standing.version_of(&self.shared.settings.node);
            let is_missed = self.echo.is_missed(seen);
            if is_missed || !self.shared.standing.is_available() {
                self.clients.renew(&self.shared.settings.access).await;
            }
            if is_missed {
                log::info!("gateway.kubernetes: nothing comes on the streams: they begin anew");
                self.restart();
            }
            let pause = match self.shared.standing.is_available() {
                true => RENEWAL,
                false => AGAIN,
            };
            tokio::select! {
                () = sleep(pause) => {}
                _ = report.changed() => {}
                () = self.shared.retired.cancelled() => {}
            }
        }
        self.give_back().await;
    }

    fn api(&self) -> Api<Raw> {
        let namespace = &self.shared.settings.namespace;
        Api::namespaced_with(self.clients.now(), namespace, &leases())
    }

    async fn renew(&mut self) -> Result<(), Error> {
        // Nobody waits for a node that does not know yet what there is to serve.
        if self.shared.report.borrow().is_known {
            self.renew_own().await?;
        }
        let asked = Instant::now();
        let leads = self.elect().await?;
        self.lead(leads.then(|| asked + LEADING));
        if leads {
            self.forget_others().await;
        }
        Ok(())
    }

    fn lead(&self, until: Option<Instant>) {
        let standing = &self.shared.standing;
        if standing.lead(until) {
            match standing.is_leader() {
                true => log::info!("gateway.kubernetes: this node writes the statuses"),
                false => log::info!("gateway.kubernetes: another node writes the statuses"),
            }
        }
        self.shared.show();
    }

    /// Notes whether the server answers.
    fn note(&mut self, asked: Instant, renewed: Result<(), Error>) {
        let standing = &self.shared.standing;
        let why = renewed.err();
        // One that refuses has answered.
        let is_away = why
            .as_ref()
            .is_some_and(|error| !matches!(error, Error::Api(_)));
        self.shared
            .inbox
            .trouble("Lease", why.as_ref().map(|error| told(error)));
        match (is_away, self.away_since) {
            (true, None) => self.away_since = Some(asked),
            (false, Some(since)) => {
                self.away_since = None;
                if since.elapsed() >= OUTAGE {
                    log::info!("gateway.kubernetes: the server answers again");
                    self.restart();
                }
            }
            _ => {}
        }
        standing.put_available(!is_away);
        if why.is_some() && !standing.is_leader() {
            standing.lead(None);
        }
        self.shared.show();
    }

    /// Lets all watches begin anew.
    fn restart(&mut self) {
        self.echo = Echo::default();
        self.shared.restarts.send_modify(|number| *number += 1);
    }

    /// The node's own lease.
    async fn renew_own(&mut self) -> Result<(), Error> {
        let name = format!("{}.{}", self.base, self.shared.settings.node);
        let served = self.served();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "labels": {CONTROLLER: self.base},
                "annotations": {SERVES: json!(served).to_string()},
            },
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": LEASE.as_secs(),
                "acquireTime": self.since,
                "renewTime": now(),
            },
        });
        let params = PatchParams::apply(MANAGER).force();
        let lease = Patch::Apply(lease);
        let written = answer(self.api().patch(&name, &params, &lease)).await?;
        self.echo.written(written.version());
        Ok(())
    }

    /// What this node serves.
    fn served(&self) -> Served {
        let report = self.shared.report.borrow();
        let gateways = report.gateways.values().filter(|_| report.is_served);
        let all = gateways.map(|form| {
            let addresses = form.addresses.iter().map(ToString::to_string);
            (form.uid.to_string(), (form.generation, addresses.collect()))
        });
        all.collect()
    }

    /// Tells whether this process leads, or does from now on.
    async fn elect(&mut self) -> Result<bool, Error> {
        let lease = answer(self.api().get_opt(&self.base)).await?;
        if !self.shared.report.borrow().is_known {
            return Ok(false);
        }
        let Some(lease) = lease else {
            // Whoever had it may not know yet that it has gone.
            let (seen, at) = &self.observed;
            if !self.shared.standing.is_leader() && !seen.is_empty() && at.elapsed() < LEASE {
                return Ok(false);
            }
            let lease = Raw::new(self.leading(None, 0));
            let made = answer(self.api().create(&PostParams::default(), &lease)).await;
            return won(made);
        };
        if self.observed.0 != lease.version() {
            self.observed = (lease.version().to_owned(), Instant::now());
        }
        let holder = lease.text("/spec/holderIdentity");
        let is_ours = holder == self.identity;
        let is_free = holder.is_empty() || self.observed.1.elapsed() >= LEASE;
        if !is_ours && !is_free {
            return Ok(false);
        }
        let transitions = lease.value.pointer("/spec/leaseTransitions");
        let transitions = transitions.and_then(Value::as_i64).unwrap_or(0);
        let mut taken = self.leading(Some(&lease), transitions + i64::from(!is_ours));
        if is_ours {
            taken["spec"]["acquireTime"] = lease.text("/spec/acquireTime").into();
        }
        let taken = Raw::new(taken);
        won(answer(
            self.api()
                .replace(&self.base, &PostParams::default(), &taken),
        )
        .await)
    }

    /// The leader's lease with this process as its holder, in the place of another version.
    fn leading(&self, before: Option<&Raw>, transitions: i64) -> Value {
        let mut lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.base},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": LEASE.as_secs(),
                "acquireTime": now(),
                "renewTime": now(),
                "leaseTransitions": transitions.min(i64::from(i32::MAX)),
            },
        });
        if let Some(before) = before {
            lease["metadata"]["resourceVersion"] = before.version().into();
        }
        lease
    }

    /// Takes the leases of nodes away that have not been heard of for long.
    async fn forget_others(&self) {
        for node in self.shared.standing.silent_for(FORGOTTEN) {
            let name = format!("{}.{node}", self.base);
            // It is tried again.
            answer(self.api().delete(&name, &DeleteParams::default()))
                .await
                .ok();
        }
    }

    /// Lets others lead at once, and wait no longer for this node.
    async fn give_back(&mut self) {
        let was_leader = self.shared.standing.is_leader();
        self.shared.standing.lead(None);
        // What cannot be given back runs out.
        if was_leader
            && let Ok(Some(lease)) = answer(self.api().get_opt(&self.base)).await
            && lease.text("/spec/holderIdentity") == self.identity
        {
            let mut free = self.leading(Some(&lease), 0);
            free["spec"]["holderIdentity"] = "".into();
            free["spec"]["leaseTransitions"] = lease.value["spec"]["leaseTransitions"].clone();
            let free = Raw::new(free);
            answer(
                self.api()
                    .replace(&self.base, &PostParams::default(), &free),
            )
            .await
            .ok();
        }
        let own = format!("{}.{}", self.base, self.shared.settings.node);
        // The process after this one may have it already.
        if let Ok(Some(lease)) = answer(self.api().get_opt(&own)).await
            && lease.text("/spec/holderIdentity") == self.identity
        {
            answer(self.api().delete(&own, &DeleteParams::default()))
                .await
                .ok();
        }
    }
}

/// Follows the leases of all nodes.
pub(super) async fn follow_nodes(shared: &Shared, clients: Clients) {
    let mut restarts = shared.restarts.subscribe();
    let mut pauses = Pauses::default();
    let base = base(&shared.controller);
    let begin = format!("{base}.");
    let settings = &shared.settings;
    loop {
        let api: Api<Raw> = Api::namespaced_with(clients.now(), &settings.namespace, &leases());
        let config = watcher::Config::default().labels(&format!("{CONTROLLER}={base}"));
        let mut events = pin!(watcher(api, config));
        let mut listed = Vec::new();
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = restarted(&mut restarts) => break,
            };
            let node = |raw: &Raw| {
                raw.text("/metadata/name")
                    .strip_prefix(&begin)
                    .map(str::to_owned)
            };
            match event {
                None => break,
                Some(Ok(Event::Init)) => listed.clear(),
                Some(Ok(Event::InitDone)) => {
                    shared
                        .standing
                        .keep(|node| listed.iter().any(|one| one == node));
                }
                Some(Ok(Event::InitApply(raw))) => {
                    listed.extend(node(&raw));
                    saw(shared, node(&raw), &raw);
                }
                Some(Ok(Event::Apply(raw))) => saw(shared, node(&raw), &raw),
                Some(Ok(Event::Delete(raw))) => {
                    node(&raw)
                        .into_iter()
                        .for_each(|node| shared.standing.lost(&node));
                }
                Some(Err(_)) => sleep(pauses.next()).await,
            }
        }
    }
}

fn saw(shared: &Shared, node: Option<String>, lease: &Raw) {
    let Some(node) = node else { return };
    let annotations = lease.value.pointer("/metadata/annotations");
    let text = annotations
        .and_then(|all| all.get(SERVES))
        .and_then(Value::as_str);
    let served = text.and_then(|text| serde_json::from_str(text).ok());
    let served: Served = served.unwrap_or_default();
    shared.standing.saw(&node, lease.version(), served);
}

/// Whoever was quicker has it.
fn won(written: Result<Raw, Error>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is answered in time.
async fn answer<T>(asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(late) => Err(Error::Service(Box::new(late))),
    }
}

/// What the names of a controller's leases begin with; a label may have it, too.
fn base(controller: &str) -> String {
    let good = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || c == '.' => c,
        _ => '-',
    };
    let name: String = controller.chars().map(good).take(63).collect();
    let parts = name.split('.').map(|part| part.trim_matches('-'));
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join(".")
}

fn now() -> String {
    humantime::format_rfc3339_micros(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_leases_may_be_names() {
        assert_eq!(base("culvert.dev/gateway"), "culvert.dev-gateway");
        assert_eq!(base("a.b/C~d/."), "a.b-c-d");
        assert!(base(&"a.".repeat(100)).len() <= 63);
    }
}
