//! The figures of one second, out of an event of the admin API; and what has changed from one to
//! the next.

use serde_json::Value;

use super::super::answer::{list, text};
use super::super::status::{
    address, is_in_use, open_tunnels, state, state_of_target, title, vitals,
};
use super::super::table::client;

/// What is known of the process at a moment.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    /// Of the process that they are about.
    pid: u64,
    /// `culvert 0.1.0 on fra-1, serving`
    pub(super) title: String,
    pub(super) up_seconds: f64,
    /// `12 tunnels`
    pub(super) tunnels: String,
    pub(super) opened: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// How many were refused.
    pub(super) refused: u64,
    /// The reasons of the last five minutes, with how many and how many a second.
    pub(super) refusals: Vec<(String, u64, f64)>,
    /// The last ones, the newest first.
    pub(super) last_refusals: Vec<Refused>,
    /// What is about to run out, or goes wrong unseen.
    pub(super) vitals: String,
    /// Tunnels closed, by reason.
    pub(super) closed: Vec<(String, u64)>,
    pub(super) targets: Vec<Row>,
}

/// Somebody who was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// `09:15:02`, UTC.
    pub(super) time: String,
    pub(super) client: String,
    /// The forwarding rule, and the HTTP rule where one matched.
    pub(super) rule: String,
    pub(super) reason: String,
    pub(super) status: String,
    pub(super) what: String,
}

/// A target, or a whole group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) group: String,
    /// Its address; of a group how many targets it has.
    pub(super) target: String,
    pub(super) state: String,
    /// Whether it gets anything new; of a group whether all of its targets do.
    pub(super) is_well: bool,
    pub(super) weight: u64,
    pub(super) tunnels: u64,
}

impl Figures {
    /// The figures of an event.
    pub(super) fn of(event: &Value) -> Self {
        let number = |pointer: &str| event.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let status = &event["status"];
        let reason = |closed: &Value| {
            let tunnels = closed["tunnels"].as_u64().unwrap_or(0);
            (text(closed, "/reason"), tunnels)
        };
        let groups = list(status, "/targetGroups").iter();
        Figures {
            pid: number("/status/pid"),
            title: format!("{}, {}", title(status), state(status)),
            up_seconds: status["uptimeSeconds"].as_f64().unwrap_or(0.0),
            tunnels: open_tunnels(status),
            opened: number("/traffic/opened"),
            bytes_in: number("/traffic/bytesIn"),
            bytes_out: number("/traffic/bytesOut"),
            refused: sum(list(status, "/refusals")
                .iter()
                .map(|refused| refused["total"].as_u64().unwrap_or(0))),
            refusals: lately(status),
            last_refusals: list(event, "/refusals")
                .iter()
                .rev()
                .map(Refused::of)
                .collect(),
            vitals: vitals(status),
            closed: list(event, "/traffic/closed").iter().map(reason).collect(),
            targets: groups.flat_map(rows).collect(),
        }
    }

    /// How many tunnels have closed, for whatever reason.
    pub(super) fn all_closed(&self) -> u64 {
        sum(self.closed.iter().map(|(_, tunnels)| *tunnels))
    }

    /// One row for each group, in the order of the configuration.
    pub(super) fn groups(&self) -> Vec<Row> {
        let groups = self.targets.chunk_by(|a, b| a.group == b.group);
        groups.map(Row::of_group).collect()
    }

    /// How many seconds the process was older than in other figures; `None` where those are of
    /// another process.
    pub(super) fn seconds_since(&self, before: &Figures) -> Option<f64> {
        // A pid may be had again, as in a container.
        let seconds = self.up_seconds - before.up_seconds;
        (self.pid == before.pid && seconds > 0.0).then_some(seconds)
    }
}

impl Refused {
    fn of(refused: &Value) -> Self {
        let part = |pointer: &str| Some(text(refused, pointer)).filter(|part| !part.is_empty());
        let joined = |parts: [Option<String>; 2], between: &str| {
            let parts: Vec<_> = parts.into_iter().flatten().collect();
            parts.join(between)
        };
        let time = text(refused, "/time");
        let origin = part("/origin").map(|origin| format!("origin {origin}"));
        Refused {
            time: time.get(11..19).unwrap_or(&time).to_owned(),
            client: client(refused),
            rule: joined([part("/forwardingRule"), part("/httpRule")], "/"),
            reason: text(refused, "/reason"),
            status: part("/httpStatusCode").unwrap_or_else(|| "none".to_owned()),
            what: joined(
                [origin.or_else(|| part("/error")), part("/requestUri")],
                " ",
            ),
        }
    }
}

/// The reasons for which somebody was refused lately, the most frequent first.
fn lately(status: &Value) -> Vec<(String, u64, f64)> {
    let reason = |refused: &Value| {
        let rate = refused["perSecond"].as_f64().unwrap_or(0.0);
        let count = refused["lately"].as_u64().unwrap_or(0);
        (text(refused, "/reason"), count, rate)
    };
    let all = list(status, "/refusals").iter().map(reason);
    let mut seen: Vec<_> = all.filter(|(_, count, _)| *count > 0).collect();
    seen.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
    seen
}

