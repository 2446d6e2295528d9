//! What the screen shows of the figures, and what keys change of that.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::ControlFlow;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::figures::{Figures, Row};

/// By what the rows are sorted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Group,
    Target,
    State,
    Weight,
    #[default]
    Tunnels,
    Change,
}

impl Column {
    pub(super) const ALL: [Column; 6] = [
        Column::Group,
        Column::Target,
        Column::State,
        Column::Weight,
        Column::Tunnels,
        Column::Change,
    ];

    /// Its head.
    pub(super) fn name(self) -> &'static str {
        match self {
            Column::Group => "GROUP",
            Column::Target => "TARGET",
            Column::State => "STATE",
            Column::Weight => "WEIGHT",
            Column::Tunnels => "TUNNELS",
            Column::Change => "CHANGE/S",
        }
    }

    /// Whether it has numbers; the largest come first.
    pub(super) fn is_number(self) -> bool {
        matches!(self, Column::Weight | Column::Tunnels | Column::Change)
    }
}

/// A row, and by how much its tunnels grow each second, as far as that is known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) row: Row,
    pub(super) change: Option<f64>,
}

/// What is shown.
#[derive(Default)]
pub(super) struct Screen {
    pub(super) now: Option<Figures>,
    /// The figures of the second before.
    before: Option<Figures>,
    /// Why the figures are old.
    pub(super) lost: Option<String>,
    pub(super) sorted_by: Column,
    pub(super) is_reversed: bool,
    pub(super) shows_groups: bool,
    pub(super) shows_refusals: bool,
    pub(super) filter: String,
    pub(super) is_typing: bool,
    /// How many rows are above the screen.
    pub(super) above: usize,
}

impl Screen {
    /// New figures.
    pub(super) fn take(&mut self, figures: Figures) {
        let last = self.now.replace(figures);
        // What was counted before a gap says nothing about a second.
        self.before = last.filter(|_| self.lost.is_none());
        self.lost = None;
    }

    /// There are none any more.
    pub(super) fn lose(&mut self, why: String) {
        self.lost = Some(why);
        self.before = None;
    }

    /// By how much a number grows each second, as far as that is known.
    pub(super) fn rate(&self, number: impl Fn(&Figures) -> u64) -> Option<f64> {
        let (before, now) = self.before.as_ref().zip(self.now.as_ref())?;
        let seconds = now.seconds_since(before)?;
        Some((number(now) as f64 - number(before) as f64) / seconds)
    }

    /// The rows to show, in their order.
    pub(super) fn lines(&self) -> Vec<Line> {
        let now = self.now.as_ref().map(|now| self.rows(now));
        let changes = self.changes();
        let line = |row: Row| {
            let change = changes(&row);
            Line { row, change }
        };
        let is_wanted = |row: &Row| {
            let texts = [&row.group, &row.target, &row.state];
            texts.iter().any(|text| text.contains(&self.filter))
        };
        let wanted = now.into_iter().flatten().filter(is_wanted);
        let mut lines: Vec<Line> = wanted.map(line).collect();
        lines.sort_by(|a, b| self.compare(a, b));
        lines
    }

    fn rows(&self, figures: &Figures) -> Vec<Row> {
        match self.shows_groups {
            true => figures.groups(),
            false => figures.targets.clone(),
        }
    }

    /// By how much the tunnels of a row grow each second.
    fn changes(&self) -> impl Fn(&Row) -> Option<f64> {
        let span = self.before.as_ref().zip(self.now.as_ref());
        let seconds = span.and_then(|(before, now)| now.seconds_since(before));
        let before = self.before.as_ref().map(|before| self.rows(before));
        let had = before.into_iter().flatten();
        let had: HashMap<_, _> = had
            .map(|row| ((row.group, row.target), row.tunnels))
            .collect();
        move |row| {
            let key = (row.group.clone(), row.target.clone());
            let had = *had.get(&key)?;
            Some((row.tunnels as f64 - had as f64) / seconds?)
        }
    }

    fn compare(&self, a: &Line, b: &Line) -> Ordering {
        let order = match self.sorted_by {
            Column::Group => a.row.group.cmp(&b.row.group),
            Column::Target => a.row.target.cmp(&b.row.target),
            Column::State => a.row.state.cmp(&b.row.state),
            Column::Weight => a.row.weight.cmp(&b.row.weight),
            Column::Tunnels => a.row.tunnels.cmp(&b.row.tunnels),
            Column::Change => {
                let [a, b] = [a, b].map(|line| line.change.unwrap_or(0.0));
                a.total_cmp(&b)
            }
        };
        match self.sorted_by.is_number() != self.is_reversed {
            true => order.reverse(),
            false => order,
        }
    }

