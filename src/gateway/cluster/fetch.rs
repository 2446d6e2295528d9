//! Secrets and ConfigMaps: which there are is watched, without what they hold, and those are read
//! to which something refers.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use tokio::time::{sleep, timeout};

use super::client::Clients;
use super::raw::Raw;
use super::shared::Shared;
use super::told::{status_of, told, why};
use super::watch::{Pauses, restarted};
use crate::gateway::news::Key;
use crate::gateway::objects::{Kind, Name};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Has those of a kind read that are wanted, for as long as the process lives.
pub(super) async fn fetch(shared: &Shared, clients: Clients, kind: Kind, resource: ApiResource) {
    let mut restarts = shared.restarts.subscribe();
    let mut wanted = shared.wanted.subscribe();
    let mut pauses = Pauses::default();
    let mut library = Library {
        shared,
        clients,
        kind,
        resource,
        versions: BTreeMap::new(),
        listed: BTreeMap::new(),
        is_known: false,
        given: BTreeMap::new(),
    };
    loop {
        let api: Api<PartialObjectMeta<Raw>> =
            Api::all_with(library.clients.now(), &library.resource);
        let mut events = pin!(watcher(api, watcher::Config::default()));
        let mut has_failed = false;
        loop {
            let again = async {
                match has_failed {
                    true => sleep(Duration::from_secs(1)).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                event = events.next() => match event {
                    None => break,
                    Some(Ok(event)) => if !library.take(event) {
                        continue;
                    },
                    Some(Err(error)) => {
                        library.fail(&error);
                        sleep(pauses.next()).await;
                    }
                },
                changed = wanted.changed() => if changed.is_err() {
                    return;
                },
                () = again => {}
                () = restarted(&mut restarts) => break,
            }
            let now = Arc::clone(&wanted.borrow_and_update());
            has_failed = !library.settle(&now).await;
        }
        shared.count_restart(kind);
    }
}

/// What of a kind is there, and what of it was given out.
struct Library<'a> {
    shared: &'a Shared,
    clients: Clients,
    kind: Kind,
    resource: ApiResource,
    versions: BTreeMap<Name, String>,
    /// What of a list has come.
    listed: BTreeMap<Name, String>,
    /// Whether it is known what there is, or that it may not be known.
    is_known: bool,
    given: BTreeMap<Name, String>,
}

impl Library<'_> {
    /// Takes what has happened. Tells whether it is worth a look at what is wanted.
    fn take(&mut self, event: Event<PartialObjectMeta<Raw>>) -> bool {
        let entry = |one: &PartialObjectMeta<Raw>| {
            let name = Name::new(&one.namespace().unwrap_or_default(), &one.name_any());
            (name, one.resource_version().unwrap_or_default())
        };
        match event {
            Event::Init => {
                self.listed.clear();
                return false;
            }
            Event::InitApply(one) => {
                self.listed.extend([entry(&one)]);
                return false;
            }
            Event::InitDone => {
                self.versions = std::mem::take(&mut self.listed);
                self.is_known = true;
                self.shared.inbox.trouble(self.kind.as_str(), None);
            }
            Event::Apply(one) => self.versions.extend([entry(&one)]),
            Event::Delete(one) => drop(self.versions.remove(&entry(&one).0)),
        }
        true
    }

    fn fail(&mut self, error: &watcher::Error) {
        match status_of(error) {
            Some(410) => return,
            // Nobody waits for what may not be read.
            Some(401 | 403) => self.is_known = true,
            _ => {}
        }
        let inbox = &self.shared.inbox;
        inbox.trouble(self.kind.as_str(), Some(why(error)));
    }

    /// Gives out those that are wanted, and takes back the others. Tells whether all is well.
    async fn settle(&mut self, wanted: &Arc<BTreeSet<Key>>) -> bool {
        if !self.is_known {
            return true;
        }
        let of_kind = wanted.iter().filter(|(kind, _)| *kind == self.kind);
        let names: BTreeSet<&Name> = of_kind.map(|(_, name)| name).collect();
        let is_there = |name: &Name| names.contains(name) && self.versions.contains_key(name);
        let gone: Vec<Name> = self
            .given
            .keys()
            .filter(|name| !is_there(name))
            .cloned()
            .collect();
        for name in gone {
            self.given.remove(&name);
            self.shared.inbox.gone((self.kind, name));
        }
        let mut is_well = true;
        for name in names {
            is_well &= match self.versions.get(name).cloned() {
                Some(version) if self.given.get(name) != Some(&version) => self.read(name).await,
                _ => true,
            };
        }
        self.shared.inbox.put_fetched(self.kind, Arc::clone(wanted));
        is_well
    }

    /// Reads one and gives it out.
    async fn read(&mut self, name: &Name) -> bool {
        let client = self.clients.now();
        let api: Api<Raw> = Api::namespaced_with(client, &name.namespace, &self.resource);
        let found = match timeout(PATIENCE, api.get_opt(&name.name)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return self.cannot_read(name, &told(&error)),
            Err(_) => return self.cannot_read(name, "no answer"),
        };
        // One that is gone by now is told by the watch, too.
        let Some(raw) = found else { return true };
        self.given.insert(name.clone(), raw.version().to_owned());
        if let Ok(entry) = raw.into_entry(&self.resource, self.shared.keeps_texts) {
            self.shared.inbox.put(entry);
        }
        true
    }

    fn cannot_read(&self, name: &Name, why: &str) -> bool {
        let kind = self.kind.as_str();
        log::warn!("gateway.kubernetes: {kind} {name} cannot be read: {why}");
        false
    }
}
