//! The last fifteen minutes: what happened in every five seconds of them, kept in the process, so
//! that somebody who is woken sees what has happened, and not only what is.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::Serialize;
use strum::VariantArray as _;
use utoipa::ToSchema;

use super::sample::{Counted, Errors, Sample};
use crate::telemetry::RefusalReason;
use crate::telemetry::metrics::Totals;

/// How far samples are apart, and how many are kept.
pub(super) const EVERY: Duration = Duration::from_secs(5);
pub(super) const KEPT: usize = 180;
/// How many samples are five minutes, and one.
const LATELY: usize = 60;
const MINUTE: usize = 12;

/// What is kept of the last fifteen minutes.
#[derive(Default)]
pub(super) struct History(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// How many samples there were.
    count: u64,
    samples: VecDeque<Sample>,
    /// What was counted at the last of them.
    last: Option<Counted>,
    /// The errors at each full minute of the last five.
    errors: VecDeque<Errors>,
}

/// How many requests and connections were refused for a reason.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RefusedFor {
    /// As in the metrics.
    reason: &'static str,
    /// Since the process began.
    total: u64,
    /// In the last five minutes.
    lately: u64,
    /// On average of the last minute.
    per_second: f64,
}

impl History {
    /// Keeps what was counted up to now.
    pub(super) fn take(&self, now: Counted) {
        let mut kept = self.0.lock();
        if kept.count.is_multiple_of(MINUTE as u64) {
            kept.errors.truncate(LATELY / MINUTE);
            kept.errors.push_front(now.errors.clone());
        }
        kept.count += 1;
        let Some(last) = kept.last.take() else {
            // What there was before is in the first sample.
            kept.last = Some(now.nothing_yet());
            return;
        };
        let sample = Sample::between(kept.count, &last, &now);
        kept.samples.truncate(KEPT - 1);
        kept.samples.push_front(sample);
        kept.last = Some(now);
    }

    /// How many samples there were.
    pub(super) fn count(&self) -> u64 {
        self.0.lock().count
    }

    /// Those that are kept, with a greater number and not before this time, the oldest first.
    pub(super) fn since(&self, number: u64, time: SystemTime) -> Vec<Sample> {
        let kept = self.0.lock();
        let samples = kept.samples.iter().rev();
        let is_wanted = |sample: &&Sample| sample.number > number && sample.at >= time;
        samples.filter(is_wanted).cloned().collect()
    }

    /// How many were refused, for each reason for which any were.
    pub(super) fn refused(&self, totals: &Totals) -> Vec<RefusedFor> {
        let kept = self.0.lock();
        let reasons = RefusalReason::VARIANTS.iter().copied();
        let seen = reasons.filter(|reason| totals.refused[*reason as usize] > 0);
        seen.map(|reason| kept.refused(reason, totals)).collect()
    }

    /// The errors of the rules five minutes ago; none where the process is younger.
    pub(super) fn errors_before(&self) -> Errors {
        let kept = self.0.lock();
        match kept.errors.len() > LATELY / MINUTE {
            true => kept.errors.back().cloned().unwrap_or_default(),
            false => Errors::default(),
        }
    }
}

impl Kept {
    fn refused(&self, reason: RefusalReason, totals: &Totals) -> RefusedFor {
        let total = totals.refused[reason as usize];
        let counted = |last: &Counted| last.totals.refused[reason as usize];
        // Since the last sample.
        let new = total.saturating_sub(self.last.as_ref().map_or(0, counted));
        let in_last = |count: usize| {
            let samples = self.samples.iter().take(count);
            new + samples.map(|sample| sample.refused(reason)).sum::<u64>()
        };
        let since = self.last.as_ref().map(|last| last.moment.elapsed());
        let minute = self.samples.iter().take(MINUTE);
        let seconds = minute.map(|sample| sample.seconds).sum::<f64>();
        let seconds = seconds + since.map_or(0.0, |since| since.as_secs_f64());
        RefusedFor {
            reason: reason.as_str(),
            total,
            lately: in_last(LATELY),
            per_second: in_last(MINUTE) as f64 / seconds.max(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, UNIX_EPOCH};

    use super::*;
    use crate::telemetry::metrics::Handshakes;

    fn counted(second: u64, origin: u64) -> Counted {
        let mut totals = Totals::default();
        totals.refused[RefusalReason::Origin as usize] = origin;
        Counted {
            moment: Instant::now(),
            at: UNIX_EPOCH + Duration::from_secs(second),
            totals,
            tunnels: 0,
            groups: Vec::new(),
            opened: 0,
            handshakes: Handshakes::default(),
            bytes_in: 0,
            bytes_out: 0,
            errors: [(("edge".to_owned(), "all".to_owned()), second)].into(),
            memory_bytes: 0,
        }
    }

    #[test]
    fn the_last_fifteen_minutes_are_kept_and_no_more() {
        let history = History::default();
        for step in 0..400 {
            history.take(counted(step * 5, step));
        }
        let all = history.since(0, UNIX_EPOCH);
        assert_eq!(all.len(), KEPT);
        assert!(all.windows(2).all(|two| two[0].number + 1 == two[1].number));
        assert_eq!(all[KEPT - 1].at, UNIX_EPOCH + Duration::from_secs(399 * 5));
        assert_eq!(history.since(398, UNIX_EPOCH).len(), 2);
        assert_eq!(history.since(0, all[KEPT - 3].at).len(), 3);
        assert_eq!(history.count(), 400);
    }

    #[test]
    fn what_was_refused_lately_is_told_from_what_was_before() {
        let history = History::default();
        for step in 0..=100 {
            history.take(counted(step * 5, step));
        }
        let mut totals = Totals::default();
        totals.refused[RefusalReason::Origin as usize] = 107;
        let refused = history.refused(&totals);
        assert_eq!(refused.len(), 1);
        assert_eq!((refused[0].reason, refused[0].total), ("origin", 107));
        // Seven since the last sample, and one in each of sixty.
        assert_eq!(refused[0].lately, 67);
        assert!(refused[0].per_second > 0.0);
    }

    #[test]
    fn errors_of_five_minutes_ago_are_remembered_once_it_is_that_old() {
        let history = History::default();
        let before = || {
            history
                .errors_before()
                .values()
                .copied()
                .collect::<Vec<_>>()
        };
        for step in 0..60 {
            history.take(counted(step * 5, 0));
        }
        assert_eq!(before(), [0; 0]);
        for step in 60..85 {
            history.take(counted(step * 5, 0));
        }
        assert_eq!(before(), [120]);
    }
}
