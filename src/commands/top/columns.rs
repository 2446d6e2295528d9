//! What is in the columns of the rows, and how wide they are.
//!
//! Numbers are whole whatever the terminal's width; texts share the room that is left, and a bar
//! has the rest.

use ratatui::layout::Constraint;
use ratatui::text::Span;

use super::super::table::tame;
use super::screen::{Column, Line};

/// Between two columns.
pub(super) const SPACING: u16 = 2;
/// How many columns are texts: the first.
const TEXTS: usize = 3;
const SHORTEST_BAR: u16 = 5;
const LONGEST_BAR: u16 = 20;

/// What a row says, column by column.
pub(super) fn cells(line: &Line) -> [String; 6] {
    let row = &line.row;
    let change = line.change;
    [
        tame(&row.group),
        tame(&row.target),
        tame(&row.state),
        row.weight.to_string(),
        row.tunnels.to_string(),
        change.map_or("–".to_owned(), |change| format!("{change:+.1}")),
    ]
}

/// How wide each column is, and the bar after them; 0 where it has no room.
pub(super) struct Widths {
    columns: [u16; 6],
    bar: u16,
}

impl Widths {
    /// The widths of rows in an area.
    pub(super) fn of(rows: &[[String; 6]], room: u16) -> Self {
        let mut columns = [0; 6];
        for (place, column) in Column::ALL.into_iter().enumerate() {
            // With the mark of what is sorted by, wherever that is.
            let head = width(column.name()) + 1;
            let cells = rows.iter().map(|row| width(&row[place]));
            columns[place] = cells.max().unwrap_or(0).max(head);
        }
        let gaps = SPACING * (columns.len() as u16 - 1);
        let numbers = columns[TEXTS..].iter().copied();
        let room = numbers.fold(room.saturating_sub(gaps), u16::saturating_sub);
        let texts = shared(room, [columns[0], columns[1], columns[2]]);
        columns[..TEXTS].copy_from_slice(&texts);
        let left = texts.into_iter().fold(room, u16::saturating_sub);
        let bar = left.saturating_sub(SPACING).min(LONGEST_BAR);
        let bar = if bar < SHORTEST_BAR { 0 } else { bar };
        Widths { columns, bar }
    }

    /// For a table: a bar without room is no column.
    pub(super) fn all(&self) -> impl Iterator<Item = Constraint> {
        let bar = Some(self.bar).filter(|bar| *bar > 0);
        let all = self.columns.into_iter().chain(bar);
        all.map(Constraint::Length)
    }

    pub(super) fn of_column(&self, column: Column) -> u16 {
        self.columns[column as usize]
    }

    /// As long as a number is to the most of all.
    pub(super) fn bar(&self, number: u64, most: u64) -> String {
        let part = number as f64 / most.max(1) as f64;
        "█".repeat((part * f64::from(self.bar)) as usize)
    }
}

/// Shares room: what one does not need goes to the others.
fn shared(room: u16, wanted: [u16; TEXTS]) -> [u16; TEXTS] {
    let mut least_first: [usize; TEXTS] = [0, 1, 2];
    least_first.sort_by_key(|place| wanted[*place]);
    let (mut widths, mut left) = ([0; TEXTS], room);
    for (place, waiting) in least_first.into_iter().zip([3, 2, 1]) {
        widths[place] = wanted[place].min(left / waiting);
        left -= widths[place];
    }
    widths
}

/// How many columns of the terminal a text needs.
pub(super) fn width(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

/// A text, or as much of it as there is room for: then with an ellipsis, for a part may look like a
/// whole.
pub(super) fn cut(text: String, room: u16) -> String {
    if width(&text) <= room {
        return text;
    }
    let mut part = String::new();
    for letter in text.chars() {
        part.push(letter);
        if width(&part) >= room {
            part.pop();
            break;
        }
    }
    part + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_text_does_not_need_goes_to_the_others() {
        for (room, wanted, expected) in [
            (100, [6, 54, 18], [6, 54, 18]),
            (46, [6, 54, 18], [6, 22, 18]),
            (30, [40, 40, 6], [12, 12, 6]),
            (9, [40, 40, 40], [3, 3, 3]),
            (0, [40, 40, 40], [0, 0, 0]),
        ] {
            assert_eq!(shared(room, wanted), expected, "{room} {wanted:?}");
        }
    }

    #[test]
    fn a_text_is_cut_by_what_it_takes_of_the_terminal() {
        for (text, room, expected) in [
            ("10.0.0.1:80", 11, "10.0.0.1:80"),
            ("10.0.0.1:80", 10, "10.0.0.1:…"),
            ("テスト", 6, "テスト"),
            ("テスト", 5, "テス…"),
            ("テスト", 4, "テ…"),
            ("ab", 1, "…"),
        ] {
            assert_eq!(cut(text.to_owned(), room), expected, "{text} {room}");
        }
    }

    #[test]
    fn the_bar_has_what_is_left_over_or_no_place() {
        let row = ["chat", "10.0.0.1:80", "healthy", "1", "7", "+6.0"].map(str::to_owned);
        for (room, expected) in [(100, 20), (70, 10), (60, 0), (10, 0), (0, 0)] {
            let widths = Widths::of(std::slice::from_ref(&row), room);
            assert_eq!(widths.bar, expected, "{room}");
            let all = widths.all().count();
            assert_eq!(all, if expected > 0 { 7 } else { 6 });
        }
    }
}
