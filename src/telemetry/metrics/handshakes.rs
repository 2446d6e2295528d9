//! How long handshakes took, in all: what is drawn of them, without a look at their rules.

use prometheus::Histogram;
use prometheus::core::Metric as _;

/// What requests and handshakes are sorted by, in seconds.
pub(super) const REQUEST_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

const BUCKETS: usize = REQUEST_SECONDS.len() + 1;

/// How many took at most as long as each bound, and how many there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Handshakes([u64; BUCKETS]);

impl Handshakes {
    /// Adds those of a rule.
    pub(super) fn add(&mut self, seconds: &Histogram) {
        let metric = seconds.metric();
        let buckets = metric.get_histogram().get_bucket();
        let counts = buckets.iter().map(|bucket| bucket.cumulative_count());
        let counts = counts.take(BUCKETS - 1).chain([seconds.get_sample_count()]);
        for (sum, count) in self.0.iter_mut().zip(counts) {
            *sum += count;
        }
    }

    /// Those that came after others.
    pub fn since(&self, before: &Handshakes) -> Handshakes {
        let mut new = *self;
        for (new, before) in new.0.iter_mut().zip(before.0) {
            *new = new.saturating_sub(before);
        }
        new
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0[BUCKETS - 1]
    }

    /// How many seconds this part of them took at most, as far as the bounds tell; `None` where
    /// there were none.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let wanted = part * self.count() as f64;
        if self.count() == 0 {
            return None;
        }
        let (mut below, mut least) = (0.0, 0.0);
        for (count, bound) in self.0.iter().zip(REQUEST_SECONDS) {
            let count = *count as f64;
            if count >= wanted {
                let share = (wanted - below) / (count - below).max(1.0);
                return Some(least + (bound - least) * share);
            }
            (below, least) = (count, *bound);
        }
        Some(least)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;

    #[test]
    fn the_parts_of_handshakes_are_told_from_their_bounds() {
        let metrics = Metrics::new().unwrap();
        let rules = ["a", "b"].map(|name| metrics.forwarding_rule(name));
        assert_eq!(metrics.handshakes().quantile(0.5), None);
        let before = metrics.handshakes();
        for millis in [2, 2, 2, 40] {
            rules[0].handshake(std::time::Duration::from_millis(millis));
        }
        rules[1].handshake(std::time::Duration::from_secs(100));
        let new = metrics.handshakes().since(&before);
        assert_eq!(new.count(), 5);
        let median = new.quantile(0.5).unwrap();
        assert!((0.001..=0.0025).contains(&median), "{median}");
        assert_eq!(new.quantile(0.99), Some(60.0));
        assert_eq!(new.since(&new).count(), 0);
    }
}
