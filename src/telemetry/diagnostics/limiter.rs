//! Which lines are written: of each place in the code one, and then none for a while.
//!
//! Whether a line is left out is found out without a lock, and before anything of it is put
//! together.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use log::{Level, Record};
use parking_lot::Mutex;

/// How long nothing more is written of a place.
pub(super) const SILENCE: Duration = Duration::from_secs(10);
/// How many places are told apart. More than those share the last.
const SITES: usize = 256;

pub(super) struct Limiter {
    began: Instant,
    sites: Box<[Site]>,
}

/// A place in the code that lines come from.
#[derive(Default)]
pub(super) struct Site {
    /// Which; 0 where it is free.
    key: AtomicU64,
    /// From when on a line is written again, in milliseconds.
    due: AtomicU64,
    left_out: AtomicU64,
    /// The last line that was written.
    line: Mutex<Option<Line>>,
}

/// A line as it is written.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) target: String,
    pub(super) text: String,
}

impl Limiter {
    pub(super) fn new() -> Self {
        Limiter {
            began: Instant::now(),
            sites: (0..SITES).map(|_| Site::default()).collect(),
        }
    }

    /// Where a line comes from, and how many were left out before it; `None` if it is to be left
    /// out.
    pub(super) fn admit(&self, record: &Record<'_>) -> Option<(&Site, u64)> {
        let mut hasher = DefaultHasher::new();
        (record.target(), record.file(), record.line()).hash(&mut hasher);
        let site = self.site(hasher.finish().max(1));
        site.admit(self.now()).map(|left_out| (site, left_out))
    }

    /// The places of which lines were left out, with their number, where that is to be told by now,
    /// or everywhere.
    pub(super) fn rest(&self, everywhere: bool) -> impl Iterator<Item = (&Site, u64)> {
        let now = self.now();
        let rest = move |site: &'_ Site| match everywhere {
            true => Some(site.left_out.swap(0, Relaxed)).filter(|left_out| *left_out > 0),
            false => site.rest(now),
        };
        let sites = self.sites.iter();
        sites.filter_map(move |site| Some((site, rest(site)?)))
    }

    fn site(&self, key: u64) -> &Site {
        let first = (key % SITES as u64) as usize;
        let (before, after) = self.sites.split_at(first);
        let is_its = |site: &&Site| match site.key.compare_exchange(0, key, Relaxed, Relaxed) {
            Ok(_) => true,
            Err(taken) => taken == key,
        };
        let mut sites = after.iter().chain(before);
        sites.find(is_its).unwrap_or(&self.sites[SITES - 1])
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Site {
    /// Keeps the line that was written, to say later what others were like.
    pub(super) fn keep(&self, line: Line) {
        *self.line.lock() = Some(line);
    }

    /// The line that was written last.
    pub(super) fn kept(&self) -> Option<Line> {
        let line = self.line.lock();
        line.clone()
    }

    fn admit(&self, now: u64) -> Option<u64> {
        if !self.is_due(now) {
            self.left_out.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Relaxed))
    }

    /// How many were left out, where that is to be told by now.
    fn rest(&self, now: u64) -> Option<u64> {
        let is_told = self.left_out.load(Relaxed) > 0 && self.is_due(now);
        is_told.then(|| self.left_out.swap(0, Relaxed))
    }

    /// Whether something may be written now; then nothing may for a while.
    fn is_due(&self, now: u64) -> bool {
        let due = self.due.load(Relaxed);
        let next = now + SILENCE.as_millis() as u64;
        now >= due
            && self
                .due
                .compare_exchange(due, next, Relaxed, Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_written_and_then_none_for_ten_seconds() {
        let site = Site::default();
        let written: Vec<(u64, u64)> = (0..250)
            .map(|tenths| tenths * 100)
            .filter_map(|now| Some((now, site.admit(now)?)))
            .collect();
        assert_eq!(written, [(0, 0), (10_000, 99), (20_000, 99)]);
        assert_eq!(site.rest(29_900), None);
        assert_eq!(site.rest(30_000), Some(49));
        assert_eq!(site.admit(30_100), None, "it was told a moment ago");
    }

    #[test]
    fn each_place_has_a_line_of_its_own_as_long_as_there_are_not_too_many() {
        let limiter = Limiter::new();
        let admits = |line| {
            let record = Record::builder()
                .file(Some("a.rs"))
                .line(Some(line))
                .build();
            limiter.admit(&record).is_some()
        };
        let admitted = (0..10_000).filter(|line| admits(*line)).count();
        assert_eq!(admitted, SITES);
        assert!(!admits(0) && !admits(9_999));
    }
}
