//! What others may know of an open tunnel, and do to it, while its relay runs.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::AcqRel, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant as Moment};

use futures_util::task::AtomicWaker;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray as _};
use tokio::time::Instant;

use crate::target_address::TargetAddress;
use crate::telemetry::{Client, CloseReason};

const CUT: u8 = u8::MAX;
/// The relay is to be frozen.
const ASKED: u8 = 1;
/// The relay is over.
const OVER: u8 = 2;

/// Which tunnel it is.
#[derive(Debug)]
pub struct Identity {
    /// The `trackingId` of its exchange.
    pub id: String,
    /// The forwarding rule that accepted it.
    pub forwarding_rule: Arc<str>,
    /// The target group that it goes to.
    pub target_group: Arc<str>,
    /// The target.
    pub target: TargetAddress,
    /// The client.
    pub client: Client,
    /// The request target, secrets redacted.
    pub uri: Arc<str>,
}

/// What we say when we end a tunnel (RFC 6455 section 5.5.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Farewell {
    /// The Close frame's code.
    pub code: u16,
    /// Its text, at most 123 bytes.
    pub text: Box<str>,
}

/// Why a tunnel is in a process that has handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Stay {
    /// Its turn has not come, or the other process has no files for it.
    Waiting,
    /// Its end is under way.
    Closing,
    /// It is a stream of HTTP/2.
    Http2,
    /// rustls speaks its TLS.
    Tls,
}

impl Stay {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// An open tunnel, seen from outside its relay.
#[derive(Debug)]
pub struct Handle {
    /// Which one it is.
    pub identity: Identity,
    /// Since when it is open.
    pub opened: Instant,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    frames_in: AtomicU64,
    frames_out: AtomicU64,
    /// Milliseconds from `opened` to the last byte.
    last_activity: AtomicU64,
    /// 0, or one more than the discriminant of the reason to end it, or [`CUT`].
    order: AtomicU8,
    /// [`ASKED`] and [`OVER`].
    relay_is: AtomicU8,
    /// Whether its client's socket is its alone.
    pub is_movable: bool,
    /// A [`Stay`]: why it could not be frozen.
    stays: AtomicU8,
    /// What to say where it is killed.
    last_words: OnceLock<Box<Farewell>>,
    relay: AtomicWaker,
}

impl Handle {
    pub(super) fn new(identity: Identity, is_movable: bool) -> Self {
        Handle::since(Moment::now(), identity, is_movable)
    }

    /// A tunnel that has been open since then.
    pub(super) fn since(opened: Moment, identity: Identity, is_movable: bool) -> Self {
        Handle {
            identity,
            is_movable,
            opened: Instant::from_std(opened),
            relay_is: AtomicU8::new(0),
            stays: AtomicU8::new(Stay::Waiting as u8),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            frames_in: AtomicU64::new(0),
            frames_out: AtomicU64::new(0),
            last_activity: AtomicU64::new(0),
            order: AtomicU8::new(0),
            last_words: OnceLock::new(),
            relay: AtomicWaker::new(),
        }
    }

    /// Bytes from the client, and bytes to it.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes_in.load(Relaxed), self.bytes_out.load(Relaxed))
    }

    /// Whole frames from the client, and to it.
    pub fn frames(&self) -> (u64, u64) {
        (self.frames_in.load(Relaxed), self.frames_out.load(Relaxed))
    }

    /// How long nothing has moved in either direction.
    pub fn idle(&self) -> Duration {
        let active = Duration::from_millis(self.last_activity.load(Relaxed));
        self.opened.elapsed().saturating_sub(active)
    }

    /// Why it is here still, where this process has handed over.
    pub fn stays(&self) -> Stay {
        match self.stays.load(Relaxed) {
            _ if self.is_ending() => Stay::Closing,
            _ if !self.is_movable => Stay::Http2,
            stays if stays == Stay::Closing as u8 => Stay::Closing,
            stays if stays == Stay::Tls as u8 => Stay::Tls,
            _ => Stay::Waiting,
        }
    }

    /// It could not be frozen, and why.
    pub(super) fn note_stays(&self, stays: Stay) {
        self.stays.store(stays as u8, Relaxed);
    }

    /// Whether somebody has ordered its end.
    pub fn is_ending(&self) -> bool {
        self.order.load(Relaxed) != 0
    }

