//! Ends tunnels one after the other, so that their clients do not all come back at once.
//!
//! The idlest go first. A step at a time the open tunnels are looked at anew, so that one that has
//! opened since, or one that has come to life, is where it belongs.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::os::random::chance;
use crate::telemetry::CloseReason;
use crate::tunnel::{Handle, Tunnels};

const LONGEST_STEP: Duration = Duration::from_secs(1);
pub(super) const SHORTEST_STEP: Duration = Duration::from_millis(20);
/// In how many steps a short window is passed.
const STEPS: u32 = 20;

/// How fast tunnels are ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Over how long they are spread.
    pub(super) window: Duration,
    /// When all that are left are ended at once; not before the window is over.
    pub(super) deadline: Duration,
    /// How many are ended in a second at most, before the deadline.
    pub(super) rate: Option<u32>,
}

impl Pace {
    /// Evenly over this span, whatever the rate.
    pub(super) fn over(window: Duration) -> Self {
        Pace {
            window,
            deadline: window,
            rate: None,
        }
    }

    /// How long it is from one look at the open tunnels to the next.
    pub(super) fn step(&self) -> Duration {
        (self.window / STEPS).clamp(SHORTEST_STEP, LONGEST_STEP)
    }

    /// How many of `open` to end between now and the end of the step. `chance`, from 0 to 1,
    /// decides on the fraction of a tunnel, so that a few are spread as evenly as many.
    fn share(&self, open: usize, ended: usize, elapsed: Duration, chance: f64) -> usize {
        self.share_of(self.step(), open, ended, elapsed, chance)
    }

    /// How many of `open` to end in a step of this length, likewise.
    pub(super) fn share_of(
        &self,
        step: Duration,
        open: usize,
        ended: usize,
        elapsed: Duration,
        chance: f64,
    ) -> usize {
        let left = self.window.saturating_sub(elapsed).as_secs_f64();
        let step = step.as_secs_f64();
        let even = if left > step {
            open as f64 * step / left
        } else {
            open as f64
        };
        let allowed = self.rate.map_or(f64::MAX, |rate| {
            (elapsed.as_secs_f64() + step) * f64::from(rate) - ended as f64
        });
        (even + chance).floor().min(allowed.floor()).max(0.0) as usize
    }
}

/// Ends the tunnels that `which` is true of, for this reason. Returns at the deadline, when all
/// have been told.
pub(super) async fn end_tunnels(
    tunnels: &Tunnels,
    which: impl Fn(&Handle) -> bool,
    reason: CloseReason,
    pace: Pace,
) {
    let began = Instant::now();
    let mut ended = 0;
    while began.elapsed() < pace.deadline {
        let elapsed = began.elapsed();
        let mut open = open(tunnels, &which);
        let share = pace
            .share(open.len(), ended, elapsed, chance())
            .min(open.len());
        idlest_first(&mut open, share);
        let end_of_step = began + (elapsed + pace.step()).min(pace.deadline);
        end_within(&open[..share], end_of_step, reason).await;
        ended += share;
    }
    for tunnel in open(tunnels, &which) {
        tunnel.end(reason);
    }
}

fn open(tunnels: &Tunnels, which: impl Fn(&Handle) -> bool) -> Vec<Arc<Handle>> {
    tunnels.list_where(|tunnel| !tunnel.is_ending() && which(tunnel))
}

/// Moves the `count` idlest to the front.
fn idlest_first(open: &mut [Arc<Handle>], count: usize) {
    if (1..open.len()).contains(&count) {
        open.select_nth_unstable_by_key(count - 1, |tunnel| Reverse(tunnel.idle()));
    }
    open[..count].sort_by_cached_key(|tunnel| Reverse(tunnel.idle()));
}

/// Ends these tunnels at random moments up to `end`, and returns then.
pub(super) async fn end_within(tunnels: &[Arc<Handle>], end: Instant, reason: CloseReason) {
    spread(tunnels, end, |tunnel| tunnel.end(reason)).await;
}

/// Ends these tunnels by `how`, the idlest first, at random moments over this span.
pub async fn end_over(
    mut tunnels: Vec<Arc<Handle>>,
    span: Duration,
    how: impl Fn(&Handle) + Send + Sync,
) {
    let count = tunnels.len();
    idlest_first(&mut tunnels, count);
    spread(&tunnels, Instant::now() + span, how).await;
}

async fn spread(tunnels: &[Arc<Handle>], end: Instant, how: impl Fn(&Handle)) {
    let now = Instant::now();
    let span = end.saturating_duration_since(now);
    let mut moments: Vec<Instant> = tunnels
        .iter()
        .map(|_| now + span.mul_f64(chance()))
        .collect();
    moments.sort();
    for (tunnel, moment) in tunnels.iter().zip(moments) {
        sleep_until(moment).await;
        how(tunnel);
    }
    sleep_until(end).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many of `open` are ended in each step.
    fn shares(pace: Pace, mut open: usize, chance: impl Fn() -> f64) -> Vec<usize> {
        let (mut ended, mut elapsed, mut shares) = (0, Duration::ZERO, Vec::new());
        while elapsed < pace.deadline {
            let share = pace.share(open, ended, elapsed, chance()).min(open);
            shares.push(share);
            (ended, open) = (ended + share, open - share);
            elapsed += pace.step();
        }
        shares
    }

    #[test]
    fn tunnels_are_spread_evenly_over_the_window_and_none_is_left() {
        let pace = Pace {
            window: 20 * SECOND,
            deadline: 30 * SECOND,
            rate: None,
        };
        let shares = shares(pace, 1000, || 0.5);
        assert_eq!(shares.iter().sum::<usize>(), 1000);
        assert!(shares[..20].iter().all(|share| (49..=51).contains(share)));
        assert!(shares[20..].iter().all(|share| *share == 0));
    }

    #[test]
    fn a_rate_lowers_the_pace_up_to_the_deadline() {
        let pace = Pace {
            window: 20 * SECOND,
            deadline: 30 * SECOND,
            rate: Some(10),
        };
        assert_eq!(shares(pace, 1000, || 0.5), vec![10; 30]);
        let generous = Pace {
            rate: Some(1000),
            ..pace
        };
        assert_eq!(shares(generous, 100, || 0.5)[..4], [5, 5, 5, 5]);
    }

    #[test]
    fn a_few_tunnels_are_spread_over_the_window_too() {
        let pace = Pace::over(20 * SECOND);
        let mut early = 0;
        for _ in 0..500 {
            let shares = shares(pace, 2, chance);
            assert_eq!(shares.iter().sum::<usize>(), 2);
            early += shares[..10].iter().sum::<usize>();
        }
        assert!(
            (400..600).contains(&early),
            "{early} of 1000 in the first half"
        );
    }
}
