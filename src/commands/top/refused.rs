//! Who is refused: the reasons of the last minutes, and the last ones in place of the rows.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Stylize as _;
use ratatui::text::Line as Text;
use ratatui::widgets::{Cell, Row, Table};

use super::super::table::tame;
use super::columns::{SPACING, cut, width};
use super::figures::{Figures, Refused};

const HEADS: [&str; 6] = ["TIME (UTC)", "CLIENT", "RULE", "REASON", "STATUS", "WHAT"];
/// How wide a column is at most.
const WIDEST: u16 = 40;

/// The last ones, the newest first.
pub(super) fn draw_last(frame: &mut Frame, area: Rect, figures: &Figures) {
    let rows: Vec<[String; 6]> = figures.last_refusals.iter().map(cells).collect();
    let head = HEADS.map(str::to_owned);
    let widest = |column: usize| {
        let cells = rows.iter().chain([&head]).map(|row| width(&row[column]));
        cells.max().unwrap_or(0).min(WIDEST)
    };
    let mut left = area.width;
    let widths: [u16; 6] = std::array::from_fn(|column| {
        let wanted = if column + 1 == HEADS.len() {
            left
        } else {
            widest(column)
        };
        let width = wanted.min(left);
        left = left.saturating_sub(width.saturating_add(SPACING));
        width
    });
    let row = |row: [String; 6]| {
        let cells = row.into_iter().zip(widths);
        Row::new(cells.map(|(text, width)| Cell::from(cut(text, width))))
    };
    let table = Table::new(rows.into_iter().map(row), widths.map(Constraint::Length));
    frame.render_widget(table.header(row(head).dim()).column_spacing(SPACING), area);
}

fn cells(refused: &Refused) -> [String; 6] {
    let Refused {
        time,
        client,
        rule,
        reason,
        status,
        what,
    } = refused;
    [time, client, rule, reason, status, what].map(|text| tame(text))
}

/// The reasons of the last five minutes, as many as there is room for.
pub(super) fn draw_reasons(frame: &mut Frame, area: Rect, figures: &Figures) {
    if figures.refusals.is_empty() {
        return;
    }
    let texts = |(reason, count, rate): &(String, u64, f64)| {
        [tame(reason), count.to_string(), format!("{rate:.1}")]
    };
    let head = ["REFUSED", "IN 5 MIN", "PER SECOND"].map(str::to_owned);
    let widest = |column: usize| {
        let rows = figures
            .refusals
            .iter()
            .map(|reason| width(&texts(reason)[column]));
        rows.chain([width(&head[column])]).max().unwrap_or(0)
    };
    let numbers = [widest(1), widest(2)];
    let taken = numbers[0]
        .saturating_add(numbers[1])
        .saturating_add(2 * SPACING);
    let reason = area.width.saturating_sub(taken).min(widest(0));
    let right = |text: String| Cell::from(Text::from(text).right_aligned());
    let row = |[name, count, rate]: [String; 3]| {
        Row::new([cut(name, reason).into(), right(count), right(rate)])
    };
    let rows = figures.refusals.iter().map(|reason| row(texts(reason)));
    let widths = [reason, numbers[0], numbers[1]].map(Constraint::Length);
    let head = row(head.clone()).dim();
    frame.render_widget(
        Table::new(rows, widths)
            .header(head)
            .column_spacing(SPACING),
        area,
    );
}
