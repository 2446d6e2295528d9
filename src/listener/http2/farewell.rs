//! The end of a connection of HTTP/2 whose client was told to go (GOAWAY, RFC 9113 section 6.8).
//!
//! h2 waits for the client to say that it has heard of that, for however long. Here it has a
//! moment, in which streams may still come that were on their way, and once nothing is served any
//! more it has to take what it was answered.

use std::time::Duration;

use tokio::time::Instant;

/// How long streams may still be begun.
const GRACE: Duration = Duration::from_secs(1);
/// How often it is looked whether the answers have been taken.
const LOOK: Duration = Duration::from_millis(250);
/// How long the client may take none of them.
const LULL: Duration = Duration::from_secs(5);

/// A client that was told to go.
pub(super) struct Farewell {
    told: Instant,
    /// How many streams it has begun all the same.
    pub(super) late: usize,
    pub(super) next_look: Instant,
    patience: Duration,
    /// How much it had taken, and until when it has to take more.
    taken: (u64, Instant),
    /// When it must have taken all; `None` while something is served.
    pub(super) end: Option<Instant>,
}

impl Farewell {
    /// It is told now, and may have this long to take what it was answered.
    pub(super) fn now(patience: Duration) -> Self {
        let told = Instant::now();
        Farewell {
            told,
            late: 0,
            next_look: told + GRACE,
            patience,
            taken: (0, told + GRACE + LULL),
            end: None,
        }
    }

    /// Whether new streams are refused.
    pub(super) fn is_over(&self) -> bool {
        self.told.elapsed() > GRACE
    }

    /// Whether a client of which nothing is served any more, and which has been sent so much, is
    /// waited for.
    pub(super) fn waits(&mut self, written: u64) -> bool {
        let now = Instant::now();
        if written > self.taken.0 {
            self.taken = (written, now + LULL);
        }
        self.next_look = now + LOOK;
        let end = *self.end.get_or_insert(now + self.patience);
        now < end.min(self.taken.1)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_is_waited_for_as_long_as_it_takes_something_and_no_longer_than_its_patience()
    {
        let mut farewell = Farewell::now(Duration::from_secs(20));
        assert!(!farewell.is_over());
        advance(GRACE + LOOK).await;
        assert!(farewell.is_over());
        let mut waited = Duration::ZERO;
        for written in 1.. {
            if !farewell.waits(written) {
                break;
            }
            advance(LULL - LOOK).await;
            waited += LULL - LOOK;
        }
        assert_eq!(waited.as_secs(), 23);
        farewell.end = None;
        assert!(farewell.waits(1_000));
        advance(LULL).await;
        assert!(!farewell.waits(1_000));
    }
}
