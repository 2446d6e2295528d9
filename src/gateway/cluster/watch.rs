//! A watch of a kind: all of its objects, then each change, for ever.
//!
//! kube's watcher lists, watches, goes on where it was and lists anew where the server has
//! forgotten that; here are the pauses between its tries, the kinds that there are not, and the
//! word that the server was away, after which each watch begins anew.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use kube::api::{Api, ApiResource};
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::watch::Receiver;
use tokio::time::sleep;

use super::client::Clients;
use super::raw::Raw;
use super::resources::Watched;
use super::shared::Shared;
use super::told::{status_of, why};
use crate::gateway::news::Entry;
use crate::gateway::objects::{Kind, NotRead};
use crate::os::random;

/// Between two tries, at first and at most. A kind that the server does not have is asked for as
/// often.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Watches a kind for as long as the process lives.
pub(super) async fn watch(shared: &Shared, clients: Clients, watched: Watched) {
    let mut restarts = shared.restarts.subscribe();
    let mut pauses = Pauses::default();
    let mut number = 0;
    loop {
        let resource = watched.resource(number);
        let api = Api::all_with(clients.now(), &resource);
        let mut events = pin!(watcher(api, watcher::Config::default()));
        let mut course = Course::new(shared, watched.kind, resource);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = restarted(&mut restarts) => break,
            };
            match event {
                None => break,
                Some(Ok(Event::Init)) => course.listed.clear(),
                Some(Ok(event)) => {
                    pauses.reset();
                    course.take(event);
                }
                Some(Err(error)) => {
                    let is_missing = course.fail(&error);
                    sleep(pauses.next()).await;
                    if is_missing {
                        number += 1;
                        break;
                    }
                }
            }
        }
        shared.count_restart(watched.kind);
    }
}

/// Returns when all watches are to begin anew.
pub(super) async fn restarted(restarts: &mut Receiver<u64>) {
    if restarts.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Where a watch is.
struct Course<'a> {
    shared: &'a Shared,
    kind: Kind,
    resource: ApiResource,
    /// What of a list has come.
    listed: Vec<Entry>,
}

impl<'a> Course<'a> {
    fn new(shared: &'a Shared, kind: Kind, resource: ApiResource) -> Self {
        Course {
            shared,
            kind,
            resource,
            listed: Vec::new(),
        }
    }

    /// Takes what has happened.
    fn take(&mut self, event: Event<Raw>) {
        let inbox = &self.shared.inbox;
        match event {
            Event::Init => {}
            Event::InitApply(raw) => self.listed.extend(self.entry(raw)),
            Event::InitDone => {
                inbox.trouble(self.kind.as_str(), None);
                inbox.list(self.kind, std::mem::take(&mut self.listed));
            }
            Event::Apply(raw) => self.entry(raw).into_iter().for_each(|one| inbox.put(one)),
            Event::Delete(raw) => {
                let entry = self.entry(raw);
                entry.into_iter().for_each(|one| inbox.gone(one.key()));
            }
        }
    }

    fn entry(&self, raw: Raw) -> Option<Entry> {
        self.shared.note_version(raw.version());
        let name = format!(
            "{}/{}",
            raw.text("/metadata/namespace"),
            raw.text("/metadata/name")
        );
        match raw.into_entry(&self.resource, self.shared.keeps_texts) {
            Ok(entry) => Some(entry),
            Err(NotRead::Other(_)) => None,
            Err(NotRead::Broken(flaw)) => {
                let kind = self.kind.as_str();
                log::warn!("gateway.kubernetes: {kind} {name} is left out: {flaw}");
                None
            }
        }
    }

    /// Tells whether the server does not have this kind in this version.
    fn fail(&self, error: &watcher::Error) -> bool {
        match status_of(error) {
            Some(404) => {
                self.shared.inbox.missing(self.kind);
                return true;
            }
            // It begins anew by itself.
            Some(410) => return false,
            Some(401 | 403) => self.shared.inbox.forbidden(self.kind),
            _ => {}
        }
        let why = why(error);
        self.shared.inbox.trouble(self.kind.as_str(), Some(why));
        false
    }
}

/// How long it is until the next try: longer and longer, never long.
#[derive(Debug)]
pub(super) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Pauses(SHORTEST_PAUSE)
    }
}

impl Pauses {
    pub(super) fn reset(&mut self) {
        self.0 = SHORTEST_PAUSE;
    }

    /// Between half of it and all of it, so that nodes do not ask at one moment.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        pause.mul_f64(0.5 + random::chance() / 2.0)
    }
}
