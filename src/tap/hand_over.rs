//! Where the two halves of a tunnel meet, and are handed over to it.
//!
//! The target's tap leaves its socket here, right after the 101, and the exchange what opens the
//! tunnel. The client's tap fetches both once the 101 has gone out.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::stream::{End, TargetStream};
use crate::tunnel::Opening;

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
        self.halves().target = Some(target);
    }

    /// What opens the tunnel once the 101 has gone out to the client.
    pub fn bring_opening(&self, opening: Opening) {
        self.halves().opening = Some(opening);
    }

    /// Both halves; once, when both are there.
    pub(super) fn meet(&self) -> Option<(Opening, End<TargetStream>)> {
        let mut halves = self.halves();
        if halves.opening.is_none() || halves.target.is_none() {
            return None;
        }
        self.is_done.store(true, Relaxed);
        halves.opening.take().zip(halves.target.take())
    }

    /// Ends the waiting: nothing will be handed over any more. Returns the opening, if it was
    /// brought and not fetched.
    pub fn part(&self) -> Option<Opening> {
        std::mem::take(&mut *self.halves()).opening
    }

    /// Whether both halves have been fetched.
    pub(super) fn is_done(&self) -> bool {
        self.is_done.load(Relaxed)
    }

    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
