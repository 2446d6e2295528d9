//! Who the nodes are, what each serves, and which of them writes statuses.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// How long a lease holds from the last time it was seen to be renewed.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// After an outage of this length, from the first question without an answer, the watches begin
/// anew: their connections may be dead.
pub(super) const OUTAGE: Duration = Duration::from_secs(4);

/// What a node serves: for the `uid` of each Gateway its generation, and its addresses there.
pub(super) type Served = BTreeMap<String, (i64, Vec<String>)>;

/// A node as its lease has it.
#[derive(Debug, Clone)]
struct Node {
    /// The version of the lease, and when it was first seen here: clocks may differ.
    version: String,
    seen: Instant,
    served: Served,
}

/// Who the nodes are, and what this one is among them.
#[derive(Debug, Default)]
pub(super) struct Standing {
    nodes: Mutex<BTreeMap<String, Node>>,
    /// Until when this node may write statuses.
    leads_until: Mutex<Option<Instant>>,
    is_available: AtomicBool,
    /// Something of it has changed.
    pub(super) changed: Notify,
}

impl Standing {
    /// Whether this node writes statuses.
    pub(super) fn is_leader(&self) -> bool {
        let until = *self.leads_until.lock();
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Until when it does; `None` where it does not. Tells whether that is new.
    pub(super) fn lead(&self, until: Option<Instant>) -> bool {
        let was_leader = self.is_leader();
        *self.leads_until.lock() = until;
        let is_new = was_leader != self.is_leader();
        if is_new {
            self.changed.notify_one();
        }
        is_new
    }

    /// The version of a node's lease that was seen last, where servers number them.
    pub(super) fn version_of(&self, node: &str) -> Option<u64> {
        self.nodes.lock().get(node)?.version.parse().ok()
    }

    /// Whether the server answers.
    pub(super) fn is_available(&self) -> bool {
        self.is_available.load(Relaxed)
    }

    /// Tells whether that is new.
    pub(super) fn put_available(&self, is_available: bool) -> bool {
        self.is_available.swap(is_available, Relaxed) != is_available
    }

    /// The lease of a node.
    pub(super) fn saw(&self, node: &str, version: &str, served: Served) {
        let mut nodes = self.nodes.lock();
        let known = nodes.get(node);
        if known.is_some_and(|known| known.version == version) {
            return;
        }
        let is_new = known.is_none_or(|known| known.served != served);
        let seen = Instant::now();
        let version = version.to_owned();
        nodes.insert(
            node.to_owned(),
            Node {
                version,
                seen,
                served,
            },
        );
        if is_new {
            self.changed.notify_one();
        }
    }

    /// A node has gone.
    pub(super) fn lost(&self, node: &str) {
        if self.nodes.lock().remove(node).is_some() {
            self.changed.notify_one();
        }
    }

    /// No others than these nodes are there.
    pub(super) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.nodes.lock().retain(|node, _| is_there(node));
        self.changed.notify_one();
    }

    /// The nodes that live but do not serve this generation of a Gateway; and the addresses at
    /// those that do.
    pub(super) fn of_gateway(&self, uid: &str, generation: i64) -> (Vec<String>, Vec<String>) {
        let (mut missing, mut addresses) = (Vec::new(), Vec::new());
        let nodes = self.nodes.lock();
        let live = nodes.iter().filter(|(_, node)| node.seen.elapsed() < LEASE);
        for (name, node) in live {
            match node.served.get(uid) {
                Some((served, at)) if *served == generation => addresses.extend(at.iter().cloned()),
                _ => missing.push(name.clone()),
            }
        }
        (missing, addresses)
    }

    /// The nodes whose leases have not been renewed for this long.
    pub(super) fn silent_for(&self, longest: Duration) -> Vec<String> {
        let nodes = self.nodes.lock();
        let silent = nodes
            .iter()
            .filter(|(_, node)| node.seen.elapsed() >= longest);
        silent.map(|(name, _)| name.clone()).collect()
    }
}
