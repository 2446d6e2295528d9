//! The screen: a head, the rows, why tunnels end, and the keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize as _};
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::super::table::{age, bytes, tame};
use super::columns::{SPACING, Widths, cells, cut, width};
use super::figures::Figures;
use super::refused;
use super::screen::{Column, Line, Screen};

/// How many reasons have a row at most.
const REASONS: usize = 6;
/// How much of the width why tunnels close has at most.
const CLOSED: u16 = 46;
const KEYS: &str = "q quit  ←→ sort  r reverse  ↑↓ scroll  g groups  f refusals  / filter";

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame, screen: &Screen) {
    let reasons = reasons(screen);
    let refusals = screen.now.as_ref().map_or(0, |now| now.refusals.len());
    let below = reasons.len().max(refusals.min(REASONS)) as u16 + 1;
    let [head, rows, why, keys] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Min(2),
        Constraint::Length(below),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(head_lines(screen)), head);
    let [closed, refused] = Layout::horizontal([Constraint::Max(CLOSED), Constraint::Min(0)])
        .spacing(2 * SPACING)
        .areas(why);
    match &screen.now {
        Some(now) if screen.shows_refusals => refused::draw_last(frame, rows, now),
        _ => draw_rows(frame, rows, screen),
    }
    draw_reasons(frame, closed, reasons);
    if let Some(now) = &screen.now {
        refused::draw_reasons(frame, refused, now);
    }
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
    let up = age(now.up_seconds as u64);
    let title = format!("{}, up {up}, {}", tame(&now.title), now.tunnels);
    let rate = |number: fn(&Figures) -> u64| screen.rate(number);
    let count = |rate: Option<f64>| rate.map_or("–".to_owned(), |rate| format!("{rate:.1}"));
    let flow = |rate: Option<f64>| rate.map_or("–".to_owned(), |rate| bytes(rate.max(0.0) as u64));
    let figures = format!(
        "{}/s opened, {}/s closed, {}/s refused, {}/s in, {}/s out",
        count(rate(|now| now.opened)),
        count(rate(Figures::all_closed)),
        count(rate(|now| now.refused)),
        flow(rate(|now| now.bytes_in)),
        flow(rate(|now| now.bytes_out)),
    );
    let last = match &screen.lost {
        Some(lost) => tame(lost).reversed(),
        None => tame(&now.vitals).dim(),
    };
    vec![
        Text::from(title.bold()),
        Text::from(figures),
        Text::from(last),
    ]
}

fn draw_rows(frame: &mut Frame, area: Rect, screen: &Screen) {
    let lines = screen.lines();
    let most = lines.iter().map(|line| line.row.tunnels).max().unwrap_or(0);
    let all: Vec<_> = lines.iter().map(cells).collect();
    let widths = Widths::of(&all, area.width);
    let shown = usize::from(area.height.saturating_sub(1));
    let above = screen.above.min(lines.len().saturating_sub(shown));
    let rows = lines.iter().zip(all).skip(above).take(shown);
    let rows = rows.map(|(line, cells)| row(line, cells, &widths, most));
    let table = Table::new(rows, widths.all())
        .header(heads(screen, &widths))
        .column_spacing(SPACING);
    frame.render_widget(table, area);
}

fn heads(screen: &Screen, widths: &Widths) -> Row<'static> {
    let head = |column: Column| {
        let is_it = column == screen.sorted_by;
        let mark = if is_it { "*" } else { "" };
        let style = if is_it {
            Modifier::BOLD | Modifier::UNDERLINED
        } else {
            Modifier::DIM
        };
        let name = format!("{}{mark}", column.name());
        cell(column, name, widths).style(Style::new().add_modifier(style))
    };
    Row::new(Column::ALL.map(head))
}

fn row(line: &Line, cells: [String; 6], widths: &Widths, most: u64) -> Row<'static> {
    let style = match line.row.is_well {
        true => Style::new(),
        false => Style::new().red(),
    };
    let cells = Column::ALL.into_iter().zip(cells);
    let cells = cells.map(|(column, text)| cell(column, text, widths));
    let bar = widths.bar(line.row.tunnels, most).into();
    Row::new(cells.chain([bar])).style(style)
}

/// A text is cut where it must be; a number is to the right, and whole.
fn cell(column: Column, text: String, widths: &Widths) -> Cell<'static> {
    match column.is_number() {
        true => number(text),
        false => cut(text, widths.of_column(column)).into(),
    }
}