    /// Has the relay end the tunnel: with a Close frame to both sides where the framing allows it.
    /// The first reason counts.
    pub fn end(&self, reason: CloseReason) {
        let order = reason as u8 + 1;
        self.order.compare_exchange(0, order, Relaxed, Relaxed).ok();
        self.wake();
    }

    /// Its end was ordered in another process, where it was killed with these words.
    pub(super) fn order_again(&self, reason: CloseReason, words: Option<Farewell>) {
        if let Some(words) = words {
            self.last_words.get_or_init(|| Box::new(words));
        }
        self.end(reason);
    }

    /// Ends the tunnel for an operator, who may choose the words.
    pub fn kill(&self, words: Option<Farewell>) {
        if let Some(words) = words {
            self.last_words.get_or_init(|| Box::new(words));
        }
        self.end(CloseReason::Killed);
    }

    /// What to say to both sides when the tunnel is ended for this reason.
    pub(super) fn farewell(&self, reason: CloseReason) -> Farewell {
        let chosen = (reason == CloseReason::Killed).then(|| self.last_words.get());
        chosen.flatten().map_or_else(
            || Farewell {
                code: reason.close_code(),
                text: Box::default(),
            },
            |words| Farewell::clone(words),
        )
    }

    /// Has the relay drop the tunnel at once, as it stands.
    pub fn cut(&self) {
        self.order.store(CUT, Relaxed);
        self.wake();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.order.load(Relaxed) == CUT
    }

    /// Asks the relay to freeze; false if it is over.
    pub(super) fn ask_to_freeze(&self) -> bool {
        let is_over = self.relay_is.fetch_or(ASKED, AcqRel) & OVER != 0;
        self.wake();
        !is_over
    }

    /// Whether the relay is asked to freeze: it is told once.
    pub(super) fn is_to_freeze(&self) -> bool {
        self.relay_is.load(Relaxed) != 0 && self.relay_is.fetch_and(!ASKED, AcqRel) & ASKED != 0
    }

    /// The relay is over; whether it is asked to freeze.
    pub(super) fn is_over(&self) -> bool {
        self.relay_is.fetch_or(OVER, AcqRel) & ASKED != 0
    }

    /// What to say where it is killed.
    pub(super) fn last_words(&self) -> Option<&Farewell> {
        self.last_words.get().map(|words| &**words)
    }

    /// Has the relay look at its clocks.
    pub(super) fn wake(&self) {
        self.relay.wake();
    }

    pub(super) fn wakes(&self, waker: &Waker) {
        self.relay.register(waker);
    }

    pub(super) fn order(&self) -> Option<CloseReason> {
        let place = self.order.load(Relaxed).checked_sub(1)?;
        CloseReason::VARIANTS.get(usize::from(place)).copied()
    }

    /// Tells how many bytes and whole frames have passed, from the client and to it.
    pub(super) fn moved(&self, bytes: (u64, u64), frames: (u64, u64), now: Moment) {
        self.bytes_in.store(bytes.0, Relaxed);
        self.bytes_out.store(bytes.1, Relaxed);
        self.frames_in.store(frames.0, Relaxed);
        self.frames_out.store(frames.1, Relaxed);
        let millis = now.duration_since(self.opened.into_std()).as_millis();
        self.last_activity
            .store(u64::try_from(millis).unwrap_or(u64::MAX), Relaxed);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::tunnel) fn handle() -> Handle {
        handle_of("1")
    }

    pub(in crate::tunnel) fn handle_of(id: &str) -> Handle {
        Handle::new(
            Identity {
                id: id.into(),
                forwarding_rule: "edge".into(),
                target_group: "chat".into(),
                target: "192.0.2.1:80".parse().unwrap(),
                client: std::net::SocketAddr::from(([192, 0, 2, 2], 80)).into(),
                uri: "/chat".into(),
            },
            true,
        )
    }

    #[test]
    fn the_first_order_counts() {
        let handle = handle();
        assert_eq!(handle.order(), None);
        handle.end(CloseReason::IdleTimeout);
        handle.end(CloseReason::Drained);
        assert_eq!(handle.order(), Some(CloseReason::IdleTimeout));
    }

    #[test]
    fn the_words_of_a_kill_are_said_for_nothing_else() {
        let handle = handle();
        let words = Farewell {
            code: 4000,
            text: "bye".into(),
        };
        handle.kill(Some(words.clone()));
        assert_eq!(handle.farewell(CloseReason::Killed), words);
        assert_eq!(handle.farewell(CloseReason::IdleTimeout).code, 1001);
    }
}
