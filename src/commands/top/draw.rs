//! The screen: a head, the rows, why tunnels end, and the keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize as _};
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::super::table::{age, bytes, tame};
use super::figures::Figures;
use super::screen::{Column, Line, Screen};

const BAR: usize = 20;
/// How many reasons have a row at most.
const REASONS: usize = 6;
const KEYS: &str = "q quit  ←→ sort  r reverse  ↑↓ scroll  g groups  / filter";

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame, screen: &Screen) {
    let reasons = reasons(screen);
    let below = reasons.len() as u16 + 1;
    let [head, rows, why, keys] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Min(2),
        Constraint::Length(below),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(head_lines(screen)), head);
    draw_rows(frame, rows, screen);
    draw_reasons(frame, why, reasons);
    frame.render_widget(Paragraph::new(last_line(screen)), keys);
}

fn head_lines(screen: &Screen) -> Vec<Text<'static>> {
    let Some(now) = &screen.now else {
        let waiting = screen
            .lost
            .clone()
            .unwrap_or_else(|| "waiting …".to_owned());
        return vec![Text::from(tame(&waiting))];
    };
    let title = format!("{}, up {}", tame(&now.title), age(now.up_seconds));
    let rate = |number: fn(&Figures) -> u64| screen.rate(number);
    let count = |rate: Option<f64>| rate.map_or("–".to_owned(), |rate| format!("{rate:.1}"));
    let flow = |rate: Option<f64>| rate.map_or("–".to_owned(), |rate| bytes(rate.max(0.0) as u64));
    let figures = format!(
        "{} tunnels, {}/s opened, {}/s closed, {}/s in, {}/s out",
        now.tunnels,
        count(rate(|now| now.opened)),
        count(rate(Figures::all_closed)),
        flow(rate(|now| now.bytes_in)),
        flow(rate(|now| now.bytes_out)),
    );
    let lost = screen.lost.as_deref().map(tame).unwrap_or_default();
    vec![
        Text::from(title.bold()),
        Text::from(figures),
        Text::from(lost.reversed()),
    ]
}

fn draw_rows(frame: &mut Frame, area: Rect, screen: &Screen) {
    let lines = screen.lines();
    let most = lines.iter().map(|line| line.row.tunnels).max().unwrap_or(0);
    let shown = usize::from(area.height.saturating_sub(1));
    let above = screen.above.min(lines.len().saturating_sub(shown));
    let rows = lines.iter().skip(above).take(shown);
    let rows = rows.map(|line| row(line, most));
    let longest = |text: fn(&Line) -> &str, least: u16| {
        let longest = lines.iter().map(|line| text(line).chars().count()).max();
        let longest = u16::try_from(longest.unwrap_or(0)).unwrap_or(u16::MAX);
        Constraint::Length(longest.clamp(least, 40))
    };
    let widths = [
        longest(|line| &line.row.group, 6),
        longest(|line| &line.row.target, 7),
        longest(|line| &line.row.state, 6),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Length(10),
        Constraint::Fill(1),
    ];
    let table = Table::new(rows, widths)
        .header(heads(screen))
        .column_spacing(2);
    frame.render_widget(table, area);
}

fn heads(screen: &Screen) -> Row<'static> {
    let head = |column: Column| {
        let is_it = column == screen.sorted_by;
        let mark = if is_it { "*" } else { "" };
        let style = if is_it {
            Modifier::BOLD | Modifier::UNDERLINED
        } else {
            Modifier::DIM
        };
        Cell::from(format!("{}{mark}", column.name())).style(Style::new().add_modifier(style))
    };
    Row::new(Column::ALL.map(head))
}

fn row(line: &Line, most: u64) -> Row<'static> {
    let row = &line.row;
    let filled = (row.tunnels * BAR as u64).checked_div(most).unwrap_or(0) as usize;
    let style = match row.is_well {
        true => Style::new(),
        false => Style::new().red(),
    };
    let cells = [
        tame(&row.group),
        tame(&row.target),
        tame(&row.state),
        format!("{:>6}", row.weight),
        format!("{:>7}", row.tunnels),
        format!("{:>+10.1}", line.change),
        "█".repeat(filled),
    ];
    Row::new(cells).style(style)
}

