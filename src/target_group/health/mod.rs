//! What is known of a target's health: what its checks say, whether it is ejected, and how far it
//! is with its slow start.
//!
//! A request reads a few atomics. What has happened is behind a lock that only checks and ejections
//! take.

mod check;
pub(super) mod monitor;
mod outliers;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::config::model::OutlierDetection;

/// The share of its weight that a target begins with.
const LEAST_FACTOR: f64 = 0.1;

/// The health of a target, beyond the present configuration.
pub(super) struct Health {
    is_healthy: AtomicBool,
    is_ejected: AtomicBool,
    /// It has joined a group that serves, and no check has said anything of it yet.
    is_unproven: AtomicBool,
    /// How often it has come back.
    returns: AtomicU32,
    /// Requests that failed in a row.
    failures: AtomicU32,
    born: Instant,
    /// When the slow start began, in milliseconds from `born`, and how long it is; 0 where there is
    /// none.
    slow_since: AtomicU64,
    slow_for: AtomicU64,
    record: Mutex<Record>,
    has_changed: Notify,
}

#[derive(Default)]
struct Record {
    /// Results in a row that speak against what is held true.
    contrary: usize,
    last_check: Option<Checked>,
    /// More of them make an ejection longer.
    ejections: u32,
    /// While it is ejected.
    ejected_until: Option<Instant>,
    returned: Option<Instant>,
}

/// A check that was made.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) at: SystemTime,
    /// Why it failed, in a few words.
    pub(super) result: Result<(), String>,
}

/// How many results in a row turn a target's health.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thresholds {
    pub(super) healthy: usize,
    pub(super) unhealthy: usize,
}

impl Health {
    /// The health of a target of which no more is known.
    pub(super) fn new(is_healthy: bool) -> Self {
        Health {
            is_healthy: is_healthy.into(),
            is_ejected: false.into(),
            is_unproven: false.into(),
            returns: 0.into(),
            failures: 0.into(),
            born: Instant::now(),
            slow_since: 0.into(),
            slow_for: 0.into(),
            record: Mutex::default(),
            has_changed: Notify::new(),
        }
    }

    /// Whether it should get requests.
    pub(super) fn is_available(&self) -> bool {
        self.is_healthy() && !self.is_ejected()
    }

    /// What the checks say.
    pub(super) fn is_healthy(&self) -> bool {
        self.is_healthy.load(Relaxed)
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.is_ejected.load(Relaxed)
    }

    /// Its first check decides by itself.
    pub(super) fn has_to_prove(&self) {
        self.is_unproven.store(true, Relaxed);
    }

    /// Whether something is known of it, or was never asked for.
    pub(super) fn is_proven(&self) -> bool {
        !self.is_unproven.load(Relaxed)
    }

    /// How often it has come back, healthy again or from an ejection.
    pub(super) fn returns(&self) -> u32 {
        self.returns.load(Relaxed)
    }

    /// Nobody checks it: it counts as healthy.
    pub(super) fn trust(&self) {
        let mut record = self.record.lock();
        record.contrary = 0;
        record.last_check = None;
        self.is_unproven.store(false, Relaxed);
        self.is_healthy.store(true, Relaxed);
    }

    /// Enters the result of a check. Returns how many in a row have turned the health, if it has
    /// turned.
    pub(super) fn enter(
        &self,
        result: Result<(), String>,
        thresholds: Thresholds,
    ) -> Option<usize> {
        let mut record = self.record.lock();
        let has_passed = result.is_ok();
        let at = SystemTime::now();
        record.last_check = Some(Checked { at, result });
        let is_first = self.is_unproven.swap(false, Relaxed);
        if has_passed == self.is_healthy() {
            record.contrary = 0;
            return None;
        }
        record.contrary += 1;
        let threshold = match has_passed {
            true => thresholds.healthy,
            false if is_first => 1,
            false => thresholds.unhealthy,
        };
        if record.contrary < threshold {
            return None;
        }
        self.is_healthy.store(has_passed, Relaxed);
        self.returns.fetch_add(has_passed.into(), Relaxed);
        Some(std::mem::take(&mut record.contrary))
    }

