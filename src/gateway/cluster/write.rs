//! Writes statuses: those that are not as they should be, and only where this node leads.
//!
//! A status that is a map of conditions is applied, with a field manager of our own. The lists of a
//! route's parents and a policy's ancestors belong to all controllers together: ours are changed
//! among the others'. Either is done against the version in which the object was seen, and again
//! where that is old: a node that led, was stopped and goes on overwrites nothing of the next one.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use kube::Error;
use kube::api::{Api, ApiResource, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::client::Clients;
use super::desired::{self, Wanted};
use super::raw::Raw;
use super::resources;
use super::shared::Shared;
use super::told::told;
use crate::gateway::held::Seen;
use crate::gateway::news::Key;
use crate::gateway::objects::Kind;
use crate::gateway::report::Report;
use crate::gateway::statuses::Status;

/// Who has written it.
const MANAGER: &str = "culvert.dev/gateway";
/// The kinds whose statuses are lists that belong to all controllers.
const LISTS: [Kind; 4] = [
    Kind::HttpRoute,
    Kind::BackendTlsPolicy,
    Kind::TunnelPolicy,
    Kind::TargetPolicy,
];
/// How many are written at a time.
const AT_A_TIME: usize = 8;
/// How often a list is changed again because others have.
const TRIES: usize = 6;
/// How long a write may take: less than others wait after this node has led.
const PATIENCE: Duration = Duration::from_secs(4);
/// When what could not be written is tried again, at first and at most.
const AGAIN: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How often is looked which nodes live.
const LOOK: Duration = Duration::from_secs(1);

/// Writes statuses, again and again.
pub(super) struct Writer<'a> {
    shared: &'a Shared,
    clients: Clients,
    /// What was written last, in place of which version of the object.
    sent: HashMap<Key, (Arc<str>, Wanted)>,
    /// Why a status could not be written, as it was told.
    told: HashMap<Key, String>,
    /// What was to be told of objects that were as they should be.
    settled: HashMap<Key, Settled>,
}

/// What is told of an object, and how that was seen.
type Settled = (Option<Arc<Status>>, Arc<Seen>);

/// What came of a write.
enum Outcome {
    Written,
    Gone,
    /// It is of no use to try again as long as nothing changes.
    Refused(String),
    /// It may be tried again.
    Failed(String),
    /// Another node may lead.
    NotOurs,
}

impl Outcome {
    /// What became of a write that was answered so.
    fn of(answer: Result<(), Error>) -> Self {
        let Err(error) = answer else {
            return Outcome::Written;
        };
        match &error {
            Error::Api(status) if status.code == 404 => Outcome::Gone,
            // What may not be written now may be later; others may have been quicker.
            Error::Api(status) if matches!(status.code, 401 | 403 | 409) => {
                Outcome::Failed(told(&error))
            }
            Error::Api(status) if matches!(status.code, 400..=428) => {
                Outcome::Refused(told(&error))
            }
            _ => Outcome::Failed(told(&error)),
        }
    }

