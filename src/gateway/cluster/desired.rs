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
