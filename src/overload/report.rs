//! What is said of the memory on standard error: when a level is entered or left, but not more
//! often than every ten seconds.

use std::time::{Duration, Instant};

use super::Level;
use super::reading::Reading;

/// How long nothing more is said.
const SILENCE: Duration = Duration::from_secs(10);

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Report {
    said: Option<(Level, Instant)>,
    /// Since when there is not enough.
    began: Option<Instant>,
}

impl Report {
    /// Says what there is to say.
    pub(super) fn note(&mut self, level: Level, reading: Reading, now: Instant) {
        if let Some(line) = self.line(level, reading, now) {
            log::warn!("{line}");
        }
    }

    fn line(&mut self, level: Level, reading: Reading, now: Instant) -> Option<String> {
        if level > Level::Ample {
            self.began.get_or_insert(now);
        }
        let is_told = self.said.map_or(Level::Ample, |(level, _)| level) == level;
        let is_early = |(_, at)| now.duration_since(at) < SILENCE;
        if is_told || self.said.is_some_and(is_early) {
            return None;
        }
        self.said = Some((level, now));
        let began = match level {
            Level::Ample => self.began.take(),
            Level::Refusing | Level::Releasing | Level::Resetting => None,
        };
        let took = began.map_or(0.0, |began| now.duration_since(began).as_secs_f64());
        let what = match level {
            Level::Ample => format!("all is served again, after {took:.1} s"),
            Level::Refusing => "new connections and requests are refused".to_owned(),
            Level::Releasing => "new ones are refused, idle connections are let go".to_owned(),
            Level::Resetting => {
                "new ones are refused, plain requests are reset, and tunnels go on".to_owned()
            }
        };
        let [used, limit] = [reading.used, reading.limit].map(|bytes| bytes >> 20);
        Some(format!("memory: {used} of {limit} MiB are used: {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds, of those at which these levels hold, at which something is said, and how it
    /// ends.
    fn said(levels: &[(u64, Level)]) -> Vec<(u64, String)> {
        let (mut report, start) = (Report::default(), Instant::now());
        let reading = Reading {
            used: 95 << 20,
            limit: 100 << 20,
        };
        let lines = levels.iter().filter_map(|(second, level)| {
            let line = report.line(*level, reading, start + Duration::from_secs(*second))?;
            let (_, end) = line.split_once("memory: 95 of 100 MiB are used: ")?;
            Some((*second, end.split_once(' ')?.0.to_owned()))
        });
        lines.collect()
    }

    #[test]
    fn a_level_is_told_when_it_is_entered_and_left_but_not_more_often_than_every_ten_seconds() {
        let levels = [
            (0, Level::Ample),
            (1, Level::Refusing),
            (2, Level::Refusing),
            (3, Level::Resetting),
            (11, Level::Resetting),
            (12, Level::Resetting),
            (13, Level::Ample),
            (14, Level::Refusing),
            (15, Level::Ample),
            (21, Level::Ample),
            (90, Level::Ample),
        ];
        let words = [(1, "new"), (11, "new"), (21, "all")];
        assert_eq!(said(&levels), words.map(|(at, word)| (at, word.to_owned())));
    }

    #[test]
    fn what_has_passed_before_it_could_be_told_is_not_told() {
        let short = [
            (0, Level::Refusing),
            (1, Level::Ample),
            (2, Level::Refusing),
        ];
        let calm = [(12, Level::Refusing), (13, Level::Ample)];
        let words = [(0, "new".to_owned()), (13, "all".to_owned())];
        assert_eq!(said(&[short.as_slice(), &calm].concat()), words);
    }
}
