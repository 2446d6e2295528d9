//! How fast a client must send its body, or take its answer, while it is waited for.
//!
//! It must do something within the limit, and in all of the time that it is waited for it must come
//! to the minimum rate, measured over windows as long as the limit. Time in which nobody waits for
//! it does not count.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The clock of one direction.
#[derive(Debug, Default)]
pub struct Pace {
    /// Since when the client is waited for, and until when at most.
    waiting: Option<Waiting>,
    /// How long it was waited for in this window, and for how many bytes.
    waited: Duration,
    bytes: u64,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    late: Pin<Box<Sleep>>,
}

/// What a client must come to.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// How long it may do nothing, and the length of a window.
    pub limit: Duration,
    /// Bytes per second.
    pub rate: u64,
}

impl Pace {
    /// So many bytes moved.
    pub fn moved(&mut self, bytes: usize) {
        if let Some(waiting) = self.waiting.take() {
            self.waited += waiting.since.elapsed();
        }
        if !self.waited.is_zero() {
            self.bytes += bytes as u64;
        }
    }

    /// The client is waited for; ready when it has been for too long.
    pub fn poll_late(&mut self, cx: &mut Context<'_>, demand: Demand) -> Poll<()> {
        loop {
            let left = demand.limit.saturating_sub(self.waited);
            let waiting = self.waiting.get_or_insert_with(|| {
                let since = Instant::now();
                let late = Box::pin(sleep_until(since + left));
                Waiting { since, late }
            });
            ready!(waiting.late.as_mut().poll(cx));
            let present = waiting.since.elapsed();
            let is_silent = present >= demand.limit;
            let needed = (demand.rate as f64 * demand.limit.as_secs_f64()) as u64;
            if is_silent || self.bytes < needed {
                return Poll::Ready(());
            }
            // A new window, which the present wait belongs to.
            (self.waited, self.bytes) = (Duration::ZERO, 0);
            waiting.late.as_mut().reset(waiting.since + demand.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{sleep, timeout};

    use super::*;

    const DEMAND: Demand = Demand {
        limit: Duration::from_secs(10),
        rate: 100,
    };

    /// After how many seconds a client is late that moves so many bytes every so many seconds, and
    /// then stops or goes on.
    async fn late_after(every: u64, bytes: usize, times: u32) -> u64 {
        let (began, mut pace) = (Instant::now(), Pace::default());
        for _ in 0..times {
            let late = poll_fn(|cx| pace.poll_late(cx, DEMAND));
            if timeout(Duration::from_secs(every), late).await.is_ok() {
                return began.elapsed().as_secs();
            }
            pace.moved(bytes);
        }
        poll_fn(|cx| pace.poll_late(cx, DEMAND)).await;
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_nothing_is_late_at_the_limit() {
        assert_eq!(late_after(20, 0, 1).await, 10);
        assert_eq!(
            late_after(3, 5_000, 10).await,
            40,
            "ten seconds after its last"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_moves_a_byte_now_and_then_is_late_at_the_limit() {
        assert_eq!(late_after(3, 1, 1_000).await, 10);
        assert_eq!(late_after(3, 299, 1_000).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waits_does_not_count() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            let late = poll_fn(|cx| pace.poll_late(cx, DEMAND));
            assert!(timeout(Duration::from_secs(1), late).await.is_err());
            pace.moved(120);
            sleep(Duration::from_secs(60)).await;
        }
    }
}