    /// What a key does; breaks off where it ends all.
    pub(super) fn press(&mut self, key: KeyEvent) -> ControlFlow<()> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
        }
        if self.is_typing {
            self.type_in(key.code);
            return ControlFlow::Continue(());
        }
        match key.code {
            KeyCode::Char('q') => return ControlFlow::Break(()),
            KeyCode::Char('g') => (self.shows_groups, self.above) = (!self.shows_groups, 0),
            KeyCode::Char('f') => self.shows_refusals = !self.shows_refusals,
            KeyCode::Char('r') => self.is_reversed = !self.is_reversed,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Right | KeyCode::Tab => self.sort_by_neighbour(1),
            KeyCode::Left | KeyCode::BackTab => self.sort_by_neighbour(Column::ALL.len() - 1),
            KeyCode::Down => self.scroll(1),
            KeyCode::PageDown => self.scroll(10),
            KeyCode::Up => self.above = self.above.saturating_sub(1),
            KeyCode::PageUp => self.above = self.above.saturating_sub(10),
            KeyCode::Home => self.above = 0,
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn type_in(&mut self, key: KeyCode) {
        self.above = 0;
        match key {
            KeyCode::Char(letter) => self.filter.push(letter),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.is_typing = false;
            }
            _ => {}
        }
    }

    fn sort_by_neighbour(&mut self, steps: usize) {
        let place = Column::ALL
            .iter()
            .position(|column| *column == self.sorted_by);
        let place = (place.unwrap_or(0) + steps) % Column::ALL.len();
        (self.sorted_by, self.is_reversed) = (Column::ALL[place], false);
    }

    fn scroll(&mut self, rows: usize) {
        let last = self.lines().len().saturating_sub(1);
        self.above = (self.above + rows).min(last);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::figures::tests::event;
    use super::*;

    /// After two events, a second apart.
    pub(in crate::commands::top) fn screen() -> Screen {
        let mut screen = Screen::default();
        screen.take(Figures::of(&event(3660.5, [1, 10, 4])));
        screen.take(Figures::of(&event(3661.5, [7, 20, 8])));
        screen
    }

    fn press(screen: &mut Screen, keys: &[KeyCode]) -> bool {
        let press = |key: &KeyCode| screen.press(KeyEvent::from(*key)).is_break();
        let ends: Vec<bool> = keys.iter().map(press).collect();
        ends.contains(&true)
    }

    fn shown(screen: &Screen) -> Vec<(String, Option<f64>)> {
        let lines = screen.lines().into_iter();
        lines.map(|line| (line.row.target, line.change)).collect()
    }

    fn targets(screen: &Screen) -> Vec<String> {
        shown(screen)
            .into_iter()
            .map(|(target, _)| target)
            .collect()
    }

    #[test]
    fn rows_are_sorted_by_the_column_that_is_chosen() {
        const BY_TUNNELS: [&str; 3] = ["10.0.0.1:80", "10.0.0.3:80", "10.0.0.2:80"];
        let mut screen = screen();
        assert_eq!(targets(&screen), BY_TUNNELS);
        press(&mut screen, &[KeyCode::Char('r')]);
        let reversed: Vec<_> = BY_TUNNELS.into_iter().rev().collect();
        assert_eq!(targets(&screen), reversed);
        press(&mut screen, &[KeyCode::Right]);
        assert_eq!(screen.sorted_by, Column::Change);
        assert_eq!(shown(&screen)[0], ("10.0.0.1:80".to_owned(), Some(6.0)));
        press(&mut screen, &[KeyCode::Left; 4]);
        assert_eq!(screen.sorted_by, Column::Target);
        assert_eq!(
            targets(&screen),
            ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]
        );
    }

    #[test]
    fn groups_are_shown_instead_of_targets_and_a_filter_leaves_some() {
        let mut screen = screen();
        press(&mut screen, &[KeyCode::Char('g')]);
        assert_eq!(
            shown(&screen),
            [
                ("2 targets".to_owned(), Some(6.0)),
                ("1 target".to_owned(), Some(0.0))
            ]
        );
        press(&mut screen, &[KeyCode::Char('g'), KeyCode::Char('/')]);
        press(
            &mut screen,
            &"unq".chars().map(KeyCode::Char).collect::<Vec<_>>(),
        );
        press(&mut screen, &[KeyCode::Backspace, KeyCode::Enter]);
        assert_eq!(targets(&screen), ["10.0.0.2:80"]);
        press(&mut screen, &[KeyCode::Esc]);
        assert_eq!(targets(&screen).len(), 3);
    }

    #[test]
    fn scrolling_stops_at_both_ends() {
        let mut screen = screen();
        press(&mut screen, &[KeyCode::PageDown]);
        assert_eq!(screen.above, 2);
        press(&mut screen, &[KeyCode::Up, KeyCode::PageUp]);
        assert_eq!(screen.above, 0);
    }

    #[test]
    fn q_and_control_c_end_it_and_a_q_in_a_filter_does_not() {
        let mut screen = screen();
        assert!(!press(
            &mut screen,
            &[KeyCode::Char('/'), KeyCode::Char('q')]
        ));
        let stop = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(screen.press(stop).is_break());
        assert!(press(&mut screen, &[KeyCode::Esc, KeyCode::Char('q')]));
    }

    #[test]
    fn only_two_figures_in_a_row_of_one_process_give_rates() {
        let opened = |screen: &Screen| screen.rate(|figures| figures.opened);
        let mut screen = screen();
        assert_eq!(opened(&screen), Some(10.0));
        screen.lose("gone".into());
        assert_eq!((opened(&screen), shown(&screen)[0].1), (None, None));
        screen.take(Figures::of(&event(3671.5, [9, 30, 8])));
        assert_eq!((opened(&screen), shown(&screen)[0].1), (None, None));
        screen.take(Figures::of(&event(3672.0, [8, 31, 8])));
        let rates = (opened(&screen), shown(&screen)[0].1);
        assert_eq!(rates, (Some(2.0), Some(-2.0)));
        let mut of_another = event(3673.0, [0, 0, 0]);
        of_another["status"]["pid"] = 8.into();
        screen.take(Figures::of(&of_another));
        assert_eq!((opened(&screen), shown(&screen)[0].1), (None, None));
    }
}