impl Row {
    fn of_group(targets: &[Row]) -> Row {
        let all = targets.len();
        let used = targets.iter().filter(|target| target.is_well).count();
        Row {
            group: targets[0].group.clone(),
            target: format!("{all} target{}", if all == 1 { "" } else { "s" }),
            state: format!("{used} of {all} in use"),
            is_well: used == all,
            weight: sum(targets.iter().map(|target| target.weight)),
            tunnels: sum(targets.iter().map(|target| target.tunnels)),
        }
    }
}

fn rows(group: &Value) -> impl Iterator<Item = Row> {
    list(group, "/targets").iter().map(|target| Row {
        group: text(group, "/name"),
        target: address(target),
        state: state_of_target(target),
        is_well: is_in_use(target),
        weight: target["weight"].as_u64().unwrap_or(0),
        tunnels: target["openTunnels"].as_u64().unwrap_or(0),
    })
}

/// Of what another process says, which may be too much.
fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// Two groups, of a process this old; `tunnels` are those of the first target, all that were
    /// opened, and those that were closed.
    pub(in crate::commands::top) fn event(
        up_seconds: f64,
        [tunnels, opened, closed]: [u64; 3],
    ) -> Value {
        let target = |address: &str, healthy: bool, tunnels: u64| {
            json!({
                "address": address, "healthy": healthy, "weight": 1, "openTunnels": tunnels,
            })
        };
        json!({
            "status": {
                "version": "9.9.9", "node": "fra-1", "pid": 7, "uptimeSeconds": up_seconds,
                "tunnels": tunnels + 5, "drain": {"state": "serving"},
                "certificates": [{"name": "two", "daysLeft": 30}, {"name": "one", "daysLeft": 12}],
                "refusals": [
                    {"reason": "origin", "total": opened / 5, "lately": 3, "perSecond": 0.5},
                    {"reason": "memory", "total": 9, "lately": 0, "perSecond": 0.0},
                ],
                "targetGroups": [
                    {"name": "chat", "targets": [
                        target("10.0.0.1:80", true, tunnels), target("10.0.0.2:80", false, 2),
                    ]},
                    {"name": "game", "targets": [target("10.0.0.3:80", true, 3)]},
                ],
            },
            "refusals": [
                {"time": "2026-11-27T09:15:01.000Z", "clientIp": "192.0.2.8",
                    "forwardingRule": "edge", "reason": "memory"},
                {"time": "2026-11-27T09:15:02.000Z", "clientIp": "192.0.2.7", "clientPort": 80,
                    "forwardingRule": "edge", "httpRule": "all", "reason": "origin",
                    "httpStatusCode": 403, "origin": "https://b", "error": "not allowed",
                    "requestUri": "/chat"},
            ],
            "traffic": {
                "opened": opened, "bytesIn": 4096, "bytesOut": 1 << 30,
                "closed": [
                    {"reason": "client_closed", "tunnels": closed},
                    {"reason": "drained", "tunnels": 0},
                ],
            },
        })
    }

    #[test]
    fn an_event_becomes_rows_and_sums() {
        let figures = Figures::of(&event(3661.5, [7, 20, 8]));
        assert_eq!(figures.title, "culvert 9.9.9 on fra-1, serving");
        assert_eq!((&*figures.tunnels, figures.all_closed()), ("12 tunnels", 8));
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
        assert_eq!((groups[0].tunnels, &*groups[0].state), (9, "1 of 2 in use"));
        assert_eq!((groups[1].tunnels, groups[1].is_well), (3, true));
    }

    #[test]
    fn what_is_not_there_is_nothing_and_what_is_too_much_is_no_fault() {
        let figures = Figures::of(&json!([]));
        assert_eq!((&*figures.tunnels, figures.targets.len()), ("0 tunnels", 0));
        let most = json!({"healthy": true, "weight": u64::MAX, "openTunnels": u64::MAX});
        let groups = json!([{"name": "a", "targets": [most, most]}]);
        let figures = Figures::of(&json!({"status": {"targetGroups": groups}}));
        assert_eq!(figures.groups()[0].tunnels, u64::MAX);
    }

    #[test]
    fn time_goes_by_what_the_same_process_says() {
        let figures = |up_seconds, pid: u64| {
            let mut event = event(up_seconds, [0, 0, 0]);
            event["status"]["pid"] = pid.into();
            Figures::of(&event)
        };
        let (before, now) = (figures(10.0, 1), figures(10.5, 1));
        assert_eq!(now.seconds_since(&before), Some(0.5));
        assert_eq!(before.seconds_since(&now), None, "begun anew");
        assert_eq!(figures(10.5, 2).seconds_since(&before), None);
    }
}
