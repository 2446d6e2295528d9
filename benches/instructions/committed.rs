//! The figures that are committed, and whether what was counted keeps to them.

use std::fs;
use std::io;
use std::process::ExitCode;

use crate::operation::Operation;
use crate::report::{PAGE, Table, grouped};
use crate::toolchain::processor;

/// By how much a count may be above the committed one, or below it without a word.
const TOLERANCE: f64 = 0.05;
/// Less than this is no difference: an echo allocates once in many times.
const SLACK: f64 = 0.5;
/// What stands before the toolchain on the page, and after it.
const BEFORE: &str = "Made with ";
const AFTER: &str = ".\n";
const TO_ACCEPT: &str = "If the change is worth it, `make bench-instructions` writes new figures: \
    commit benches/INSTRUCTIONS.md with it.";

/// Compares, and says what differs. Fails where more is executed than before, if compiler,
/// libraries and processor are the same: libraries choose their code by what that can do.
pub(crate) fn check(table: &Table, toolchain: &str) -> io::Result<ExitCode> {
    let page = fs::read_to_string(PAGE)?;
    let mut worse = 0;
    for operation in Operation::ALL {
        let Some(now) = table.counts(operation) else {
            continue;
        };
        let before = committed(&page, operation)?;
        for (what, now, before) in [
            ("instructions", now[0], before[0]),
            ("allocations", now[1], before[1]),
        ] {
            worse += usize::from(compare(operation.name(), what, now, before));
        }
    }
    let made_with = page
        .split_once(BEFORE)
        .and_then(|(_, rest)| rest.split_once(AFTER));
    let made_with = made_with.map_or("something unknown", |(words, _)| words);
    let processor = processor()?;
    let on = format!(", on {processor}.");
    if made_with != toolchain || !page.contains(&on) {
        println!(
            "The figures were made with {made_with}. This is {toolchain}, on {processor}: \
             differences are no faults."
        );
        return Ok(ExitCode::SUCCESS);
    }
    if worse == 0 {
        println!("Nothing takes more than 5 % above benches/INSTRUCTIONS.md.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{TO_ACCEPT}");
    Ok(ExitCode::FAILURE)
}

/// Tells whether it is too much.
fn compare(name: &str, what: &str, now: f64, before: f64) -> bool {
    let by = now / before - 1.0;
    if by.abs() <= TOLERANCE || (now - before).abs() <= SLACK {
        return false;
    }
    let (side, percent) = match by > 0.0 {
        true => ("above", by * 100.0),
        false => ("below", by * -100.0),
    };
    let (now, before) = (grouped(now), grouped(before));
    println!("{name}: {now} {what}, {percent:.1} % {side} the {before} that are committed.");
    by > 0.0
}

/// The instructions and the allocations on the page.
fn committed(page: &str, operation: Operation) -> io::Result<[f64; 2]> {
    let begin = format!("| {} | ", operation.name());
    let row = page.lines().find_map(|line| line.strip_prefix(&begin));
    let mut cells = row.unwrap_or_default().split(" | ");
    let mut number = |place| {
        cells
            .nth(place)
            .and_then(|cell| cell.replace(',', "").parse().ok())
    };
    let counts = number(0).zip(number(1));
    let (instructions, allocations) = counts.ok_or_else(|| {
        io::Error::other(format!(
            "no row of benches/INSTRUCTIONS.md begins with {begin:?}"
        ))
    })?;
    Ok([instructions, allocations])
}
