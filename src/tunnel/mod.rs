//! Tunnels: from the 101 to the close.
//!
//! Pingora does the handshake. Two taps stand around its streams meanwhile, the client's [`Tap`] and the target's behind the
//! [`Dialler`]; both hold back what lies beyond the heads, so that when the 101 has gone out nothing of the tunnel is in
//! Pingora's hands, and they give their sockets to a [`relay`](self). Of a plain exchange they follow the bodies, too: where
//! each ends, and how much of it is on its way. From there a tunnel is one small task. Its
//! [`Handle`] is what others know of it and reach it by; [`Tunnels`] holds all of them.

mod absolute_form;
mod backlog;
mod body;
mod chunks;
mod client_stream;
mod clocks;
mod dial;
mod ending;
mod flow;
mod frames;
mod handle;
mod heads;
mod http2_heads;
mod http2_request;
mod http2_stream;
mod http2_target;
mod limits;
mod listing;
mod own_answer;
mod pace;
mod pool;
mod relay;
mod request_head;
mod silence;
mod tap;
mod target_stream;
mod target_tap;
mod trailers;
mod wire;

use crate::target_group::unix_socket::unless_unix;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio_util::task::TaskTracker;

pub use body::Framing;
pub use client_stream::ClientStream;
pub use clocks::Clocks;
pub use dial::Dialler;
pub use ending::{Ending, OnEnd};
pub use handle::{Farewell, Handle, Identity};
pub use http2_heads::joined_cookies;
pub use http2_request::Http2Request;
pub use http2_stream::Http2Stream;
pub use http2_target::{Unprocessed, WantsHttp1, is_blameless};
pub use limits::Limits;
pub use listing::Page;
pub use own_answer::{ALLOW, own_answer};
pub use pace::{Demand, Pace};
pub use pool::Pool;
use relay::{End, Relay, Rules};
pub use silence::Late;
pub use tap::{LAST_CHANCE, Tap};
pub use target_stream::TargetStream;
pub use target_tap::Purpose;
pub use trailers::are_few;
pub use wire::{ClientEnd, Phase, WIRE, Wire};

const SHARDS: usize = 64;

/// The open tunnels of the process.
#[derive(Debug)]
pub struct Tunnels {
    /// Their timer; somebody has to turn it.
    pub clocks: Arc<Clocks>,
    tasks: TaskTracker,
    opened: AtomicU64,
    open: [Mutex<BTreeMap<u64, Arc<Handle>>>; SHARDS],
}

impl Tunnels {
    /// None yet. Their tasks will be in this tracker.
    pub fn new(tasks: TaskTracker) -> Self {
        Tunnels {
            clocks: Arc::default(),
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

/// A tunnel that is listed, and that nobody relays: for tests and benches.
#[derive(Debug)]
pub struct Listed {
    handle: Arc<Handle>,
    _entry: Entry,
}

impl Listed {
    /// Lists it.
    pub fn open(tunnels: &Arc<Tunnels>, identity: Identity) -> Self {
        let handle = Arc::new(Handle::new(identity));
        let _entry = Entry::add(tunnels, &handle);
        Listed { handle, _entry }
    }

    /// Why it is to end.
    pub fn order(&self) -> Option<crate::telemetry::CloseReason> {
        self.handle.order()
    }

    /// Which it is.
    pub fn identity(&self) -> &Identity {
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
    fn open(self, client: End<ClientStream>, target: End<TargetStream>) {
        let rules = Rules {
            limits: self.limits,
            has_frames: self.has_frames,
            probes_client: self.limits.keepalive != self.client_keepalive,
        };
        let handle = Arc::new(Handle::new(self.identity));
        let entry = Entry::add(&self.tunnels, &handle);
        let clocks = Arc::clone(&self.tunnels.clocks);
        let relay = Relay::new(handle, clocks, rules, client, target, self.on_end, entry);
        self.tunnels.tasks.spawn(relay);
    }
}

/// Has the system probe a peer after some silence, and give it up when it does not answer for as long again, or takes nothing
/// for that long in all though something waits for it (TCP_USER_TIMEOUT, RFC 5482). With that option Linux no longer counts
/// the probes, so it has to be the same time. A peer on a Unix socket cannot vanish.
pub fn probe_when_silent<'a>(socket: impl Into<SockRef<'a>>, silence: Duration) -> io::Result<()> {
    let probes = TcpKeepalive::new()
        .with_time(silence)
        .with_interval(silence / 4)
        .with_retries(4);
    let socket = socket.into();
    unless_unix(socket.set_tcp_keepalive(&probes))?;
    unless_unix(socket.set_tcp_user_timeout(Some(silence * 2)))
}

/// A random number from 0 up to, but not, 1.
pub fn chance() -> f64 {
    f64::from(u32::from_ne_bytes(random())) / (f64::from(u32::MAX) + 1.0)
}

/// Four random bytes: a masking key (RFC 6455 section 5.3), or chance.
fn random() -> [u8; 4] {
    let random = uuid::Uuid::new_v4();
    let [first, second, third, fourth, ..] = *random.as_bytes();
    [first, second, third, fourth]
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_peer_is_given_up_after_twice_the_silence_however_it_is_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let stream = stream.await.unwrap();
        let silence = Duration::from_secs(40);
        probe_when_silent(&stream, silence).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), silence);
        let (every, times) = (
            socket.tcp_keepalive_interval().unwrap(),
            socket.tcp_keepalive_retries().unwrap(),
        );
        assert_eq!(every * times, silence);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(silence * 2));
    }
}
