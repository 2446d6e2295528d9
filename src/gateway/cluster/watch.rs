//! A watch of a kind: all of its objects, then each change, for ever.
//!
//! kube's watcher lists, watches, goes on where it was and lists anew where the server has
//! forgotten that; here are the pauses between its tries, the kinds that there are not, and the
//! word that the server was away, after which each watch begins anew.

use std::pin::pin;
use std::time::{Duration, Instant};

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
/// After how long without a failure the next one is the first again: an answer alone says little,
/// since a list may succeed each time and the watch after it never.
const WELL: Duration = Duration::from_secs(10);
/// For how long a server must say that it does not have a kind of which it had objects: while it
/// starts it may not know yet what it has.
const GONE: Duration = Duration::from_secs(3);

/// Watches a kind for as long as the process lives.
pub(super) async fn watch(shared: &Shared, clients: Clients, watched: Watched) {
    let mut restarts = shared.restarts.subscribe();
    let mut pauses = Pauses::default();
    let mut absence = Absence::default();
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
                    absence = Absence::default();
                    course.take(event);
                }
                Some(Err(error)) => {
                    let is_absent = status_of(&error) == Some(404);
                    match is_absent {
                        true => course.is_absent(&mut absence, watched.versions(), &error),
                        false => course.fail(&error),
                    }
                    sleep(pauses.next()).await;
                    if is_absent {
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
            Event::Apply(raw) => {
                let name = raw.name();
                match self.entry(raw) {
                    Some(entry) => inbox.put(entry),
                    // A list would not have it either: what it was nobody says any more.
                    None => inbox.gone((self.kind, name)),
                }
            }
            Event::Delete(raw) => {
                let entry = self.entry(raw);
                entry.into_iter().for_each(|one| inbox.gone(one.key()));
            }
        }
    }

    /// The server says that it does not have this kind, which it may have in so many versions.
    fn is_absent(&self, absence: &mut Absence, versions: usize, error: &watcher::Error) {
        let inbox = &self.shared.inbox;
        let is_known = inbox.knows(self.kind);
        if absence.is_certain {
            return;
        }
        absence.note(versions, is_known);
        if absence.is_certain {
            inbox.missing(self.kind);
        } else if is_known {
            inbox.trouble(self.kind.as_str(), Some(why(error)));
        }
    }

    fn entry(&self, raw: Raw) -> Option<Entry> {
        self.shared.note_version(raw.version());
        let name = raw.name();
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

    /// Notes why nothing is heard.
    fn fail(&self, error: &watcher::Error) {
        match status_of(error) {
            // It begins anew by itself.
            Some(410) => return,
            Some(401 | 403) => self.shared.inbox.forbidden(self.kind),
            _ => {}
        }
        let why = why(error);
        self.shared.inbox.trouble(self.kind.as_str(), Some(why));
    }
}

/// Whether a server that says so does not have a kind.
#[derive(Debug, Default)]
struct Absence {
    since: Option<Instant>,
    /// How often in a row it has said so.
    count: usize,
    is_certain: bool,
}

impl Absence {
    /// It has said so once more, of one of so many versions. Of what is not known yet it is enough
    /// to have asked for each of them.
    fn note(&mut self, versions: usize, is_known: bool) {
        self.count += 1;
        let since = *self.since.get_or_insert_with(Instant::now);
        self.is_certain = self.count >= versions && (!is_known || since.elapsed() >= GONE);
    }
}

/// How long it is until the next try: longer and longer, never long.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
    /// The end of the last pause.
    until: Instant,
}

impl Default for Pauses {
    fn default() -> Self {
        Pauses {
            next: SHORTEST_PAUSE,
            until: Instant::now(),
        }
    }
}

impl Pauses {
    /// Between half of it and all of it, so that nodes do not ask at one moment.
    pub(super) fn next(&mut self) -> Duration {
        self.next_at(Instant::now())
    }

    fn next_at(&mut self, now: Instant) -> Duration {
        if now.saturating_duration_since(self.until) >= WELL {
            self.next = SHORTEST_PAUSE;
        }
        let pause = self.next.mul_f64(0.5 + random::chance() / 2.0);
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        self.until = now + pause;
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_all_was_well_for_a_while() {
        let (mut pauses, mut now) = (Pauses::default(), Instant::now());
        for _ in 0..10 {
            now += pauses.next_at(now) + WELL / 2;
        }
        assert!(pauses.next_at(now) >= LONGEST_PAUSE / 2);
        now = pauses.until + WELL;
        assert!(pauses.next_at(now) <= SHORTEST_PAUSE);
    }

    #[test]
    fn a_kind_that_was_there_is_gone_when_that_was_said_for_a_while() {
        let said = |absence: &mut Absence, versions, is_known| {
            absence.note(versions, is_known);
            absence.is_certain
        };
        let mut absence = Absence::default();
        assert!(!said(&mut absence, 1, true));
        assert!(!said(&mut absence, 1, true));
        absence.since = Instant::now().checked_sub(GONE);
        assert!(said(&mut absence, 1, true));
        let mut absence = Absence::default();
        assert!(!said(&mut absence, 2, false));
        assert!(said(&mut absence, 2, false));
    }
}