    pub(super) fn last_check(&self) -> Option<Checked> {
        self.record.lock().last_check.clone()
    }

    /// Notes that a request went well.
    pub(super) fn succeeded(&self) {
        if self.failures.load(Relaxed) > 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// Notes that a request failed; tells how many have in a row.
    pub(super) fn failed(&self) -> u32 {
        self.failures.fetch_add(1, Relaxed).wrapping_add(1)
    }

    /// Ejects it, unless it is; tells for how long. For each time that an ejection lasts at first
    /// it has been back since the last one, one of those before is forgotten.
    pub(super) fn eject(&self, now: Instant, settings: &OutlierDetection) -> Option<Duration> {
        let mut record = self.record.lock();
        if self.is_ejected() {
            return None;
        }
        let base = settings.base_ejection_time;
        let rested = record.returned.map_or(Duration::ZERO, |at| now - at);
        let forgotten = rested.as_millis() / base.as_millis().max(1);
        let forgotten = u32::try_from(forgotten).unwrap_or(u32::MAX);
        record.ejections = record.ejections.saturating_sub(forgotten).saturating_add(1);
        let time = base.saturating_mul(record.ejections);
        let time = time.min(settings.max_ejection_time);
        record.ejected_until = Some(now + time);
        self.is_ejected.store(true, Relaxed);
        drop(record);
        self.has_changed.notify_waiters();
        Some(time)
    }

    /// It was ejected before this process was there, until then; and so many times in a row.
    pub(super) fn stay_ejected(&self, until: Instant, ejections: u32) {
        let mut record = self.record.lock();
        record.ejections = ejections;
        record.ejected_until = Some(until);
        self.is_ejected.store(true, Relaxed);
    }

    /// Until when it is ejected, and which time in a row that is.
    pub(super) fn ejection(&self) -> Option<(Instant, u32)> {
        let record = self.record.lock();
        record.ejected_until.map(|until| (until, record.ejections))
    }

    /// Returns when the present ejection is over, or the next one.
    pub(super) async fn ejection_over(&self) {
        loop {
            let mut changed = std::pin::pin!(self.has_changed.notified());
            changed.as_mut().enable();
            match self.ejection() {
                Some((until, _)) => return sleep_until(until).await,
                None => changed.await,
            }
        }
    }

    /// It is back.
    pub(super) fn readmit(&self, now: Instant) {
        let mut record = self.record.lock();
        record.ejected_until = None;
        record.returned = Some(now);
        self.failures.store(0, Relaxed);
        self.is_ejected.store(false, Relaxed);
        self.returns.fetch_add(1, Relaxed);
    }

    /// Its share grows from a tenth to all of its weight, over this time.
    pub(super) fn start_slowly(&self, now: Instant, time: Duration) {
        self.slow_since.store(self.since_birth(now), Relaxed);
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.slow_for.store(time, Relaxed);
    }

    /// The share of its weight that counts, up to 1.
    pub(super) fn weight_factor(&self, now: impl FnOnce() -> Instant) -> f64 {
        let time = self.slow_for.load(Relaxed);
        if time == 0 {
            return 1.0;
        }
        let since = self.slow_since.load(Relaxed);
        let passed = self.since_birth(now()).saturating_sub(since);
        if passed >= time {
            // Not to look at the clock any more. One that has begun meanwhile stays.
            self.slow_for
                .compare_exchange(time, 0, Relaxed, Relaxed)
                .ok();
            return 1.0;
        }
        LEAST_FACTOR + (1.0 - LEAST_FACTOR) * passed as f64 / time as f64
    }

    fn since_birth(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.born);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failed() -> Result<(), String> {
        Err("connection refused".to_owned())
    }

    #[test]
    fn as_many_results_in_a_row_as_the_threshold_turn_the_health() {
        let thresholds = Thresholds {
            healthy: 2,
            unhealthy: 3,
        };
        let health = Health::new(true);
        let results = [
            (failed(), None, true),
            (failed(), None, true),
            (Ok(()), None, true),
            (failed(), None, true),
            (failed(), None, true),
            (failed(), Some(3), false),
            (Ok(()), None, false),
            (failed(), None, false),
            (Ok(()), None, false),
            (Ok(()), Some(2), true),
        ];
        for (place, (result, turned, is_healthy)) in results.into_iter().enumerate() {
            assert_eq!(health.enter(result, thresholds), turned, "{place}");
            assert_eq!(health.is_available(), is_healthy, "{place}");
        }
    }

    #[test]
    fn the_first_check_of_one_that_joins_decides() {
        let thresholds = Thresholds {
            healthy: 1,
            unhealthy: 3,
        };
        let health = Health::new(true);
        health.has_to_prove();
        assert!(!health.is_proven());
        assert_eq!(health.enter(failed(), thresholds), Some(1));
        assert!(health.is_proven() && !health.is_available());
        assert_eq!(health.enter(Ok(()), thresholds), Some(1));
        assert_eq!(health.enter(failed(), thresholds), None);
    }

    fn detection() -> OutlierDetection {
        OutlierDetection {
            consecutive_failures: 5,
            base_ejection_time: 30 * SECOND,
            max_ejection_time: 100 * SECOND,
            max_ejected_percent: 50,
        }
    }

    #[test]
    fn each_ejection_is_longer_up_to_the_longest_and_rest_makes_them_shorter() {
        let (health, mut now) = (Health::new(true), Instant::now());
        for (rest, expected) in [
            (0, 30),
            (1, 60),
            (29, 90),
            (0, 100),
            (0, 100),
            // Of five the time of two passes.
            (60, 100),
            // Of four that of three.
            (90, 60),
            (3600, 30),
        ] {
            now += rest * SECOND;
            let time = health.eject(now, &detection());
            assert_eq!(time, Some(expected * SECOND), "after {rest} s");
            assert!(!health.is_available());
            assert_eq!(health.eject(now, &detection()), None);
            now += expected * SECOND;
            assert_eq!(health.ejection().map(|(until, _)| until), Some(now));
            health.readmit(now);
            assert!(health.is_available());
        }
    }

    #[test]
    fn an_ejection_goes_on_in_another_process() {
        let (before, now) = (Health::new(true), Instant::now());
        for _ in 0..2 {
            before.eject(now, &detection());
            before.readmit(now);
        }
        before.eject(now, &detection());
        let (until, count) = before.ejection().unwrap();
        let health = Health::new(true);
        health.stay_ejected(until, count);
        assert!(!health.is_available());
        assert_eq!(health.ejection(), Some((until, 3)));
        health.readmit(until);
        assert!(health.is_available());
        let again = health.eject(until, &detection());
        assert_eq!(again, Some(100 * SECOND));
    }

    #[test]
    fn failures_count_in_a_row_only() {
        let health = Health::new(true);
        assert_eq!((health.failed(), health.failed()), (1, 2));
        health.succeeded();
        assert_eq!(health.failed(), 1);
        let now = Instant::now();
        health.eject(now, &detection());
        health.readmit(now);
        assert_eq!(health.failed(), 1);
    }

    #[test]
    fn the_weight_rises_evenly_from_a_tenth_to_all_of_it() {
        let (health, began) = (Health::new(true), Instant::now());
        let factor = |after: Duration| health.weight_factor(|| began + after);
        assert_eq!(factor(SECOND), 1.0);
        health.start_slowly(began, 30 * SECOND);
        for (after, expected) in [(0, 0.1), (10, 0.4), (15, 0.55), (20, 0.7), (29, 0.97)] {
            let found = factor(after * SECOND);
            assert!((found - expected).abs() < 1e-3, "{found} after {after} s");
        }
        assert_eq!(factor(30 * SECOND), 1.0);
        // It is over, whatever the clock says.
        assert_eq!(factor(SECOND), 1.0);
        health.start_slowly(began + 60 * SECOND, 10 * SECOND);
        assert!((factor(65 * SECOND) - 0.55).abs() < 1e-3);
    }
}
