//! What is to be written of a status, among what is there: nothing where it is as it should be.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::gateway::former::KINDS;
use crate::gateway::objects::Kind;
use crate::gateway::statuses::{Body, Condition, Status};

/// How many entries a route's `parents` may have, and a policy's `ancestors`.
const PARENTS: usize = 32;
const ANCESTORS: usize = 16;
/// How many addresses a Gateway may have.
const ADDRESSES: usize = 16;
/// Since when a condition is what it is.
const TIME: &str = "lastTransitionTime";

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    /// A status that is ours, beside which others may have parts of their own.
    Applied(Value),
    /// A list that belongs to all controllers, whole.
    Listed(Value),
}

impl Wanted {
    /// Whether it is the same, whenever that began.
    pub(super) fn is_like(&self, other: &Wanted) -> bool {
        match (self, other) {
            (Wanted::Applied(one), Wanted::Applied(other))
            | (Wanted::Listed(one), Wanted::Listed(other)) => timeless(one) == timeless(other),
            _ => false,
        }
    }
}

/// Without times.
fn timeless(value: &Value) -> Value {
    match value {
        Value::Array(all) => all.iter().map(timeless).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(key, _)| *key != TIME);
            let fields = fields.map(|(key, value)| (key.clone(), timeless(value)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

/// A Gateway that these nodes have yet to serve is not programmed.
pub(super) fn wait_for(status: &mut Status, nodes: &[String]) {
    let Body::Gateway { conditions, .. } = &mut status.body else {
        return;
    };
    let mut conditions = conditions.iter_mut();
    let programmed = conditions.find(|condition| condition.kind == "Programmed");
    if let Some(programmed) = programmed.filter(|_| !nodes.is_empty()) {
        let message = match nodes.len() {
            1..=5 => format!("Not served yet by {}", nodes.join(", ")),
            all => format!("Not served yet by {all} nodes"),
        };
        let since = programmed.since;
        *programmed = Condition::fails("Programmed", "Pending", message);
        programmed.since = since;
    }
}

/// The addresses of a Gateway at all nodes, this one's first, as many as there is room for.
pub(super) fn with_addresses(status: &mut Status, others: Vec<String>) {
    let Body::Gateway { addresses, .. } = &mut status.body else {
        return;
    };
    let mut others = others;
    others.sort();
    for address in others {
        if addresses.len() < ADDRESSES && !addresses.iter().any(|known| **known == *address) {
            addresses.push(address.into());
        }
    }
}

/// What is to be written of an object, which has `now` as its status.
pub(super) fn wanted(
    kind: Kind,
    status: Option<&Status>,
    now: Option<&Value>,
    controller: &str,
) -> Option<Wanted> {
    let list = match status.map(|status| &status.body) {
        Some(Body::Parents(_)) => Some(("parents", "parentRef", PARENTS)),
        Some(Body::Ancestors(_)) => Some(("ancestors", "ancestorRef", ANCESTORS)),
        Some(_) => None,
        None if kind == Kind::HttpRoute => Some(("parents", "parentRef", PARENTS)),
        None => Some(("ancestors", "ancestorRef", ANCESTORS)),
    };
    let written = status.map(|status| status.status(controller));
    match list {
        Some((key, reference, most)) => {
            let empty = Vec::new();
            let entries = |value: Option<&Value>| {
                let list = value.and_then(|value| value.get(key)?.as_array());
                list.unwrap_or(&empty).clone()
            };
            let before = entries(now);
            let ours = entries(written.as_ref());
            let after = merged(&before, ours, reference, most, controller);
            let after = json!({key: after});
            let is_same = canonical(&after) == canonical(&json!({key: before}));
            (!is_same).then_some(Wanted::Listed(after))
        }
        None => {
            let mut written = written?;
            keep_times(&mut written, now);
            let is_same = now.is_some_and(|now| canonical(&written) == canonical(&ours(now)));
            (!is_same).then_some(Wanted::Applied(written))
        }
    }
}

/// The entries of others as they are, and ours, as many as there is room for.
fn merged(
    before: &[Value],
    mut ours: Vec<Value>,
    reference: &str,
    most: usize,
    controller: &str,
) -> Vec<Value> {
    let is_ours = |entry: &Value| entry["controllerName"] == controller;
    let mut all = Vec::new();
    for entry in before {
        if !is_ours(entry) {
            all.push(entry.clone());
            continue;
        }
        let place = ours
            .iter()
            .position(|one| one[reference] == entry[reference]);
        if let Some(place) = place {
            let mut own = ours.remove(place);
            keep_times(&mut own, Some(entry));
            all.push(own);
        }
    }
    let room = most.saturating_sub(all.len());
    all.extend(ours.into_iter().take(room));
    all
}

/// A condition whose status is what it was keeps its time; one that changes does so now.
fn keep_times(written: &mut Value, now: Option<&Value>) {
    let Some(now) = now else { return };
    keep_times_of(written.get_mut("conditions"), now.get("conditions"));
    let listeners = written.get_mut("listeners").and_then(Value::as_array_mut);
    for listener in listeners.into_iter().flatten() {
        let all = now.get("listeners").and_then(Value::as_array);
        let mut all = all.into_iter().flatten();
        let same = all.find(|one| one["name"] == listener["name"]);
        let conditions = same.and_then(|same| same.get("conditions"));
        keep_times_of(listener.get_mut("conditions"), conditions);
    }
}

fn keep_times_of(written: Option<&mut Value>, now: Option<&Value>) {
    let now = now.and_then(Value::as_array);
    let written = written.and_then(Value::as_array_mut);
    for condition in written.into_iter().flatten() {
        let mut before = now.into_iter().flatten();
        let Some(before) = before.find(|one| one["type"] == condition["type"]) else {
            continue;
        };
        condition[TIME] = match before["status"] == condition["status"] {
            true => before[TIME].clone(),
            false => humantime::format_rfc3339_seconds(SystemTime::now())
                .to_string()
                .into(),
        };
    }
}

/// What of a status is ours, or has the name of what is ours.
fn ours(now: &Value) -> Value {
    let mut found = Map::new();
    for key in ["addresses", "conditions", "listeners", "supportedFeatures"] {
        found.extend(now.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    let is_ours = |condition: &Value| {
        let kind = condition["type"].as_str();
        kind.is_some_and(|kind| KINDS.contains(&kind))
    };
    let retain = |of: Option<&mut Value>| {
        if let Some(Value::Array(conditions)) = of {
            conditions.retain(is_ours);
        }
    };
    retain(found.get_mut("conditions"));
    let listeners = found.get_mut("listeners").and_then(Value::as_array_mut);
    for listener in listeners.into_iter().flatten() {
        retain(listener.get_mut("conditions"));
    }
    Value::Object(found)
}

/// The same for the same, in whatever order a server keeps it; an empty list is none.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Array(all) => {
            let mut all: Vec<Value> = all.iter().map(canonical).collect();
            all.sort_by_cached_key(|one| {
                let key = one.get("type").or_else(|| one.get("name"));
                key.map(ToString::to_string)
            });
            Value::Array(all)
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.filter(|(_, value)| **value != json!([]));
            fields
                .map(|(key, value)| (key.clone(), canonical(value)))
                .collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "culvert.dev/gateway";
    const OLD: &str = "2020-01-01T00:00:00Z";
    const NEW: &str = "2026-01-01T00:00:00Z";

    fn condition(kind: &str, status: &str, time: &str) -> Value {
        json!({"type": kind, "status": status, TIME: time})
    }

    fn entry(controller: &str, to: usize, status: &str, time: &str) -> Value {
        json!({
            "controllerName": controller, "parentRef": {"name": to.to_string()},
            "conditions": [condition("Accepted", status, time)],
        })
    }

    fn others(count: usize) -> Vec<Value> {
        let one = |to| entry("other/one", to, "True", OLD);
        (0..count).map(one).collect()
    }

    fn merge(before: &[Value], ours: Vec<Value>) -> Vec<Value> {
        merged(before, ours, "parentRef", PARENTS, OURS)
    }

    #[test]
    fn entries_of_others_stay_where_they_are_and_ours_go_with_their_references() {
        let mut before = others(2);
        before.insert(1, entry(OURS, 7, "True", OLD));
        before.push(entry(OURS, 8, "True", OLD));
        let after = merge(&before, vec![entry(OURS, 7, "True", NEW)]);
        assert_eq!(after, before[..3]);
        assert_eq!(merge(&before, Vec::new()), others(2));
        let after = merge(&others(1), vec![entry(OURS, 0, "True", NEW)]);
        assert_eq!(after[0], others(1)[0]);
        assert_eq!(after[1], entry(OURS, 0, "True", NEW));
    }

    #[test]
    fn a_list_has_no_more_entries_than_it_may_and_loses_none_of_others() {
        for (count, room) in [(30, 2), (32, 0), (40, 0)] {
            let ours = (0..5).map(|to| entry(OURS, to, "True", NEW)).collect();
            let after = merge(&others(count), ours);
            assert_eq!(after.len(), count + room, "{count}");
            assert_eq!(after[..count], others(count));
        }
        let ours = vec![entry(OURS, 1, "True", NEW)];
        let after = merged(&others(16), ours, "parentRef", ANCESTORS, OURS);
        assert_eq!(after, others(16));
        // One of ours that is there keeps its place.
        let mut before = others(31);
        before.push(entry(OURS, 3, "True", OLD));
        let ours = vec![entry(OURS, 1, "True", NEW), entry(OURS, 3, "False", NEW)];
        let after = merge(&before, ours);
        assert_eq!(after.len(), 32);
        assert_eq!(after[31]["parentRef"]["name"], "3");
        assert_eq!(after[31]["conditions"][0]["status"], "False");
    }

    #[test]
    fn a_time_is_kept_until_its_status_changes() {
        let mut written = json!({
            "conditions": [
                condition("Accepted", "True", NEW), condition("Programmed", "True", NEW),
            ],
            "listeners": [{"name": "a", "conditions": [condition("Accepted", "True", NEW)]}],
        });
        let now = json!({
            "conditions": [
                condition("Programmed", "False", OLD), condition("Accepted", "True", OLD),
            ],
            "listeners": [{"name": "a", "conditions": [condition("Accepted", "True", OLD)]}],
        });
        keep_times(&mut written, Some(&now));
        assert_eq!(written["conditions"][0][TIME], OLD);
        assert_eq!(written["listeners"][0]["conditions"][0][TIME], OLD);
        let time = written["conditions"][1][TIME].as_str().unwrap();
        assert!(time > NEW, "{time}");
    }

    #[test]
    fn conditions_of_others_and_the_order_of_a_server_are_no_difference() {
        let now = json!({
            "conditions": [
                condition("Other", "True", OLD), condition("Programmed", "True", OLD),
                condition("Accepted", "True", OLD),
            ],
            "more": 1,
        });
        let own = json!({
            "addresses": [],
            "conditions": [
                condition("Accepted", "True", OLD), condition("Programmed", "True", OLD),
            ],
        });
        assert_eq!(canonical(&ours(&now)), canonical(&own));
        let (one, other) = (Wanted::Applied(now.clone()), Wanted::Listed(now));
        assert!(!one.is_like(&other));
    }

    #[test]
    fn what_is_strange_in_a_status_stops_nothing() {
        for now in [
            json!(5),
            json!([1]),
            json!({"parents": 7}),
            json!({"parents": [5, "a"]}),
        ] {
            let found = wanted(Kind::HttpRoute, None, Some(&now), OURS);
            assert_eq!(found, None, "{now}");
        }
        let now = json!({"parents": [entry(OURS, 1, "True", OLD), 5]});
        let found = wanted(Kind::HttpRoute, None, Some(&now), OURS);
        assert_eq!(found, Some(Wanted::Listed(json!({"parents": [5]}))));
    }
}
