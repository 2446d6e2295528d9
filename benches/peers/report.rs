//! The table, and the page that it goes into: benches/RESULTS.md.

use std::fmt;
use std::fs;
use std::io;
use std::time::SystemTime;

use crate::figure::{Figure, Goal};
use crate::load::{LOGGED, UNLOGGED};
use crate::measure::median;
use crate::proxies::Kind;

/// What was measured, by figure and proxy, round after round.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    goal: Option<Goal>,
    values: [Vec<f64>; Kind::ALL.len()],
}

impl Table {
    /// Takes what one run has given.
    pub(crate) fn add(&mut self, kind: Kind, figures: Vec<Figure>) {
        for figure in figures {
            let place = self.rows.iter().position(|row| row.name == figure.name);
            let place = place.unwrap_or_else(|| {
                self.rows.push(Row {
                    name: figure.name,
                    goal: figure.goal,
                    values: Default::default(),
                });
                self.rows.len() - 1
            });
            self.rows[place].values[kind as usize].push(figure.value);
        }
    }

    /// By what part the access log raises the CPU of a plain request.
    fn log_cost(&self, kind: Kind) -> Option<f64> {
        let cpu = |load: &str| {
            let name = format!("{load}, CPU, µs");
            let row = self.rows.iter().find(|row| row.name == name)?;
            row.median(kind)
        };
        Some(cpu(LOGGED)? / cpu(UNLOGGED)? - 1.0)
    }
}

impl Row {
    fn median(&self, kind: Kind) -> Option<f64> {
        median(&self.values[kind as usize])
    }

    /// Ours by the lowest of the others'.
    fn ratio(&self) -> Option<f64> {
        let peers = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Culvert);
        let best = peers.filter_map(|kind| self.median(kind)).reduce(f64::min);
        Some(self.median(Kind::Culvert)? / best?)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, names) = (Kind::Culvert.name(), Kind::ALL.map(Kind::name).join(" | "));
        writeln!(
            f,
            "| median of the rounds | {names} | {ours} ÷ best peer | goal |"
        )?;
        writeln!(f, "|---|{}--:|--:|", "--:|".repeat(Kind::ALL.len()))?;
        for row in &self.rows {
            write!(f, "| {} |", row.name)?;
            for kind in Kind::ALL {
                write!(f, " {} |", number(row.median(kind)))?;
            }
            let ratio = row
                .ratio()
                .map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
            let goal = match row.goal {
                Some(Goal::Most(most)) => format!("≤ {}", number(Some(most))),
                Some(Goal::BestPeer) => "≤ best peer".to_owned(),
                None => String::new(),
            };
            writeln!(f, " {ratio} | {goal} |")?;
        }
        Ok(())
    }
}

/// Three digits, or all before the point.
fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value < 10.0 => format!("{value:.2}"),
        Some(value) if value < 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

/// Writes the page.
pub(crate) fn write(table: &Table, rounds: usize) -> io::Result<()> {
    let mut versions = Vec::new();
    for kind in Kind::ALL {
        versions.push(format!("{} {}", kind.name(), kind.version()?));
    }
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let page = include_str!("results.md")
        .replace("DATE", now.split('T').next().unwrap_or_default())
        .replace("MACHINE", &machine()?)
        .replace("VERSIONS", &versions.join(", "))
        .replace("ROUNDS", &rounds.to_string())
        .replace("LOG_COST", &log_cost(table))
        .replace("TABLE\n", &table.to_string());
    fs::write(
        concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md"),
        page,
    )
}

fn log_cost(table: &Table) -> String {
    let cost = |kind: Kind| {
        let cost = table.log_cost(kind).unwrap_or(f64::NAN);
        format!("{:.0} % with {}", cost * 100.0, kind.name())
    };
    Kind::ALL.map(cost).join(", ")
}

fn machine() -> io::Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cores = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let model = field(&cpu, "model name").unwrap_or("unknown processor");
    let kilobytes =
        field(&memory, "MemTotal").and_then(|text| text.strip_suffix(" kB")?.parse::<f64>().ok());
    let gibibytes = kilobytes.unwrap_or_default() / f64::from(1 << 20);
    Ok(format!(
        "{cores} cores ({model}), {gibibytes:.0} GiB, Linux {}",
        kernel.trim()
    ))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}
