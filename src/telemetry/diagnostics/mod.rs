//! Diagnostics: lines on standard error, for operators.
//!
//! What operators have to know is always written: starts, reloads, upgrades, the health of targets.
//! What the outside can cause as often as it likes is written once in a while: the lines of other
//! crates, and those of ours whose target is [`OUTSIDE`]. Of each place in the code that writes
//! such lines one is written, then none for ten seconds, and how many were left out.

mod limiter;

use std::fmt::Arguments;
use std::io::Write as _;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Once, OnceLock};
use std::time::{Duration, SystemTime};

use env_logger::{Builder, Env, Logger};
use log::{Level, LevelFilter, Log, Metadata, Record};
use prometheus::IntCounter;

use super::Redaction;
use limiter::{Limiter, Line, SILENCE};

/// The target of those lines of ours that the outside can cause.
pub const OUTSIDE: &str = "culvert::outside";
const OURS: &str = "culvert";
const OURS_BELOW: &str = "culvert::";
/// No level of our own.
const AS_FILTERED: usize = usize::MAX;

/// What is said where `RUST_LOG` does not say otherwise. What Pingora and rustls say of single
/// exchanges is in their records and metrics; what Pingora's connectors say is a race for a
/// connection that the target has closed; what kube says is said once by whoever uses it.
const FILTER: &str = "warn,culvert=info,pingora_proxy=off,pingora_core::connectors=off,rustls=off,\
                      kube_client=off,kube_runtime=off";
/// How many characters are written of a line of others.
const LONGEST: usize = 2048;
/// How often those are looked for that have something left to say.
const LOOK: Duration = Duration::from_secs(1);

static DIAGNOSTICS: OnceLock<Diagnostics> = OnceLock::new();
/// Counts what is left out.
static LEFT_OUT: OnceLock<IntCounter> = OnceLock::new();

/// Begins to write what is logged. Once for a process.
pub fn start() {
    let said = || Builder::from_env(Env::default().default_filter_or(FILTER));
    let filter = said().build();
    // What is to be written is decided before it comes here.
    let logger = said()
        .filter_module(OURS, LevelFilter::Trace)
        .format(|out, record| {
            let time = humantime::format_rfc3339_millis(SystemTime::now());
            writeln!(out, "{time} {} {}", record.level(), record.args())
        })
        .build();
    let most = filter.filter();
    let diagnostics = DIAGNOSTICS.get_or_init(|| Diagnostics {
        logger,
        filter,
        own_level: AtomicUsize::new(AS_FILTERED),
        limiter: Limiter::new(),
        redaction: Redaction::default(),
        is_looked_after: Once::new(),
    });
    if log::set_logger(diagnostics).is_ok() {
        log::set_max_level(most);
    }
}

/// Says of this program's own lines those up to this level from now on; `None`: as `RUST_LOG` says,
/// or those up to `info`.
pub fn set_level(level: Option<LevelFilter>) {
    let Some(diagnostics) = DIAGNOSTICS.get() else {
        return;
    };
    let own = level.map_or(AS_FILTERED, |level| level as usize);
    diagnostics.own_level.store(own, Relaxed);
    let most = diagnostics.filter.filter();
    log::set_max_level(most.max(level.unwrap_or(LevelFilter::Off)));
}

/// Up to which level this program's own lines are said.
pub fn level() -> LevelFilter {
    let said = |level: &LevelFilter| {
        let level = level.to_level();
        let metadata = level.map(|level| Metadata::builder().level(level).target(OURS).build());
        let diagnostics = DIAGNOSTICS.get();
        metadata
            .zip(diagnostics)
            .is_some_and(|(metadata, diagnostics)| diagnostics.wants(&metadata))
    };
    let all = LevelFilter::iter().collect::<Vec<_>>();
    all.into_iter().rev().find(said).unwrap_or(LevelFilter::Off)
}

/// Counts the lines that are left out from now on.
pub(super) fn count_with(counter: IntCounter) {
    // There is one for the process.
    LEFT_OUT.set(counter).ok();
}

/// How many lines were left out.
pub fn left_out() -> u64 {
    LEFT_OUT.get().map_or(0, |counter| counter.get())
}

