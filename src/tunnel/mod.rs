//! Tunnels: from the 101 to the close.
//!
//! Pingora does the handshake. Two taps stand around its streams meanwhile, the client's [`Tap`] and the target's behind the
//! [`Dialler`]; both hold back what lies beyond the heads, so that when the 101 has gone out nothing of the tunnel is in
//! Pingora's hands, and they give their sockets to a [`relay`](self). Of a plain exchange they follow the bodies, too: where
//! each ends, and how much of it is on its way. From there a tunnel is one small task. Its
//! [`Handle`] is what others know of it and reach it by; [`Tunnels`] holds all of them.

mod ending;
mod flow;
mod frames;
mod handle;
mod limits;
mod listing;
mod relay;
mod timer_wheel;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use crate::stream::{ClientStream, TargetStream};
pub use ending::{Ending, OnEnd};
pub use handle::{Farewell, Handle, Identity};
pub use limits::Limits;
pub use listing::Page;
pub(crate) use relay::End;
use relay::{Relay, Rules};
pub use timer_wheel::TimerWheel;

const SHARDS: usize = 64;

/// The open tunnels of the process.
#[derive(Debug)]
pub struct Tunnels {
    /// Their timer; somebody has to turn it.
    pub timer_wheel: Arc<TimerWheel>,
    tasks: TaskTracker,
    opened: AtomicU64,
    open: [Mutex<BTreeMap<u64, Arc<Handle>>>; SHARDS],
}

impl Tunnels {
    /// None yet. Their tasks will be in this tracker.
    pub fn new(tasks: TaskTracker) -> Self {
        Tunnels {
            timer_wheel: Arc::default(),
            tasks,
            opened: AtomicU64::new(0),
            open: std::array::from_fn(|_| Mutex::default()),
        }
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

    fn shard(&self, number: u64) -> MutexGuard<'_, BTreeMap<u64, Arc<Handle>>> {
        let place = usize::try_from(number % SHARDS as u64).unwrap_or(0);
        self.open[place]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tunnel's entry among the open ones, for as long as this is kept.
#[derive(Debug)]
struct Entry {
    tunnels: Arc<Tunnels>,
    number: u64,
}

impl Entry {
    fn add(tunnels: &Arc<Tunnels>, handle: &Arc<Handle>) -> Self {
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

/// A tunnel that is listed, and that nobody relays.
#[cfg(test)]
pub(crate) struct Listed {
    handle: Arc<Handle>,
    _entry: Entry,
}

#[cfg(test)]
impl Listed {
    /// Lists it.
    pub(crate) fn open(tunnels: &Arc<Tunnels>, identity: Identity) -> Self {
        let handle = Arc::new(Handle::new(identity));
        let _entry = Entry::add(tunnels, &handle);
        Listed { handle, _entry }
    }

    /// Why it is to end.
    pub(crate) fn order(&self) -> Option<crate::telemetry::CloseReason> {
        self.handle.order()
    }

    /// Which it is.
    pub(crate) fn identity(&self) -> &Identity {
        &self.handle.identity
    }
}

/// All that a tunnel needs to be opened, but its sockets.
pub struct Opening {
    /// Where it will be listed.
    pub tunnels: Arc<Tunnels>,
    /// Which one it is.
    pub identity: Identity,
    /// How long it may do what.
    pub limits: Limits,
    /// Whether it carries WebSocket's frames.
    pub has_frames: bool,
    /// After which silence the system probes the client as it is.
    pub client_keepalive: Duration,
    /// Called when it is over.
    pub on_end: OnEnd,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity.fmt(f)
    }
}

impl Opening {
    pub(crate) fn open(self, client: End<ClientStream>, target: End<TargetStream>) {
        let rules = Rules {
            limits: self.limits,
            has_frames: self.has_frames,
            probes_client: self.limits.keepalive != self.client_keepalive,
        };
        let handle = Arc::new(Handle::new(self.identity));
        let entry = Entry::add(&self.tunnels, &handle);
        let timer_wheel = Arc::clone(&self.tunnels.timer_wheel);
        let relay = Relay::new(
            handle,
            timer_wheel,
            rules,
            client,
            target,
            self.on_end,
            entry,
        );
        self.tunnels.tasks.spawn(relay);
    }
}
