//! The open tunnels of the process, and who has asked for which of them to be frozen.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::frozen::Frozen;
use super::handle::{Handle, Identity};
use super::shards::{Entry, SHARDS, Shards};
use super::timer_wheel::TimerWheel;

/// The open tunnels of the process.
#[derive(Debug)]
pub struct Tunnels {
    /// Their timer; somebody has to turn it.
    pub timer_wheel: Arc<TimerWheel>,
    pub(super) tasks: TaskTracker,
    opened: AtomicU64,
    /// What tunnels of other processes had carried there, from clients and to them.
    carried_before: [AtomicU64; 2],
    has_own_records: AtomicBool,
    pub(super) shards: Arc<Shards>,
    /// Where tunnels go that are to be frozen, by the addresses of their handles.
    asked: Mutex<HashMap<usize, oneshot::Sender<Box<Frozen>>>>,
}

impl Tunnels {
    /// An empty registry, whose tunnels will be tasks of this tracker.
    pub fn new(tasks: TaskTracker) -> Self {
        Tunnels {
            timer_wheel: Arc::default(),
            tasks,
            opened: AtomicU64::new(0),
            carried_before: Default::default(),
            has_own_records: AtomicBool::new(true),
            shards: Arc::default(),
            asked: Mutex::default(),
        }
    }

    /// Whether the TLS of those that open from now on is in records of our own.
    pub fn use_own_records(&self, are_used: bool) {
        self.has_own_records.store(are_used, Relaxed);
    }

    pub(super) fn has_own_records(&self) -> bool {
        self.has_own_records.load(Relaxed)
    }

    /// Lists a tunnel that opens.
    pub(super) fn open(&self, handle: &Arc<Handle>) -> Entry {
        self.opened.fetch_add(1, Relaxed);
        Entry::add(&self.shards, handle)
    }

    /// How many were ever opened here.
    pub fn opened(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    /// Notes what a tunnel has carried in another process, from its client and to it.
    pub fn note_carried_before(&self, bytes: [u64; 2]) {
        for (sum, bytes) in self.carried_before.iter().zip(bytes) {
            sum.fetch_add(bytes, Relaxed);
        }
    }

    /// What tunnels of other processes had carried there, from clients and to them.
    pub fn carried_before(&self) -> [u64; 2] {
        self.carried_before.each_ref().map(|sum| sum.load(Relaxed))
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
        self.shards.shard(number)
    }

    /// Asks for a tunnel to be frozen. What is received is an error where it has ended, or stays as
    /// it is.
    pub fn freeze(&self, tunnel: &Arc<Handle>) -> oneshot::Receiver<Box<Frozen>> {
        let (sender, frozen) = oneshot::channel();
        self.asked.lock().insert(place(tunnel), sender);
        if !tunnel.ask_to_freeze() {
            self.asker(tunnel);
        }
        frozen
    }

    /// Who has asked for this one to be frozen.
    pub(super) fn asker(&self, tunnel: &Arc<Handle>) -> Option<oneshot::Sender<Box<Frozen>>> {
        self.asked.lock().remove(&place(tunnel))
    }
}

fn place(tunnel: &Arc<Handle>) -> usize {
    Arc::as_ptr(tunnel) as usize
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
        let handle = Arc::new(Handle::new(identity, false));
        let _entry = tunnels.open(&handle);
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
