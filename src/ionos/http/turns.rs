//! How much is done at a time, and how often one client may ask in a second.
//!
//! Writes are done one after the other, in the order in which they came. The counting is Pingora's,
//! in a table of fixed size.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use pingora_limits::rate::Rate;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::control::Rejection;
use crate::listener::control::Peer;

/// How many writes a client may ask for in a second.
const MOST_WRITES: isize = 500;
/// How many times in a second it may be wrong about who it is.
const MOST_GUESSES: isize = 20;
/// How many writes may wait, with the one that is done: fewer than there are connections.
const MOST_WAITING: usize = 48;
/// How many answers to reads are made at a time.
const MOST_READS: usize = 8;

/// Whose turn it is.
pub(super) struct Turns {
    writes: Rate,
    guesses: Rate,
    waiting: Arc<Semaphore>,
    write: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

/// A turn, for as long as it is kept.
pub(super) struct Turn {
    _turn: Option<OwnedSemaphorePermit>,
    _place: Option<OwnedSemaphorePermit>,
}

/// Whom counts are of: those who share a network of their own count as one.
#[derive(Hash)]
enum Whose {
    V4(u32),
    V6(u64),
    User(u32),
}

impl Turns {
    pub(super) fn new() -> Self {
        let second = Duration::from_secs(1);
        Turns {
            writes: Rate::new(second),
            guesses: Rate::new(second),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            write: Arc::new(Semaphore::new(1)),
            reads: Arc::new(Semaphore::new(MOST_READS)),
        }
    }

    /// Counts a write of this client.
    ///
    /// Errors: 429.
    pub(super) fn count_write(&self, peer: Peer) -> Result<(), Rejection> {
        match self.writes.observe(&Whose::of(peer), 1) > MOST_WRITES {
            true => Err(too_many(format!(
                "more than {MOST_WRITES} writes in a second"
            ))),
            false => Ok(()),
        }
    }

    /// Whether this client may say who it is.
    ///
    /// Errors: 429.
    pub(super) fn check_guesses(&self, peer: Peer) -> Result<(), Rejection> {
        match self.guesses.observe(&Whose::of(peer), 0) >= MOST_GUESSES {
            true => Err(too_many(
                "too many wrong credentials in a second".to_owned(),
            )),
            false => Ok(()),
        }
    }

    /// Counts that this client was wrong about who it is.
    pub(super) fn count_guess(&self, peer: Peer) {
        self.guesses.observe(&Whose::of(peer), 1);
    }

    /// Waits for the turn of a write.
    ///
    /// Errors: 429, where too many wait.
    pub(super) async fn write(&self) -> Result<Turn, Rejection> {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return Err(too_many(format!("{MOST_WAITING} writes wait already")));
        };
        // It is never closed.
        let turn = Arc::clone(&self.write).acquire_owned().await.ok();
        Ok(Turn {
            _turn: turn,
            _place: Some(place),
        })
    }

    /// Waits for the turn of a read.
    pub(super) async fn read(&self) -> Turn {
        // It is never closed.
        let turn = Arc::clone(&self.reads).acquire_owned().await.ok();
        Turn {
            _turn: turn,
            _place: None,
        }
    }
}

impl Whose {
    fn of(peer: Peer) -> Self {
        match peer {
            Peer::Tcp { peer, .. } => match peer.ip() {
                IpAddr::V4(ip) => Whose::V4(ip.to_bits()),
                IpAddr::V6(ip) => Whose::V6((ip.to_bits() >> 64) as u64),
            },
            Peer::Unix { uid, .. } => Whose::User(uid),
        }
    }
}

fn too_many(why: String) -> Rejection {
    Rejection::new(StatusCode::TOO_MANY_REQUESTS, why)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn peer(ip: &str) -> Peer {
        let local = IpAddr::from([127, 0, 0, 1]);
        let peer = std::net::SocketAddr::new(ip.parse().unwrap(), 1);
        Peer::Tcp { peer, local }
    }

    #[test]
    fn one_client_may_write_so_often_in_a_second_and_the_others_do_not_notice() {
        let turns = Turns::new();
        for _ in 0..MOST_WRITES {
            turns.count_write(peer("2001:db8::1")).unwrap();
        }
        let found = turns.count_write(peer("2001:db8::2")).unwrap_err();
        assert_eq!(found.status, 429);
        assert!(turns.count_write(peer("2001:db8:0:1::1")).is_ok());
        assert!(turns.count_write(Peer::Unix { pid: 1, uid: 2 }).is_ok());
    }

    #[test]
    fn whoever_guesses_is_not_listened_to_for_a_while() {
        let (turns, guesser) = (Turns::new(), peer("192.0.2.1"));
        for _ in 0..MOST_GUESSES {
            turns.check_guesses(guesser).unwrap();
            turns.count_guess(guesser);
        }
        assert!(turns.check_guesses(guesser).is_err());
        assert!(turns.check_guesses(peer("192.0.2.2")).is_ok());
    }

    #[tokio::test]
    async fn writes_are_done_one_after_the_other_and_only_so_many_wait() {
        let turns = Turns::new();
        let first = turns.write().await.unwrap();
        let mut waiting: Vec<_> = (1..MOST_WAITING).map(|_| Box::pin(turns.write())).collect();
        for next in &mut waiting {
            assert!(next.now_or_never().is_none());
        }
        assert_eq!(
            turns.write().await.err().map(|found| found.status.as_u16()),
            Some(429)
        );
        assert!(
            turns.read().now_or_never().is_some(),
            "reads do not wait for writes"
        );
        drop(first);
        assert!((&mut waiting[0]).now_or_never().is_some());
    }
}
