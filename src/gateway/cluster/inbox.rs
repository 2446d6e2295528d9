//! Where the watches leave what they are told, until it is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::mpsc::Sender;

use super::resources::WATCHED;
use crate::gateway::news::{Entry, Key, News};
use crate::gateway::objects::Kind;

/// What was told, and what is known of the cluster itself.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    /// Something has come for which somebody may wait.
    progress: Condvar,
    /// A word for whoever takes it; one that waits is enough.
    changed: Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    news: News,
    /// The kinds of which it is known what there is.
    known: BTreeSet<Kind>,
    /// Why a kind cannot be read now.
    troubles: BTreeMap<&'static str, String>,
    /// The version of the API's definitions, once it has been asked for.
    bundle: Option<Option<String>>,
    /// The Secrets and ConfigMaps that were wanted when those of a kind were read last.
    fetched: BTreeMap<Kind, Arc<BTreeSet<Key>>>,
}

impl Inbox {
    pub(super) fn new(changed: Sender<()>) -> Self {
        Inbox {
            state: Mutex::default(),
            progress: Condvar::new(),
            changed,
        }
    }

    fn note(&self, note: impl FnOnce(&mut State)) {
        note(&mut self.state.lock());
        self.progress.notify_all();
        // A word that waits is enough.
        self.changed.try_send(()).ok();
    }

    /// All objects of a kind.
    pub(super) fn list(&self, kind: Kind, all: Vec<Entry>) {
        self.note(|state| {
            state.known.insert(kind);
            state.news.list(kind, all);
        });
    }

    /// One that has come or changed.
    pub(super) fn put(&self, entry: Entry) {
        self.note(|state| state.news.put(entry));
    }

    /// One that has gone.
    pub(super) fn gone(&self, key: Key) {
        self.note(|state| state.news.gone(key));
    }

    /// A kind that the server does not have.
    pub(super) fn missing(&self, kind: Kind) {
        log::info!("gateway.kubernetes: the server has no {}", kind.as_str());
        self.state.lock().troubles.remove(kind.as_str());
        self.list(kind, Vec::new());
    }

    /// Whether it is known which objects of a kind there are.
    pub(super) fn knows(&self, kind: Kind) -> bool {
        self.state.lock().known.contains(&kind)
    }

    /// A kind that may not be read: nothing new is known of it, and nobody waits for it.
    pub(super) fn forbidden(&self, kind: Kind) {
        self.note(|state| state.known.extend([kind]));
    }

    /// Why a kind cannot be read now, or that it can. Tells what is new.
    pub(super) fn trouble(&self, kind: &'static str, why: Option<String>) {
        let mut state = self.state.lock();
        let before = state.troubles.get(kind);
        match why {
            Some(why) if before == Some(&why) => {}
            Some(why) => {
                log::warn!("gateway.kubernetes: {kind}: {why}");
                state.troubles.insert(kind, why);
            }
            None if before.is_some() => {
                log::info!("gateway.kubernetes: {kind}: read again");
                state.troubles.remove(kind);
            }
            None => {}
        }
    }

    /// What cannot be read now, a line each.
    pub(super) fn troubles(&self) -> Vec<String> {
        let state = self.state.lock();
        let all = state.troubles.iter();
        all.map(|(kind, why)| format!("{kind}: {why}")).collect()
    }

    /// The version of the API's definitions.
    pub(super) fn put_bundle(&self, version: Option<String>) {
        if self.state.lock().bundle.as_ref() != Some(&version) {
            self.note(|state| state.bundle = Some(version));
        }
    }

    pub(super) fn bundle(&self) -> Option<String> {
        self.state.lock().bundle.clone().flatten()
    }

    /// Those of a kind that are among these are there, or known not to be.
    pub(super) fn put_fetched(&self, kind: Kind, wanted: Arc<BTreeSet<Key>>) {
        self.state.lock().fetched.insert(kind, wanted);
        self.progress.notify_all();
    }

    /// Takes what was told, once all kinds are known; nothing before.
    pub(super) fn take(&self) -> Option<News> {
        let mut state = self.state.lock();
        state.is_complete().then(|| mem::take(&mut state.news))
    }

    /// Waits until all kinds are known. Tells whether they are.
    pub(super) fn wait_for_all(&self, longest: Duration) -> bool {
        self.wait(longest, State::is_complete)
    }

    /// Waits until these Secrets and ConfigMaps are known. Tells whether they are.
    pub(super) fn wait_for(&self, keys: &Arc<BTreeSet<Key>>, longest: Duration) -> bool {
        let kinds = [Kind::Secret, Kind::ConfigMap];
        self.wait(longest, |state| {
            let are_read = |kind| state.fetched.get(kind) == Some(keys);
            kinds.iter().all(are_read)
        })
    }

    fn wait(&self, longest: Duration, is_there: impl Fn(&State) -> bool) -> bool {
        let end = Instant::now() + longest;
        let mut state = self.state.lock();
        while !is_there(&state) {
            if self.progress.wait_until(&mut state, end).timed_out() {
                return is_there(&state);
            }
        }
        true
    }
}

impl State {
    fn is_complete(&self) -> bool {
        self.bundle.is_some() && self.known.len() == WATCHED.len()
    }
}
