//! Where the open tunnels are listed, each under a number of its own, in parts with a lock each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::{Mutex, MutexGuard};

use super::handle::Handle;

pub(super) const SHARDS: usize = 64;

/// All that are listed.
#[derive(Debug)]
pub(super) struct Shards {
    listed: AtomicU64,
    open: [Mutex<BTreeMap<u64, Arc<Handle>>>; SHARDS],
}

impl Shards {
    pub(super) fn shard(&self, number: u64) -> MutexGuard<'_, BTreeMap<u64, Arc<Handle>>> {
        let place = usize::try_from(number % SHARDS as u64).unwrap_or(0);
        self.open[place].lock()
    }
}

impl Default for Shards {
    fn default() -> Self {
        Shards {
            listed: AtomicU64::new(0),
            open: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

/// A tunnel's entry among the open ones, for as long as this is kept.
#[derive(Debug)]
pub(super) struct Entry {
    shards: Arc<Shards>,
    number: u64,
}

impl Entry {
    /// Lists a tunnel under the next number.
    pub(super) fn add(shards: &Arc<Shards>, handle: &Arc<Handle>) -> Self {
        let number = shards.listed.fetch_add(1, Relaxed);
        shards.shard(number).insert(number, Arc::clone(handle));
        Entry {
            shards: Arc::clone(shards),
            number,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let handle = self.shards.shard(self.number).remove(&self.number);
        drop(handle);
    }
}
