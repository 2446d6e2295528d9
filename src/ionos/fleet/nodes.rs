//! What each node serves, as far as this one knows, and how far a write is by that.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::super::held::Missing;
use super::super::request::Progress;
use super::keys::Node;

/// How often it is told that another node has the same name.
const AGAIN: Duration = Duration::from_secs(60);

/// All nodes that have a lease, and this one.
#[derive(Debug)]
pub(super) struct Nodes {
    /// What this one is called.
    pub(super) name: String,
    /// What this process is called.
    process: String,
    /// Its report is gone.
    is_gone: AtomicBool,
    /// When it was last told that another node has its name.
    told_at: Mutex<Option<Instant>>,
    all: Mutex<All>,
    changed: Condvar,
    /// That there is something to report.
    pub(super) told: Notify,
}

#[derive(Debug, Default)]
struct All {
    own: Option<Node>,
    others: BTreeMap<String, Node>,
}

impl Nodes {
    pub(super) fn new(name: &str) -> Self {
        Nodes {
            name: name.to_owned(),
            process: uuid::Uuid::new_v4().to_string(),
            is_gone: AtomicBool::new(false),
            told_at: Mutex::default(),
            all: Mutex::default(),
            changed: Condvar::new(),
            told: Notify::new(),
        }
    }

    /// What this one serves; `None` until it knows what there is.
    pub(super) fn own(&self) -> Option<Node> {
        self.all.lock().own.clone()
    }

    /// Notes that this one serves all up to a write, but for what is missing.
    pub(super) fn tell(&self, revision: u64, missing: Option<Missing>) {
        let mut all = self.all.lock();
        let before = all.own.as_ref().map_or(0, |own| own.serves);
        let (serves, failed) = match &missing {
            None => (revision, BTreeMap::new()),
            Some(Missing {
                writes: Some(writes),
                ..
            }) => (revision, writes.clone()),
            Some(_) => (before.min(revision.saturating_sub(1)), BTreeMap::new()),
        };
        let failure = missing.map(|missing| missing.why);
        if let Some(why) = &failure
            && all.own.as_ref().and_then(|own| own.failure.as_ref()) != Some(why)
        {
            log::error!("api: what other nodes have written is not served here: {why}");
        }
        let did_fail = all.own.as_ref().is_some_and(|own| own.failure.is_some());
        if did_fail && failure.is_none() {
            log::info!("api: what other nodes have written is served here");
        }
        all.own = Some(Node {
            serves,
            seen: revision,
            failure,
            failed,
            process: self.process.clone(),
        });
        self.changed.notify_all();
        self.told.notify_one();
    }

    /// Notes that this one serves all up to a write, and takes nothing over from what there is.
    pub(super) fn refuse(&self, revision: u64, why: String) {
        self.all.lock().own = Some(Node {
            serves: revision,
            seen: revision,
            failure: Some(why),
            failed: BTreeMap::new(),
            process: self.process.clone(),
        });
        self.changed.notify_all();
        self.told.notify_one();
    }

    /// Notes that this one no longer knows what there is.
    pub(super) fn forget_own(&self) {
        self.all.lock().own = None;
    }

    /// Those others that have seen writes.
    pub(super) fn with_objects(&self) -> Vec<String> {
        let all = self.all.lock();
        let others = all.others.iter().filter(|(_, node)| node.seen > 0);
        others.map(|(name, _)| name.clone()).collect()
    }

    /// Notes what another serves; `None`: it is gone.
    pub(super) fn hear(&self, name: String, node: Option<Node>) {
        if name == self.name {
            return self.hear_own(node);
        }
        let mut all = self.all.lock();
        match node {
            Some(node) => _ = all.others.insert(name, node),
            None => _ = all.others.remove(&name),
        }
        self.changed.notify_all();
    }

    /// Looks at what etcd has for this one.
    fn hear_own(&self, node: Option<Node>) {
        if self.own().is_none() {
            return;
        }
        let Some(node) = node else {
            self.is_gone.store(true, SeqCst);
            self.told.notify_one();
            return;
        };
        let mut told_at = self.told_at.lock();
        let is_known = told_at.is_some_and(|told| told.elapsed() < AGAIN);
        if node.process != self.process && !is_known {
            *told_at = Some(Instant::now());
            log::error!(
                "api.store.node: another process reports as {:?}, too: each node needs a name of \
                 its own",
                self.name
            );
        }
    }