    fn word(&self) -> Option<&'static str> {
        match self {
            Outcome::Written => Some("written"),
            Outcome::Gone => Some("gone"),
            Outcome::Refused(_) => Some("refused"),
            Outcome::Failed(_) => Some("failed"),
            Outcome::NotOurs => None,
        }
    }

    fn why(&self) -> Option<&str> {
        match self {
            Outcome::Refused(why) | Outcome::Failed(why) => Some(why),
            Outcome::Written | Outcome::Gone | Outcome::NotOurs => None,
        }
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(shared: &'a Shared, clients: Clients) -> Self {
        Writer {
            shared,
            clients,
            sent: HashMap::new(),
            told: HashMap::new(),
            settled: HashMap::new(),
        }
    }

    /// Writes whatever is to be written, for as long as the process lives.
    pub(super) async fn run(&mut self) {
        let mut report = self.shared.report.subscribe();
        let mut live = Vec::new();
        let mut pause = AGAIN;
        loop {
            let now = Arc::clone(&report.borrow_and_update());
            let all_is_well = self.write(&now).await;
            pause = match all_is_well {
                true => AGAIN,
                false => (pause * 2).min(LONGEST_PAUSE),
            };
            let mut again = pin!(sleep(pause));
            loop {
                let standing = &self.shared.standing;
                tokio::select! {
                    _ = report.changed() => break,
                    () = standing.changed.notified() => break,
                    () = &mut again, if !all_is_well => break,
                    () = sleep(LOOK) => {
                        let silent = standing.silent_for(super::standing::LEASE);
                        if silent != live {
                            live = silent;
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Tells whether nothing is left that is to be tried again.
    async fn write(&mut self, report: &Report) -> bool {
        if !self.shared.standing.is_leader() {
            self.sent.clear();
            self.told.clear();
            self.settled.clear();
            return true;
        }
        self.sent.retain(|key, _| report.seen.contains_key(key));
        self.told.retain(|key, _| report.seen.contains_key(key));
        self.settled.retain(|key, _| report.seen.contains_key(key));
        let writes = self.writes(report);
        let writer = &*self;
        let writes = writes.into_iter().map(|(key, seen, wanted)| async move {
            let outcome = writer.put(report, &key, &seen, &wanted).await;
            (key, seen, wanted, outcome)
        });
        let done: Vec<_> = stream::iter(writes)
            .buffer_unordered(AT_A_TIME)
            .collect()
            .await;
        let mut all_is_well = true;
        for (key, seen, wanted, outcome) in done {
            self.tell(&key, outcome.why());
            match outcome {
                Outcome::Failed(_) | Outcome::NotOurs => all_is_well = false,
                Outcome::Written | Outcome::Gone | Outcome::Refused(_) => {
                    self.sent.insert(key, (Arc::clone(&seen.version), wanted));
                }
            }
        }
        all_is_well
    }

    /// What is to be written, in place of what.
    fn writes(&mut self, report: &Report) -> Vec<(Key, Arc<Seen>, Wanted)> {
        let mut writes = Vec::new();
        for key in keys(report) {
            let Some(seen) = report.seen.get(&key) else {
                continue;
            };
            let status = report.statuses.0.get(&key);
            if self.is_settled(&key, status, seen) {
                continue;
            }
            let Some(wanted) = self.wanted(report, &key, seen) else {
                let settled = (status.map(Arc::clone), Arc::clone(seen));
                self.settled.insert(key, settled);
                continue;
            };
            let sent = self.sent.get(&key);
            let is_sent = sent
                .is_some_and(|(version, sent)| *version == seen.version && wanted.is_like(sent));
            if !is_sent {
                writes.push((key, Arc::clone(seen), wanted));
            }
        }
        writes
    }

    /// Whether an object was as it should be, and nothing has changed since. What is told of a
    /// Gateway depends on other nodes, too.
    fn is_settled(&self, key: &Key, status: Option<&Arc<Status>>, seen: &Arc<Seen>) -> bool {
        let is_same = |(before, at): &Settled| {
            let before = before.as_ref().map(Arc::as_ptr);
            before == status.map(Arc::as_ptr) && Arc::ptr_eq(at, seen)
        };
        key.0 != Kind::Gateway && self.settled.get(key).is_some_and(is_same)
    }

    /// Tells why a status could not be written, once.
    fn tell(&mut self, key: &Key, why: Option<&str>) {
        let Some(why) = why else {
            self.told.remove(key);
            return;
        };
        if self.told.get(key).is_none_or(|told| told != why) {
            let (kind, name) = (key.0.as_str(), &key.1);
            log::warn!("gateway.kubernetes: status of {kind} {name}: {why}");
            self.told.insert(key.clone(), why.to_owned());
        }
    }

    /// What an object is to be told, if it is not as it should be.
    fn wanted(&self, report: &Report, key: &Key, seen: &Seen) -> Option<Wanted> {
        self.wanted_of(report, key, seen.status.as_ref())
    }

    fn wanted_of(&self, report: &Report, key: &Key, now: Option<&Value>) -> Option<Wanted> {
        let controller = &self.shared.controller;
        let (kind, name) = key;
        let mut status = report.statuses.of(*kind, name).cloned();
        if let (Some(status), Some(form)) = (&mut status, report.gateways.get(name))
            && *kind == Kind::Gateway
        {
            let standing = &self.shared.standing;
            let (missing, addresses) = standing.of_gateway(&form.uid, form.generation);
            desired::wait_for(status, &missing);
            desired::with_addresses(status, addresses);
        }
        desired::wanted(*kind, status.as_ref(), now, controller)
    }

    async fn put(&self, report: &Report, key: &Key, seen: &Seen, wanted: &Wanted) -> Outcome {
        let Some(resource) = resources::of_kind(key.0) else {
            return Outcome::Gone;
        };
        let put = self.replace(report, &resource, key, &seen.version, wanted);
        let outcome = match timeout(PATIENCE, put).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Failed("no answer".to_owned()),
        };
        if let Some(word) = outcome.word() {
            self.shared.count_write(key.0, word);
        }
        outcome
    }

    /// Writes in place of a version of the object, and again in place of a newer one.
    async fn replace(
        &self,
        report: &Report,
        of: &ApiResource,
        key: &Key,
        version: &str,
        wanted: &Wanted,
    ) -> Outcome {
        let api = self.api(of, key);
        let (mut version, mut wanted) = (version.to_owned(), Cow::Borrowed(wanted));
        let mut tries = 0;
        loop {
            // What came before may have taken long. Where another node leads and has written, the
            // version is an old one.
            if !self.shared.standing.is_leader() {
                return Outcome::NotOurs;
            }
            match patch(&api, of, key, &version, &wanted).await {
                Err(Error::Api(status)) if status.code == 409 && tries < TRIES => tries += 1,
                answer => return Outcome::of(answer),
            }
            let now = match api.get_opt(&key.1.name).await {
                Ok(Some(now)) => now,
                Ok(None) => return Outcome::Gone,
                Err(error) => return Outcome::of(Err(error)),
            };
            let Some(again) = self.wanted_of(report, key, now.value.get("status")) else {
                return Outcome::Written;
            };
            (version, wanted) = (now.version().to_owned(), Cow::Owned(again));
        }
    }

    fn api(&self, of: &ApiResource, key: &Key) -> Api<Raw> {
        let client = self.clients.now();
        match key.0.has_namespaces() {
            true => Api::namespaced_with(client, &key.1.namespace, of),
            false => Api::all_with(client, of),
        }
    }
}

/// Writes what is wanted in place of this version of the object.
async fn patch(
    api: &Api<Raw>,
    of: &ApiResource,
    key: &Key,
    version: &str,
    wanted: &Wanted,
) -> Result<(), Error> {
    let name = &*key.1.name;
    let (params, patch) = match wanted {
        Wanted::Applied(status) => {
            let object = json!({
                "apiVersion": of.api_version,
                "kind": of.kind,
                "metadata": {"name": name, "resourceVersion": version},
                "status": status,
            });
            (PatchParams::apply(MANAGER).force(), Patch::Apply(object))
        }
        Wanted::Listed(list) => {
            let change = json!({"metadata": {"resourceVersion": version}, "status": list});
            let params = PatchParams {
                field_manager: Some(MANAGER.to_owned()),
                ..PatchParams::default()
            };
            (params, Patch::Merge(change))
        }
    };
    api.patch_status(name, &params, &patch).await.map(drop)
}

/// The objects that have a status of ours, or may have one that is not to be.
fn keys(report: &Report) -> BTreeSet<Key> {
    let told = report.statuses.0.keys().cloned();
    let lists = report.seen.iter().filter(|((kind, _), seen)| {
        let has_lists = LISTS.contains(kind);
        has_lists && seen.status.is_some()
    });
    told.chain(lists.map(|(key, _)| key.clone())).collect()
}
