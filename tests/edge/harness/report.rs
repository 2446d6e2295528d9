//! What a failing test prints: at most a hundred lines, none of them endless. What is in the middle
//! is left out, and counted.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::PanicHookInfo;
use std::sync::Once;

/// How many lines the thread of a test prints, and any other, of which a test has two.
const MOST: usize = 70;
const MOST_OF_OTHERS: usize = 15;
/// How many of them are its message, and the places in our files that led there.
const MESSAGE: usize = 30;
const PLACES: usize = 8;
/// How many characters of a line are shown, of its start and of its end.
const START: usize = 500;
const END: usize = 200;

thread_local! {
    /// How many lines this thread may still print.
    static LEFT: Cell<usize> = Cell::new(most());
    /// Where it has failed so far.
    static SAID: RefCell<HashSet<(String, u32)>> = RefCell::default();
}

/// Every test has a thread of its own, which has its path for a name.
fn most() -> usize {
    let thread = std::thread::current();
    let is_a_tests = thread.name().is_some_and(|name| name.contains("::"));
    if is_a_tests { MOST } else { MOST_OF_OTHERS }
}

/// From now on messages of tests that fail are cut to what can be read.
pub fn keep_short() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(say)));
}

/// Each place once: what many scripts of a test fail of would hide what it is about.
fn say(info: &PanicHookInfo<'_>) {
    let place = info
        .location()
        .map(|place| (place.file().to_owned(), place.line()));
    let is_new = SAID.with_borrow_mut(|said| place.is_none_or(|place| said.insert(place)));
    if !is_new {
        return;
    }
    let thread = std::thread::current();
    let title = format!("thread '{}' failed", thread.name().unwrap_or("unnamed"));
    print(&title, info.to_string().lines(), MESSAGE);
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let text = backtrace.to_string();
        let ours = text.lines().filter(|line| line.contains("tests/edge/"));
        print("which was reached by", ours, PLACES);
    }
}

/// Prints some of these lines, at most this many, below a title, as long as the test may print.
pub fn print<'a>(title: &str, lines: impl Iterator<Item = &'a str>, most: usize) {
    let left = LEFT.get();
    let shown = excerpt(lines.collect(), most.min(left.saturating_sub(1)));
    LEFT.set(left.saturating_sub(1 + shown.len()));
    if left > 0 {
        eprintln!("--- {title}:");
        shown.iter().for_each(|line| eprintln!("{line}"));
    }
}

/// At most this many lines: the first third, and the last ones.
pub fn excerpt(lines: Vec<&str>, most: usize) -> Vec<String> {
    if lines.len() <= most {
        return lines.into_iter().map(short).collect();
    }
    let first = most / 3;
    let last = most.saturating_sub(first + 1);
    let left_out = format!("… {} lines …", lines.len() - first - last);
    let (start, end) = (&lines[..first], &lines[lines.len() - last..]);
    let shown = |lines: &[&str]| lines.iter().map(|line| short(line)).collect::<Vec<_>>();
    let mut all = [shown(start), vec![left_out], shown(end)].concat();
    all.truncate(most);
    all
}

/// A line without its middle, if it is too long.
fn short(line: &str) -> String {
    let count = line.chars().count();
    if count <= START + END {
        return line.to_owned();
    }
    let start: String = line.chars().take(START).collect();
    let end: String = line.chars().skip(count - END).collect();
    format!("{start} … {} characters … {end}", count - START - END)
}
