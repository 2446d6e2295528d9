//! Tables for a terminal: columns as wide as what is in them.

use serde_json::Value;

use super::answer::text;

/// Rows under a head. What a client chose to send cannot steer the terminal.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Only the head yet.
    pub(super) fn new(head: &[&str]) -> Self {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        Table { rows: vec![head] }
    }

    /// One more row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| tame(&cell));
        self.rows.push(cells.collect());
    }

    /// The lines, the last without an end.
    pub(super) fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            cells.join("  ").trim_end().to_owned()
        };
        let lines: Vec<String> = self.rows.iter().map(line).collect();
        lines.join("\n")
    }
}

/// A client's address, with its port where that is known.
pub(super) fn client(told: &Value) -> String {
    let ip = text(told, "/clientIp");
    match (told["clientPort"].as_u64(), ip.contains(':')) {
        (None, _) => ip,
        (Some(port), true) => format!("[{ip}]:{port}"),
        (Some(port), false) => format!("{ip}:{port}"),
    }
}

/// A text that cannot steer the terminal.
pub(super) fn tame(text: &str) -> String {
    text.replace(|c: char| c.is_control(), "\u{FFFD}")
}

/// A number of bytes, short.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (count.max(1).ilog2() / 10).min(4);
    let unit = UNITS[power as usize];
    match power {
        0 => format!("{count} {unit}"),
        _ => format!("{:.1} {unit}", count as f64 / 1024f64.powi(power as i32)),
    }
}

/// A duration, short: its two largest units.
pub(super) fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them_and_nothing_steers_the_terminal() {
        let mut table = Table::new(&["A", "LONG"]);
        table.row(["wide".to_owned(), "x".to_owned()]);
        table.row(["\x1b[2J".to_owned(), String::new()]);
        let lines = ["A     LONG", "wide  x", "\u{FFFD}[2J"];
        assert_eq!(table.text(), lines.join("\n"));
    }

    #[test]
    fn a_client_has_its_port_where_that_is_known() {
        for (told, expected) in [
            (serde_json::json!({"clientIp": "192.0.2.7"}), "192.0.2.7"),
            (
                serde_json::json!({"clientIp": "192.0.2.7", "clientPort": 80}),
                "192.0.2.7:80",
            ),
            (
                serde_json::json!({"clientIp": "::1", "clientPort": 80}),
                "[::1]:80",
            ),
        ] {
            assert_eq!(client(&told), expected);
        }
    }

    #[test]
    fn numbers_are_short() {
        for (count, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB")] {
            assert_eq!(bytes(count), text);
        }
        for (seconds, text) in [
            (59, "59s"),
            (61, "1m 1s"),
            (7260, "2h 1m"),
            (90_000, "1d 1h"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