struct Diagnostics {
    logger: Logger,
    /// What `RUST_LOG` says.
    filter: Logger,
    /// Up to which level our own lines are said, or [`AS_FILTERED`].
    own_level: AtomicUsize,
    limiter: Limiter,
    redaction: Redaction,
    /// Whether there is a thread that tells how many lines were left out.
    is_looked_after: Once,
}

impl Log for Diagnostics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.wants(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.wants(record.metadata()) {
            return;
        }
        match Kind::of(record) {
            Kind::ForOperators => self.logger.log(record),
            Kind::AskedFor => self.write(&self.line(record), 0),
            Kind::Limited => self.limit(record),
        }
    }

    /// Tells of all that was left out.
    fn flush(&self) {
        self.tell_the_rest(true);
        self.logger.flush();
    }
}

impl Diagnostics {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        match self.own_level.load(Relaxed) {
            AS_FILTERED => self.filter.enabled(metadata),
            _ if !is_ours(metadata.target()) => self.filter.enabled(metadata),
            most => metadata.level() as usize <= most,
        }
    }

    fn limit(&self, record: &Record<'_>) {
        let Some((site, left_out)) = self.limiter.admit(record) else {
            if let Some(counter) = LEFT_OUT.get() {
                counter.inc();
            }
            return self.is_looked_after.call_once(look_after);
        };
        let line = self.line(record);
        self.write(&line, left_out);
        site.keep(line);
    }

    /// What is written of a line of others: what strangers sent may be in it.
    fn line(&self, record: &Record<'_>) -> Line {
        let text = record.args().to_string();
        let text = self.redaction.redact_text(&text);
        let text = text.chars().map(|character| match character.is_control() {
            true => ' ',
            false => character,
        });
        Line {
            level: record.level(),
            target: record.target().to_owned(),
            text: text.take(LONGEST).collect(),
        }
    }

    fn write(&self, line: &Line, left_out: u64) {
        let Line {
            level,
            target,
            text,
        } = line;
        let write = |arguments: Arguments<'_>| {
            let mut record = Record::builder();
            record.level(*level).target(target).args(arguments);
            self.logger.log(&record.build());
        };
        match left_out {
            0 => write(format_args!("{text}")),
            _ => write(format_args!(
                "{text} (and {left_out} more like this in {} s)",
                SILENCE.as_secs()
            )),
        }
    }

    /// Tells how many were left out where that is due, or everywhere.
    fn tell_the_rest(&self, everywhere: bool) {
        for (site, left_out) in self.limiter.rest(everywhere) {
            if let Some(line) = site.kept() {
                self.write(&line, left_out);
            }
        }
    }
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// Always written, as it is.
    ForOperators,
    /// What other crates say in detail, where `RUST_LOG` asks for it.
    AskedFor,
    /// Written once in a while.
    Limited,
}

impl Kind {
    fn of(record: &Record<'_>) -> Self {
        let target = record.target();
        match record.level() {
            _ if target == OUTSIDE => Kind::Limited,
            _ if is_ours(target) => Kind::ForOperators,
            Level::Error | Level::Warn | Level::Info => Kind::Limited,
            Level::Debug | Level::Trace => Kind::AskedFor,
        }
    }
}

fn is_ours(target: &str) -> bool {
    target == OURS || target.starts_with(OURS_BELOW)
}

/// From now on what was left out is told when it is due.
fn look_after() {
    let look = || {
        while let Some(diagnostics) = DIAGNOSTICS.get() {
            std::thread::sleep(LOOK);
            diagnostics.tell_the_rest(false);
        }
    };
    // Without it the next line of the kind tells.
    let thread = std::thread::Builder::new().name("diagnostics".into());
    thread.spawn(look).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_and_what_the_outside_causes_is_limited() {
        for (target, level, kind) in [
            ("rustls::check", Level::Warn, Kind::Limited),
            ("pingora_core::apps", Level::Error, Kind::Limited),
            ("pingora_core::apps", Level::Debug, Kind::AskedFor),
            ("culvert", Level::Error, Kind::ForOperators),
            ("culvert::process", Level::Info, Kind::ForOperators),
            ("culvert_of_others", Level::Info, Kind::Limited),
            (OUTSIDE, Level::Warn, Kind::Limited),
        ] {
            let record = Record::builder().target(target).level(level).build();
            assert_eq!(Kind::of(&record), kind, "{target} {level}");
        }
    }
}
