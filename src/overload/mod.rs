//! The guard against what nobody foresaw: near the limit of memory less and less is done, so that
//! the open tunnels live.
//!
//! A task of its own looks at what is used, the oftener the less there is left, and sets a
//! [`Level`]. What is accepted and asked for looks at that level, which is one atomic; the
//! connections themselves, and who of them is to go, are the listeners' matter. Tunnels are never
//! ended here, and health checks, the admin address and upgrades do not ask.

#[cfg(feature = "jemalloc")]
mod allocator;
#[cfg(not(feature = "jemalloc"))]
#[path = "no_allocator.rs"]
mod allocator;
mod cgroup;
mod figure;
mod level;
mod reading;
mod report;
mod usage;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use prometheus::IntGauge;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics::MemoryMetrics;
pub use level::Level;
use reading::Reading;
use report::Report;
use usage::Usage;

/// What a request that is reset gives back at least, as far as it is planned: rather one round more
/// than many for nothing.
const BYTES_EACH: u64 = 64 << 10;
/// How fast memory is expected to be used up at most, in bytes a second.
const FASTEST: f64 = (4_u64 << 30) as f64;
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_millis(250);
/// Of the limit, in hundredths: down to here any requests are reset.
const FULL: u64 = 92;
/// How far ahead is looked: what was told to go takes a while to be gone, and what is there already
/// goes on growing.
const AHEAD: Duration = Duration::from_millis(200);
/// Between two looks that are nearer to each other no growth is seen.
const MOMENT: Duration = Duration::from_millis(5);
/// How long nothing new may be taken until those go, too, that wait for nothing but their clients.
const PATIENCE: Duration = Duration::from_secs(5);
/// For how long these have waited at least.
const STALLED: Duration = Duration::from_secs(1);

/// What the process and its connections know of the memory.
pub struct Overload {
    level: AtomicU8,
    /// `server.memory.limit` in bytes; 0 where the file says nothing.
    wanted: AtomicU64,
    /// Cancelled when idle connections are let go; those that come later get the next one.
    idle: ArcSwap<CancellationToken>,
    began: CancellationToken,
    shown: MemoryMetrics,
}

/// Which plain requests and connections are to be reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resets {
    /// So many of all, those first that wait longest for their clients.
    Any(usize),
    /// So many of those that have waited for their clients for this long, the longest wait first.
    Waiting(usize, Duration),
}

/// What the task that looks remembers.
struct Watch {
    usage: Usage,
    report: Report,
    /// The level by what is used.
    level: Level,
    /// Since when there is not enough.
    short: Option<Instant>,
    /// When the look before was, and what was used.
    before: Option<(Instant, u64)>,
}

/// The memory at the last look.
#[derive(Debug, Clone, Copy)]
pub struct State {
    /// What may be used, in bytes; 0 before the first look, and where nothing can be found out.
    pub limit: u64,
    /// What is used of it.
    pub used: u64,
    /// What is done about it.
    pub level: Level,
    /// Plain requests and connections that were reset.
    pub resets: u64,
}

impl Overload {
    /// A guard that has not looked yet. `began` is the beginning of a drain, at which idle
    /// connections go anyway.
    pub fn new(began: &CancellationToken, shown: MemoryMetrics) -> Self {
        Overload {
            level: AtomicU8::new(Level::Ample as u8),
            wanted: AtomicU64::new(0),
            idle: ArcSwap::from_pointee(began.child_token()),
            began: began.clone(),
            shown,
        }
    }

    /// From now on this is `server.memory.limit`, in bytes.
    pub fn limit(&self, wanted: Option<u64>) {
        self.wanted.store(wanted.unwrap_or(0), Relaxed);
    }

    /// What is done now.
    pub fn level(&self) -> Level {
        Level::ALL[usize::from(self.level.load(Relaxed)) % Level::ALL.len()]
    }

    /// Whether nothing new is taken.
    pub fn refuses(&self) -> bool {
        self.level.load(Relaxed) >= Level::Refusing as u8
    }

    /// What is cancelled when a connection that begins now should go as soon as it is idle.
    pub fn idle(&self) -> Arc<CancellationToken> {
        self.idle.load_full()
    }

    /// The memory at the last look.
    pub fn state(&self) -> State {
        let bytes = |gauge: &IntGauge| u64::try_from(gauge.get()).unwrap_or(0);
        State {
            limit: bytes(&self.shown.limit),
            used: bytes(&self.shown.used),
            level: self.level(),
            resets: self.shown.resets.get(),
        }
    }

    /// Looks again and again. `reset` resets plain requests, and tells how many there were.
    pub async fn watch(&self, reset: impl Fn(Resets) -> usize) {
        let mut watch = match Watch::begin() {
            Ok(watch) => watch,
            Err(error) => return log::warn!("memory: what is used cannot be found out: {error}"),
        };
        loop {
            let left = self.look(&mut watch, Instant::now(), &reset);
            let wait = Duration::from_secs_f64(left as f64 / FASTEST);
            sleep(wait.clamp(SHORTEST_WAIT, LONGEST_WAIT)).await;
        }
    }