    /// Whether what this one has reported is gone; once.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.swap(false, SeqCst)
    }

    /// Notes what all others serve.
    pub(super) fn hear_all(&self, nodes: impl IntoIterator<Item = (String, Node)>) {
        let others = nodes.into_iter().filter(|(name, _)| *name != self.name);
        self.all.lock().others = others.collect();
        self.changed.notify_all();
    }

    /// How far a write is.
    pub(super) fn progress(&self, revision: u64) -> Progress {
        self.all.lock().progress(&self.name, revision)
    }

    /// Waits until a write is served, or fails, but not longer than this.
    pub(super) fn wait(&self, revision: u64, most: Duration) {
        let until = Instant::now() + most;
        let mut all = self.all.lock();
        while all.progress(&self.name, revision) == Progress::Running {
            if self.changed.wait_until(&mut all, until).timed_out() {
                return;
            }
        }
    }
}

impl All {
    fn progress(&self, own: &str, revision: u64) -> Progress {
        let own = self.own.iter().map(|node| (own, node));
        let others = self.others.iter().map(|(name, node)| (name.as_str(), node));
        let mut progress = Progress::Done;
        for (name, node) in own.chain(others) {
            if let Some(why) = node.failed.get(&revision) {
                return Progress::Failed(format!("node {name}: {why}"));
            }
            if node.serves >= revision {
                continue;
            }
            if node.seen >= revision {
                let why = node.failure.as_deref().unwrap_or("it is not served");
                return Progress::Failed(format!("node {name}: {why}"));
            }
            progress = Progress::Running;
        }
        progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(serves: u64, seen: u64) -> Node {
        Node {
            serves,
            seen,
            failure: (serves < seen).then(|| "the port is taken".to_owned()),
            failed: BTreeMap::new(),
            process: "b".to_owned(),
        }
    }

    #[test]
    fn a_write_is_done_when_every_live_node_serves_it() {
        let nodes = Nodes::new("a");
        nodes.tell(5, None);
        nodes.hear("b".to_owned(), Some(node(4, 4)));
        assert_eq!(nodes.progress(4), Progress::Done);
        assert_eq!(nodes.progress(5), Progress::Running);
        nodes.hear("b".to_owned(), Some(node(4, 5)));
        let failed = Progress::Failed("node b: the port is taken".to_owned());
        assert_eq!(nodes.progress(5), failed);
        nodes.hear("b".to_owned(), Some(node(6, 6)));
        assert_eq!(nodes.progress(5), Progress::Done);
        nodes.hear("b".to_owned(), Some(node(1, 1)));
        assert_eq!(nodes.progress(5), Progress::Running);
        nodes.hear("b".to_owned(), None);
        assert_eq!(nodes.progress(5), Progress::Done);
    }

    fn missing(writes: Option<&[u64]>) -> Option<Missing> {
        let why = || "why".to_owned();
        let named = |writes: &[u64]| writes.iter().map(|write| (*write, why())).collect();
        Some(Missing {
            why: why(),
            writes: writes.map(named),
        })
    }

    #[test]
    fn only_the_writes_that_do_not_serve_are_failed() {
        let nodes = Nodes::new("a");
        nodes.tell(7, missing(Some(&[5])));
        let failed = Progress::Failed("node a: why".to_owned());
        assert_eq!(nodes.progress(5), failed);
        for served in [4, 6, 7] {
            assert_eq!(nodes.progress(served), Progress::Done, "{served}");
        }
        assert_eq!(nodes.own().unwrap().serves_all(), 4);
    }

    #[test]
    fn what_this_node_cannot_serve_is_failed_until_it_can() {
        let nodes = Nodes::new("a");
        nodes.tell(5, None);
        nodes.tell(6, missing(None));
        nodes.tell(7, missing(None));
        assert_eq!(nodes.progress(5), Progress::Done);
        let failed = Progress::Failed("node a: why".to_owned());
        assert_eq!(
            (nodes.progress(6), nodes.progress(7)),
            (failed.clone(), failed)
        );
        nodes.tell(7, None);
        assert_eq!(nodes.progress(6), Progress::Done);
        // As after a restore from a snapshot.
        nodes.tell(3, missing(None));
        assert!(matches!(nodes.progress(3), Progress::Failed(_)));
    }
}
