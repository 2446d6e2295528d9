//! A time in which nothing can be accepted, because the process or the machine has run out of open
//! files, say. It is spoken of at its beginning, once in a while, and at its end.

use std::fmt::Display;
use std::io;
use std::time::{Duration, Instant};

/// How long nothing more is said.
const SILENCE: Duration = Duration::from_secs(10);

/// How long whoever accepts rests when the process or the machine has run out of something.
pub const REST: Duration = Duration::from_millis(100);

/// Since when nothing can be accepted at one address, if that is so.
#[derive(Debug, Default)]
pub struct FailedAccepts(Option<Since>);

#[derive(Debug)]
struct Since {
    began: Instant,
    spoke: Instant,
}

impl FailedAccepts {
    /// Nothing could be accepted.
    pub fn note(&mut self, address: impl Display, error: &io::Error) {
        let now = Instant::now();
        if self.is_to_be_told(now) {
            log::error!(
                "{address}: cannot accept: {error}; what is open goes on, and new connections wait"
            );
        }
    }

    fn is_to_be_told(&mut self, now: Instant) -> bool {
        let is_new = self.0.is_none();
        let since = self.0.get_or_insert(Since {
            began: now,
            spoke: now,
        });
        let is_due = is_new || now.duration_since(since.spoke) >= SILENCE;
        if is_due {
            since.spoke = now;
        }
        is_due
    }

    /// Something could.
    pub fn end(&mut self, address: impl Display) {
        if let Some(since) = self.0.take() {
            let took = since.began.elapsed().as_secs_f64();
            log::info!("{address}: accepts again, after {took:.1} s");
        }
    }
}

/// Whether it only concerns a client that is gone again.
pub fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_its_beginning_and_once_in_a_while() {
        let (mut failed, began) = (FailedAccepts::default(), Instant::now());
        let told: Vec<u64> = (0..250)
            .map(|tenths| tenths * 100)
            .filter(|millis| failed.is_to_be_told(began + Duration::from_millis(*millis)))
            .collect();
        assert_eq!(told, [0, 10_000, 20_000]);
    }
}