    /// Looks, and does what there is to be done. How many bytes are left to the limit.
    fn look(&self, watch: &mut Watch, now: Instant, reset: &impl Fn(Resets) -> usize) -> u64 {
        let wanted = Some(self.wanted.load(Relaxed)).filter(|bytes| *bytes > 0);
        let mut reading = watch.usage.read(wanted, now);
        if Level::Ample.after(reading) > Level::Ample && allocator::give_back() {
            reading = watch.usage.read(wanted, now);
        }
        let soon = watch.foresee(reading, now);
        let resets = watch.enter(soon, now);
        let level = match resets {
            Some(_) => Level::Resetting,
            None => watch.level,
        };
        self.show(level, reading);
        if level >= Level::Releasing {
            self.let_idle_go();
        }
        if let Some(resets) = resets {
            self.shown.resets.inc_by(reset(resets) as u64);
        }
        watch.report.note(level, reading, now);
        soon.limit.saturating_sub(soon.used)
    }

    fn show(&self, level: Level, reading: Reading) {
        self.level.store(level as u8, Relaxed);
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.shown.limit.set(bytes(reading.limit));
        self.shown.used.set(bytes(reading.used));
        self.shown.level.set(level as i64);
    }

    fn let_idle_go(&self) {
        let next = Arc::new(self.began.child_token());
        self.idle.swap(next).cancel();
    }
}

impl Watch {
    fn begin() -> io::Result<Self> {
        Ok(Watch {
            usage: Usage::open()?,
            report: Report::default(),
            level: Level::Ample,
            short: None,
            before: None,
        })
    }

    /// What will be used in a moment, if it goes on as since the look before.
    fn foresee(&mut self, reading: Reading, now: Instant) -> Reading {
        let Some((then, used)) = self.before.replace((now, reading.used)) else {
            return reading;
        };
        let took = now.duration_since(then);
        if took < MOMENT {
            return reading;
        }
        let growth = reading.used.saturating_sub(used) as f64;
        let growth = growth * AHEAD.as_secs_f64() / took.as_secs_f64();
        Reading {
            used: reading.used.saturating_add(growth as u64),
            ..reading
        }
    }

    /// Notes what is used. Who is to be reset, if anybody.
    fn enter(&mut self, reading: Reading, now: Instant) -> Option<Resets> {
        self.level = self.level.after(reading);
        if self.level == Level::Ample {
            self.short = None;
            return None;
        }
        let short = *self.short.get_or_insert(now);
        if self.level == Level::Resetting {
            return Some(Resets::Any(over(reading, FULL)));
        }
        let is_stuck = now.duration_since(short) >= PATIENCE;
        is_stuck.then(|| Resets::Waiting(over(reading, Level::ENOUGH), STALLED))
    }
}

/// How many requests have to go until so many hundredths of the limit are used.
fn over(reading: Reading, hundredths: u64) -> usize {
    let goal = reading.limit / 100 * hundredths;
    let many = reading.used.saturating_sub(goal).div_ceil(BYTES_EACH);
    usize::try_from(many).unwrap_or(usize::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One that nobody has looked for yet.
    pub(crate) fn overload() -> Overload {
        let metrics = crate::telemetry::metrics::Metrics::new().unwrap();
        Overload::new(&CancellationToken::new(), metrics.process.memory)
    }

    #[test]
    fn a_process_over_its_limit_does_all_that_it_can_and_one_below_nothing() {
        let overload = overload();
        let mut watch = Watch::begin().unwrap();
        let mut look = |limit: u64| {
            overload.limit(Some(limit));
            let asked = std::cell::Cell::new(None);
            let reset = |resets| {
                asked.set(Some(resets));
                7
            };
            overload.look(&mut watch, Instant::now(), &reset);
            (overload.refuses(), overload.level(), asked.get().is_some())
        };
        let before = overload.idle();
        assert_eq!(look(1 << 40), (false, Level::Ample, false));
        assert!(!before.is_cancelled());
        assert_eq!(look(1 << 20), (true, Level::Resetting, true));
        assert!(before.is_cancelled() && !overload.idle().is_cancelled());
        assert_eq!(overload.state().limit, 1 << 20);
        assert!(overload.state().used > 1 << 20);
        assert_eq!(overload.shown.resets.get(), 7);
        assert_eq!(look(1 << 40), (false, Level::Ample, false));
    }

    #[test]
    fn what_grows_is_seen_where_it_will_be_in_a_moment() {
        let mut watch = Watch::begin().unwrap();
        let start = Instant::now();
        let mut foresee = |milli: u64, used: u64| {
            let now = start + Duration::from_millis(milli);
            let limit = 1000;
            watch.foresee(Reading { used, limit }, now).used
        };
        assert_eq!(foresee(0, 100), 100);
        assert_eq!(foresee(100, 300), 700);
        assert_eq!(foresee(200, 250), 250);
        assert_eq!(foresee(201, 300), 300);
    }

    #[test]
    fn at_the_limit_any_may_be_reset_and_where_it_stays_short_those_that_wait_for_their_clients() {
        let mut watch = Watch::begin().unwrap();
        let start = Instant::now();
        let mut enter = |second: u64, mebibytes: u64| {
            let reading = Reading {
                used: mebibytes << 20,
                limit: 100 << 20,
            };
            watch.enter(reading, start + Duration::from_secs(second))
        };
        let stalled = |many: usize| Some(Resets::Waiting(many * 16, STALLED));
        for (second, mebibytes, expected) in [
            (0, 84, None),
            (1, 87, None),
            (2, 96, Some(Resets::Any(4 * 16))),
            (3, 91, Some(Resets::Any(0))),
            (4, 89, None),
            (5, 81, None),
            (6, 82, stalled(2)),
            (7, 79, None),
            (8, 87, None),
            (12, 87, None),
            (13, 87, stalled(7)),
        ] {
            assert_eq!(enter(second, mebibytes), expected, "{second}");
        }
    }
}
