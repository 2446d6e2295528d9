//! Where the two halves of a tunnel meet, and are handed over to it.
//!
//! The target's tap leaves its socket here, right after the 101, and the exchange what opens the
//! tunnel. The client's tap fetches both once the 101 has gone out.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::stream::{End, TargetStream};
use crate::tunnel::Opening;
use parking_lot::Mutex;

/// The meeting place of one connection, whose taps and exchange share it.
#[derive(Debug, Default)]
pub struct HandOver {
    halves: Mutex<Halves>,
    is_done: AtomicBool,
}

#[derive(Debug, Default)]
struct Halves {
    target: Option<End<TargetStream>>,
    opening: Option<Opening>,
}

impl HandOver {
    /// The target's socket, right after its 101.
    pub(super) fn bring_target(&self, target: End<TargetStream>) {
        self.halves.lock().target = Some(target);
    }

    /// What opens the tunnel once the 101 has gone out to the client.
    pub fn bring_opening(&self, opening: Opening) {
        self.halves.lock().opening = Some(opening);
    }

    /// Both halves; once, when both are there.
    pub(super) fn meet(&self) -> Option<(Opening, End<TargetStream>)> {
        let mut halves = self.halves.lock();
        if halves.opening.is_none() || halves.target.is_none() {
            return None;
        }
        self.is_done.store(true, Relaxed);
        halves.opening.take().zip(halves.target.take())
    }

    /// Ends the waiting: nothing will be handed over any more. Returns the opening, if it was
    /// brought and not fetched.
    pub fn part(&self) -> Option<Opening> {
        std::mem::take(&mut *self.halves.lock()).opening
    }

    /// Whether both halves have been fetched.
    pub(super) fn is_done(&self) -> bool {
        self.is_done.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::tunnel::{Identity, Limits, Lines, Tunnels};

    fn opening() -> Opening {
        let second = Duration::from_secs(1);
        Opening {
            tunnels: Arc::new(Tunnels::new(TaskTracker::new())),
            identity: Identity {
                id: "1".into(),
                forwarding_rule: "edge".into(),
                target_group: "chat".into(),
                target: "192.0.2.1:80".parse().unwrap(),
                client: SocketAddr::from(([192, 0, 2, 2], 80)).into(),
                uri: "/chat".into(),
            },
            limits: Limits {
                idle: second,
                lifetime: None,
                lifetime_jitter: 0.0,
                half_close: second,
                close: second,
                keepalive: second,
            },
            has_frames: true,
            client_keepalive: second,
            on_end: Lines::new().on_end(),
        }
    }

    async fn target() -> End<TargetStream> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        End {
            stream: TargetStream::Plain(stream.await.unwrap()),
            early: Vec::new(),
        }
    }

    #[tokio::test]
    async fn the_halves_are_fetched_together_and_once() {
        let hand_over = HandOver::default();
        hand_over.bring_target(target().await);
        assert!(hand_over.meet().is_none() && !hand_over.is_done());
        hand_over.bring_opening(opening());
        assert!(hand_over.meet().is_some() && hand_over.is_done());
        assert!(hand_over.meet().is_none() && hand_over.part().is_none());
    }

    #[tokio::test]
    async fn an_opening_that_nobody_fetched_comes_back_and_leaves_nothing() {
        let hand_over = HandOver::default();
        hand_over.bring_target(target().await);
        hand_over.bring_opening(opening());
        assert!(hand_over.part().is_some());
        assert!(hand_over.meet().is_none() && !hand_over.is_done());
    }
}
