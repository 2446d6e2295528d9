//! The open tunnels of the process, each with a number of its own, in shards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::{Mutex, MutexGuard};
use tokio_util::task::TaskTracker;

use super::handle::{Handle, Identity};
use super::timer_wheel::TimerWheel;

pub(super) const SHARDS: usize = 64;

/// The open tunnels of the process.
#[derive(Debug)]
pub struct Tunnels {
    /// Their timer; somebody has to turn it.
    pub timer_wheel: Arc<TimerWheel>,
    pub(super) tasks: TaskTracker,
    opened: AtomicU64,
    has_own_records: AtomicBool,
    open: [Mutex<BTreeMap<u64, Arc<Handle>>>; SHARDS],
}

impl Tunnels {
    /// An empty registry, whose tunnels will be tasks of this tracker.
    pub fn new(tasks: TaskTracker) -> Self {
        Tunnels {
            timer_wheel: Arc::default(),
            tasks,
            opened: AtomicU64::new(0),
            has_own_records: AtomicBool::new(true),
            open: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Whether the TLS of those that open from now on is in records of our own.
    pub fn use_own_records(&self, are_used: bool) {
        self.has_own_records.store(are_used, Relaxed);
    }

    pub(super) fn has_own_records(&self) -> bool {
        self.has_own_records.load(Relaxed)
    }

    /// How many were ever opened.
    pub fn opened(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    /// All that are open now.
    pub fn list(&self) -> Vec<Arc<Handle>> {
        self.list_where(|_| true)
    }

    /// All that are open now and of which this is true.
    pub fn list_where(&self, is_wanted: impl Fn(&Handle) -> bool) -> Vec<Arc<Handle>> {
        let mut list = Vec::new();
        for number in 0..SHARDS as u64 {
            let shard = self.shard(number);
            list.extend(shard.values().filter(|tunnel| is_wanted(tunnel)).cloned());
        }
        list
    }

    /// The open tunnel with this `trackingId`.
    pub fn find(&self, id: &str) -> Option<Arc<Handle>> {
        (0..SHARDS as u64).find_map(|number| {
            let shard = self.shard(number);
            shard
                .values()
                .find(|tunnel| tunnel.identity.id == id)
                .cloned()
        })
    }

    pub(super) fn shard(&self, number: u64) -> MutexGuard<'_, BTreeMap<u64, Arc<Handle>>> {
        let place = usize::try_from(number % SHARDS as u64).unwrap_or(0);
        self.open[place].lock()
    }
}

/// A tunnel's entry among the open ones, for as long as this is kept.
#[derive(Debug)]
pub(super) struct Entry {
    tunnels: Arc<Tunnels>,
    number: u64,
}

impl Entry {
    /// Lists a tunnel under the next number.
    pub(super) fn add(tunnels: &Arc<Tunnels>, handle: &Arc<Handle>) -> Self {
        let number = tunnels.opened.fetch_add(1, Relaxed);
        tunnels.shard(number).insert(number, Arc::clone(handle));
        Entry {
            tunnels: Arc::clone(tunnels),
            number,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let handle = self.tunnels.shard(self.number).remove(&self.number);
        drop(handle);
    }
}

/// A tunnel that is listed, and that nobody relays: for tests and benches.
#[derive(Debug)]
pub struct Listed {
    handle: Arc<Handle>,
    _entry: Entry,
}

impl Listed {
    /// Lists a tunnel.
    pub fn open(tunnels: &Arc<Tunnels>, identity: Identity) -> Self {
        let handle = Arc::new(Handle::new(identity));
        let _entry = Entry::add(tunnels, &handle);
        Listed { handle, _entry }
    }

    /// Why the tunnel is to end.
    pub fn order(&self) -> Option<crate::telemetry::CloseReason> {
        self.handle.order()
    }

    /// Which tunnel it is.
    pub fn identity(&self) -> &Identity {
        &self.handle.identity
    }
}
