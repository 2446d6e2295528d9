//! What a failing test prints: at most [`MOST`] lines, none of them endless. What is in the middle is left out, and counted.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::panic::PanicHookInfo;
use std::sync::Once;

/// How many lines a test prints in all, and how many of them are its message, and the places in our files that led there.
const MOST: usize = 100;
const MESSAGE: usize = 40;
const PLACES: usize = 10;
/// How many characters of a line are shown, of its start and of its end.
const START: usize = 500;
const END: usize = 200;

thread_local! {
    /// How many lines this test may still print: every test has a thread of its own.
    static LEFT: Cell<usize> = const { Cell::new(MOST) };
}

/// From now on messages of tests that fail are cut to what can be read.
pub fn keep_short() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(say)));
}

fn say(info: &PanicHookInfo<'_>) {
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
