//! The table, and the page that it goes into: benches/INSTRUCTIONS.md.

use std::fmt;
use std::fs;
use std::io;
use std::time::SystemTime;

use crate::measure::median;
use crate::operation::Operation;
use crate::owner::Owner;
use crate::profile::Profile;
use crate::toolchain::processor;

/// The page.
pub(crate) const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/INSTRUCTIONS.md");

/// What was counted, by operation, round after round.
#[derive(Default)]
pub(crate) struct Table {
    rows: [Row; Operation::ALL.len()],
}

/// What one of an operation takes.
#[derive(Default)]
struct Row {
    instructions: Vec<f64>,
    allocations: Vec<f64>,
    owners: [Vec<f64>; Owner::ALL.len()],
}

impl Table {
    /// Takes what one round has given.
    pub(crate) fn add(&mut self, operation: Operation, profile: &Profile) {
        // What is done anyway may be a little less than was taken for it.
        let each = |count: f64| (count / operation.times() as f64).max(0.0);
        let row = &mut self.rows[operation as usize];
        row.instructions.push(each(profile.total()));
        row.allocations.push(each(profile.allocations));
        for (counts, count) in row.owners.iter_mut().zip(profile.instructions) {
            counts.push(each(count));
        }
    }

    /// The instructions and the allocations of one, where it was counted.
    pub(crate) fn counts(&self, operation: Operation) -> Option<[f64; 2]> {
        let row = &self.rows[operation as usize];
        Some([median(&row.instructions)?, median(&row.allocations)?])
    }
}

impl Row {
    /// What the rounds differ by at most, in percent of the median.
    fn spread(&self) -> f64 {
        let values = || self.instructions.iter().copied();
        let (Some(least), Some(most)) = (values().reduce(f64::min), values().reduce(f64::max))
        else {
            return 0.0;
        };
        (most - least) / median(&self.instructions).unwrap_or(most) * 100.0
    }

    fn share(&self, owner: Owner) -> f64 {
        let counts = self
            .owners
            .each_ref()
            .map(|counts| median(counts).unwrap_or_default());
        counts[owner as usize] / counts.iter().sum::<f64>() * 100.0
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owners = Owner::ALL.map(|owner| format!(" {owner} |")).concat();
        writeln!(
            f,
            "| median of the rounds | instructions | spread | allocations |{owners}"
        )?;
        writeln!(f, "|---|--:|--:|--:|{}", "--:|".repeat(Owner::ALL.len()))?;
        for operation in Operation::ALL {
            let Some([instructions, allocations]) = self.counts(operation) else {
                continue;
            };
            let row = &self.rows[operation as usize];
            let name = operation.name();
            let (count, spread) = (grouped(instructions), row.spread());
            write!(f, "| {name} | {count} | {spread:.1} % | {allocations:.1} |")?;
            for owner in Owner::ALL {
                write!(f, " {:.0} % |", row.share(owner))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A count, with a comma for each thousand.
pub(crate) fn grouped(count: f64) -> String {
    let digits = format!("{count:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes the page.
pub(crate) fn write(table: &Table, toolchain: &str, rounds: usize) -> io::Result<()> {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let page = include_str!("page.md")
        .replace("DATE", now.split('T').next().unwrap_or_default())
        .replace("PROCESSOR", &processor()?)
        .replace("TOOLCHAIN", toolchain)
        .replace("ROUNDS", &rounds.to_string())
        .replace("TABLE\n", &table.to_string());
    fs::write(PAGE, page)
}
