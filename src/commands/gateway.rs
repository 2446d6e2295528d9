//! `culvert gateway`.

use serde_json::Value;

use super::answer::{list, text};
use super::table::Table;

/// The objects of the Gateway API with their conditions, and what could not be read.
pub(super) fn show(answer: &Value) -> String {
    let mut table = Table::new(&["KIND", "NAME", "PART", "CONDITION", "REASON", "MESSAGE"]);
    for object in list(answer, "/items") {
        let mut row = |part: &str, condition: &Value| {
            let (kind, status) = (text(condition, "/type"), text(condition, "/status"));
            table.row([
                text(object, "/kind"),
                name(object),
                part.to_owned(),
                format!("{kind} {status}"),
                text(condition, "/reason"),
                text(condition, "/message"),
            ]);
        };
        for (part, conditions) in parts(&object["status"]) {
            for condition in conditions {
                row(&part, condition);
            }
        }
    }
    let problems = list(answer, "/problems").iter().filter_map(Value::as_str);
    let problems: String = problems.map(|problem| format!("\n{problem}")).collect();
    match problems.is_empty() {
        true => table.text(),
        false => format!("{}\n{problems}", table.text()),
    }
}

fn name(object: &Value) -> String {
    let name = text(object, "/metadata/name");
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name,
    }
}

/// What of an object has conditions: itself, its listeners, its parents, its ancestors.
fn parts(status: &Value) -> Vec<(String, &[Value])> {
    let mut parts = vec![(String::new(), list(status, "/conditions"))];
    for listener in list(status, "/listeners") {
        parts.push((text(listener, "/name"), list(listener, "/conditions")));
    }
    for (all, key) in [("/parents", "parentRef"), ("/ancestors", "ancestorRef")] {
        for one in list(status, all) {
            let to = &one[key];
            let name = match to["sectionName"].as_str() {
                Some(section) => format!("{} {section}", name_of(to)),
                None => name_of(to),
            };
            parts.push((name, list(one, "/conditions")));
        }
    }
    parts
}

fn name_of(reference: &Value) -> String {
    let name = text(reference, "/name");
    match reference["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_condition_is_a_row_with_its_object_and_part() {
        let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": kind});
        let shown = show(&json!({
            "items": [
                {"kind": "Gateway", "metadata": {"name": "edge", "namespace": "infra"}, "status": {
                    "conditions": [condition("Programmed")],
                    "listeners": [{"name": "http", "conditions": [condition("Accepted")]}],
                }},
                {"kind": "HTTPRoute", "metadata": {"name": "chat", "namespace": "apps"}, "status": {
                    "parents": [{
                        "parentRef": {"name": "edge", "namespace": "infra", "sectionName": "http"},
                        "conditions": [condition("ResolvedRefs")],
                    }],
                }},
            ],
            "problems": ["a.yaml:3: is no mapping"],
        }));
        let rows: Vec<Vec<&str>> = shown
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            rows[1],
            ["Gateway", "infra/edge", "Programmed", "True", "Programmed"]
        );
        assert_eq!(
            rows[2],
            [
                "Gateway",
                "infra/edge",
                "http",
                "Accepted",
                "True",
                "Accepted"
            ]
        );
        assert_eq!(
            rows[3][..4],
            ["HTTPRoute", "apps/chat", "infra/edge", "http"]
        );
        assert_eq!(shown.lines().last(), Some("a.yaml:3: is no mapping"));
    }
}
