//! The figures of one second, out of an event of the admin API; and what has changed from one to the next.

use std::time::Instant;

use serde_json::Value;

use super::super::status::{address, state, state_of_target};
use super::super::{list, text};

/// What is known of the process at a moment.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    pub(super) at: Instant,
    /// `culvert 0.1.0, serving`
    pub(super) title: String,
    pub(super) up_seconds: u64,
    pub(super) tunnels: u64,
    pub(super) opened: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// Tunnels closed, by reason.
    pub(super) closed: Vec<(String, u64)>,
    pub(super) targets: Vec<Row>,
}

/// A target, or a whole group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) group: String,
    /// Its address; of a group how many of its targets are healthy.
    pub(super) target: String,
    pub(super) state: String,
    pub(super) is_well: bool,
    pub(super) weight: u64,
    pub(super) tunnels: u64,
}

impl Figures {
    /// Those of an event.
    pub(super) fn of(event: &Value, at: Instant) -> Self {
        let number = |pointer: &str| event.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let status = &event["status"];
        let reason = |closed: &Value| {
            let tunnels = closed["tunnels"].as_u64().unwrap_or(0);
            (text(closed, "/reason"), tunnels)
        };
        let groups = list(status, "/targetGroups").iter();
        Figures {
            at,
            title: format!("culvert {}, {}", text(status, "/version"), state(status)),
            up_seconds: status["uptimeSeconds"].as_f64().unwrap_or(0.0) as u64,
            tunnels: number("/status/tunnels"),
            opened: number("/traffic/opened"),
            bytes_in: number("/traffic/bytesIn"),
            bytes_out: number("/traffic/bytesOut"),
            closed: list(event, "/traffic/closed").iter().map(reason).collect(),
            targets: groups.flat_map(rows).collect(),
        }
    }

    /// How many tunnels have closed, for whatever reason.
    pub(super) fn all_closed(&self) -> u64 {
        self.closed.iter().map(|(_, tunnels)| tunnels).sum()
    }

    /// One row for each group, in the order of the configuration.
    pub(super) fn groups(&self) -> Vec<Row> {
        let mut groups: Vec<(Row, usize, usize)> = Vec::new();
        for target in &self.targets {
            let known = groups
                .iter()
                .position(|(row, ..)| row.group == target.group);
            let place = known.unwrap_or_else(|| {
                let group = target.group.clone();
                let row = Row {
                    group,
                    ..Row::default()
                };
                groups.push((row, 0, 0));
                groups.len() - 1
            });
            let (row, well, all) = &mut groups[place];
            row.weight += target.weight;
            row.tunnels += target.tunnels;
            *well += usize::from(target.is_well);
            *all += 1;
        }
        let row = |(mut row, well, all): (Row, usize, usize)| {
            row.target = format!("{all} target{}", if all == 1 { "" } else { "s" });
            row.state = format!("{well} of {all} healthy");
            row.is_well = well == all;
            row
        };
        groups.into_iter().map(row).collect()
    }
}

fn rows(group: &Value) -> impl Iterator<Item = Row> {
    list(group, "/targets").iter().map(|target| Row {
        group: text(group, "/name"),
        target: address(target),
        state: state_of_target(target),
        is_well: target["healthy"].as_bool() == Some(true),
        weight: target["weight"].as_u64().unwrap_or(0),
        tunnels: target["openTunnels"].as_u64().unwrap_or(0),
    })
}

/// How much a number grew each second between two moments.
pub(super) fn rate(before: &Figures, now: &Figures, number: impl Fn(&Figures) -> u64) -> f64 {
    let seconds = now.at.duration_since(before.at).as_secs_f64();
    let grown = number(now) as f64 - number(before) as f64;
    if seconds > 0.0 { grown / seconds } else { 0.0 }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    /// Two groups; `tunnels` are those of the first target, all that were opened, and those that were closed.
    pub(in crate::commands::top) fn event(tunnels: u64, opened: u64, closed: u64) -> Value {
        let target = |address: &str, healthy: bool, tunnels: u64| json!({"address": address, "healthy": healthy, "weight": 1, "openTunnels": tunnels});
        json!({
            "status": {
                "version": "9.9.9", "uptimeSeconds": 3661.5, "tunnels": tunnels + 5, "drain": {"state": "serving"},
                "targetGroups": [
                    {"name": "chat", "targets": [target("10.0.0.1:80", true, tunnels), target("10.0.0.2:80", false, 2)]},
                    {"name": "game", "targets": [target("10.0.0.3:80", true, 3)]},
                ],
            },
            "traffic": {
                "opened": opened, "bytesIn": 4096, "bytesOut": 1 << 30,
                "closed": [{"reason": "client_closed", "tunnels": closed}, {"reason": "drained", "tunnels": 0}],
            },
        })
    }

    #[test]
    fn an_event_becomes_rows_and_sums() {
        let figures = Figures::of(&event(7, 20, 8), Instant::now());
        assert_eq!(figures.title, "culvert 9.9.9, serving");
        assert_eq!((figures.tunnels, figures.all_closed()), (12, 8));
        let rows: Vec<_> = figures
            .targets
            .iter()
            .map(|row| (&*row.target, row.tunnels))
            .collect();
        assert_eq!(
            rows,
            [("10.0.0.1:80", 7), ("10.0.0.2:80", 2), ("10.0.0.3:80", 3)]
        );
        let groups = figures.groups();
        assert_eq!(
            (groups[0].tunnels, &*groups[0].state),
            (9, "1 of 2 healthy")
        );
        assert_eq!((groups[1].tunnels, groups[1].is_well), (3, true));
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        let figures = Figures::of(&json!([]), Instant::now());
        assert_eq!((figures.tunnels, figures.targets.len()), (0, 0));
    }

    #[test]
    fn rates_are_by_the_second() {
        let began = Instant::now();
        let before = Figures::of(&event(1, 10, 0), began);
        let now = Figures::of(&event(1, 25, 0), began + Duration::from_millis(500));
        assert_eq!(rate(&before, &now, |figures| figures.opened), 30.0);
        assert_eq!(rate(&before, &before, |figures| figures.opened), 0.0);
    }
}
