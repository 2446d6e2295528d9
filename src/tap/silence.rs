//! How long a target may be silent while something is awaited from it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// The target was silent for too long.
#[derive(Debug)]
pub struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the target was silent for too long")
    }
}

impl std::error::Error for Late {}

/// The clock of a target's silence.
#[derive(Debug)]
pub(super) struct Silence {
    limit: Duration,
    /// Runs while something is awaited.
    clock: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    pub(super) fn new(limit: Duration) -> Self {
        Silence { limit, clock: None }
    }

    /// The target has spoken, or it is not the target that is waited for.
    pub(super) fn end(&mut self) {
        self.clock = None;
    }

    /// The target is waited for; ready when it has been for too long.
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let limit = self.limit;
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(clock.as_mut().poll(cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, Late))
    }
}