/// Why tunnels have ended: the reasons, the most frequent first.
fn reasons(screen: &Screen) -> Vec<(String, u64, Option<f64>)> {
    let closed = screen.now.iter().flat_map(|now| &now.closed);
    let seen = closed.filter(|(_, tunnels)| *tunnels > 0);
    let rate = |reason: &str| {
        let of = |figures: &Figures| {
            let found = figures.closed.iter().find(|(name, _)| name == reason);
            found.map_or(0, |(_, tunnels)| *tunnels)
        };
        screen.rate(of)
    };
    let mut reasons: Vec<_> = seen
        .map(|(reason, tunnels)| (tame(reason), *tunnels, rate(reason)))
        .collect();
    reasons.sort_by_key(|(_, tunnels, _)| std::cmp::Reverse(*tunnels));
    reasons.truncate(REASONS);
    reasons
}

fn draw_reasons(frame: &mut Frame, area: Rect, reasons: Vec<(String, u64, Option<f64>)>) {
    let head = Row::new(["CLOSED", "TUNNELS", "PER SECOND"]).dim();
    let row = |(reason, tunnels, rate): (String, u64, Option<f64>)| {
        let rate = rate.map_or(String::new(), |rate| format!("{rate:>10.1}"));
        Row::new([reason, format!("{tunnels:>7}"), rate])
    };
    let widths = [20, 8, 10].map(Constraint::Length);
    let table = Table::new(reasons.into_iter().map(row), widths).header(head);
    frame.render_widget(table.column_spacing(2), area);
}

fn last_line(screen: &Screen) -> Text<'static> {
    let filter = tame(&screen.filter);
    match (screen.is_typing, filter.is_empty()) {
        (true, _) => Text::from(vec![Span::raw("filter: "), filter.into(), "▏".into()]),
        (false, true) => Text::from(KEYS.dim()),
        (false, false) => Text::from(format!("filter: {filter} (Esc clears it)")),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::screen::tests::screen;
    use super::*;

    fn shown(screen: &Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, screen)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let cells = buffer.content().chunks(width.into());
        let line = |cells: &[ratatui::buffer::Cell]| -> String {
            cells.iter().map(ratatui::buffer::Cell::symbol).collect()
        };
        cells
            .map(|cells| line(cells).trim_end().to_owned())
            .collect()
    }

    #[test]
    fn the_screen_has_a_head_the_rows_the_reasons_and_the_keys() {
        let lines = shown(&screen(), 100, 12);
        let expected = [
            "culvert 9.9.9, serving, up 1h 1m",
            "12 tunnels, 10.0/s opened, 4.0/s closed, 0 B/s in, 0 B/s out",
            "",
            "GROUP   TARGET       STATE      WEIGHT   TUNNELS*  PER SECOND",
            "chat    10.0.0.1:80  healthy         1         7         +6.0  ████████████████████",
            "game    10.0.0.3:80  healthy         1         3         +0.0  ████████",
            "chat    10.0.0.2:80  unhealthy       1         2         +0.0  █████",
            "",
            "",
            "CLOSED                TUNNELS   PER SECOND",
            "client_closed               8          4.0",
            KEYS,
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_small_terminal_and_no_figures_are_no_fault() {
        for (width, height) in [(1, 1), (20, 4), (300, 3), (5, 40)] {
            shown(&screen(), width, height);
            shown(&Screen::default(), width, height);
        }
    }

    #[test]
    fn what_is_lost_is_said_and_names_cannot_steer_the_terminal() {
        let mut screen = screen();
        screen.lose("http://127.0.0.1:9900: gone\u{1b}[2J".into());
        let lines = shown(&screen, 60, 10);
        assert_eq!(lines[2], "http://127.0.0.1:9900: gone\u{FFFD}[2J");
        assert!(lines[1].contains("–/s opened"), "{lines:?}");
    }
}
