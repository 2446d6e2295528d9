//! How long may be waited for a target: what it may be silent, and when its try is over, whatever
//! happens.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};

/// The clocks of a try.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    /// How long the target may be silent while something is awaited from it.
    pub silence: Duration,
    /// When all must be over.
    pub deadline: Option<Deadline>,
}

/// A moment at which a try ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The moment.
    pub at: Instant,
    /// What ends with it.
    pub of: Ends,
}

/// What a deadline ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// This try.
    Attempt,
    /// The request, with all its tries.
    Request,
}

impl Deadline {
    /// How long it is until then.
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}

/// A deadline has passed.
#[derive(Debug)]
pub struct Expired(
    /// What has ended with it.
    pub Ends,
);

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is not over in time")
    }
}

impl std::error::Error for Expired {}

/// A deadline, and what wakes its task then.
#[derive(Debug)]
pub(super) struct Alarm {
    of: Ends,
    clock: Pin<Box<Sleep>>,
}

impl Alarm {
    /// The alarm of this deadline.
    pub(super) fn of(deadline: Deadline) -> Self {
        Alarm {
            of: deadline.of,
            clock: Box::pin(sleep_until(deadline.at.into())),
        }
    }

    /// Errors: the deadline has passed. Otherwise the task is woken then.
    pub(super) fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.clock.as_mut().poll(cx) {
            Poll::Ready(()) => {
                let expired = Expired(self.of);
                Err(io::Error::new(io::ErrorKind::TimedOut, expired))
            }
            Poll::Pending => Ok(()),
        }
    }
}