fn number(text: String) -> Cell<'static> {
    Cell::from(Text::from(text).right_aligned())
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
    let texts = |(reason, tunnels, rate): (String, u64, Option<f64>)| {
        let rate = rate.map_or("–".to_owned(), |rate| format!("{rate:.1}"));
        [reason, tunnels.to_string(), rate]
    };
    let head = ["CLOSED", "TUNNELS", "PER SECOND"].map(str::to_owned);
    let rows: Vec<[String; 3]> = reasons.into_iter().map(texts).collect();
    let widest = |column: usize| {
        let cells = rows.iter().chain([&head]).map(|row| width(&row[column]));
        cells.max().unwrap_or(0)
    };
    let [tunnels, rate] = [widest(1).max(8), widest(2)];
    let numbers = tunnels.saturating_add(rate).saturating_add(2 * SPACING);
    let reason = area.width.saturating_sub(numbers).min(20);
    let row = |[name, tunnels, rate]: [String; 3]| {
        Row::new([cut(name, reason).into(), number(tunnels), number(rate)])
    };
    let head = row(head.clone()).dim();
    let widths = [reason, tunnels, rate].map(Constraint::Length);
    let table = Table::new(rows.into_iter().map(row), widths).header(head);
    frame.render_widget(table.column_spacing(SPACING), area);
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
    use serde_json::json;

    use super::super::figures::tests::event;
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
            "culvert 9.9.9 on fra-1, serving, up 1h 1m, 12 tunnels",
            "10.0/s opened, 4.0/s closed, 2.0/s refused, 0 B/s in, 0 B/s out",
            "memory 0 of 0 MiB, certificate one 12 d left",
            "GROUP   TARGET       STATE       WEIGHT  TUNNELS*   CHANGE/S",
            "chat    10.0.0.1:80  healthy          1         7       +6.0  ████████████████████",
            "game    10.0.0.3:80  healthy          1         3       +0.0  ████████",
            "chat    10.0.0.2:80  unhealthy        1         2       +0.0  █████",
            "",
            "",
            "CLOSED                 TUNNELS  PER SECOND        REFUSED  IN 5 MIN  PER SECOND",
            "client_closed                8         4.0        origin          3         0.5",
            KEYS,
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn eighty_columns_show_every_digit() {
        let figures = |up_seconds, tunnels: u64, closed: u64| {
            let mut event = event(up_seconds, [7, 20, closed]);
            let target = &mut event["status"]["targetGroups"][0]["targets"][0];
            target["host"] = "a".repeat(40).into();
            target["override"] = json!({"weight": 256});
            target["weight"] = 256.into();
            target["openTunnels"] = tunnels.into();
            event["status"]["oldGenerationTunnels"] = 34_567.into();
            Figures::of(&event)
        };
        let mut screen = Screen::default();
        screen.take(figures(3661.0, 7, 8));
        screen.take(figures(3662.0, 1_234_567, 9_876_543_210));
        let lines = shown(&screen, 80, 12);
        let expected = [
            "culvert 9.9.9 on fra-1, serving, up 1h 1m, 12 tunnels + 34567 in old processes",
            "0.0/s opened, 9876543202.0/s closed, 0.0/s refused, 0 B/s in, 0 B/s out",
            "memory 0 of 0 MiB, certificate one 12 d left",
            "GROUP   TARGET                 STATE                WEIGHT  TUNNELS*    CHANGE/S",
            "chat    10.0.0.1:80 (aaaaaaa…  healthy (override)      256   1234567  +1234560.0",
            "game    10.0.0.3:80            healthy                   1         3        +0.0",
            "chat    10.0.0.2:80            unhealthy                 1         2        +0.0",
        ];
        assert_eq!(lines[..7], expected);
        let closed = "client_closed         9876543210  9876543202.0";
        assert!(lines[10].starts_with(closed), "{lines:?}");
    }

    #[test]
    fn the_last_refusals_are_shown_in_place_of_the_rows() {
        let mut screen = screen();
        screen.shows_refusals = true;
        let lines = shown(&screen, 100, 12);
        let expected = [
            "TIME (UTC)  CLIENT        RULE      REASON  STATUS  WHAT",
            "09:15:02    192.0.2.7:80  edge/all  origin  403     origin https://b /chat",
            "09:15:01    192.0.2.8     edge      memory  none",
        ];
        assert_eq!(lines[3..6], expected);
    }

    #[test]
    fn a_small_terminal_and_no_figures_are_no_fault() {
        for (width, height) in [(1, 1), (20, 4), (300, 3), (5, 40)] {
            let mut screen = screen();
            shown(&screen, width, height);
            screen.shows_refusals = true;
            shown(&screen, width, height);
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
