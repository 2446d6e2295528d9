//! `culvert status`.

use serde_json::Value;

use super::table::{Table, age};
use super::{list, text};

/// The status, readable.
pub(super) fn show(status: &Value) -> String {
    let up = age(status["uptimeSeconds"].as_f64().unwrap_or(0.0) as u64);
    let head = format!(
        "culvert {}, process {}, up {up}, {}, {} open, {} tunnels",
        text(status, "/version"),
        text(status, "/pid"),
        state(status),
        text(status, "/drain/open"),
        text(status, "/tunnels"),
    );
    let parts = [
        head,
        configuration(status),
        listeners(status),
        rules(status),
        targets(status),
    ];
    parts.join("\n\n")
}

/// Whether it serves or drains.
pub(super) fn state(status: &Value) -> String {
    let left = status.pointer("/drain/secondsLeft").and_then(Value::as_u64);
    let left = left.map_or_else(String::new, |left| format!(" ({left} s left)"));
    format!("{}{left}", text(status, "/drain/state"))
}

fn configuration(status: &Value) -> String {
    let mut lines = vec![format!(
        "configuration: {}",
        text(status, "/configuration/path")
    )];
    if let Some(reload) = status.pointer("/configuration/lastReload") {
        let outcome = match reload["applied"].as_bool() {
            Some(true) => "applied",
            _ => "rejected",
        };
        lines.push(format!("last reload: {}, {outcome}", text(reload, "/time")));
        let problems = list(reload, "/problems").iter();
        lines.extend(problems.map(|problem| format!("  {}", text(problem, ""))));
    }
    let old = list(status, "/oldGenerations");
    if !old.is_empty() {
        let pids: Vec<String> = old.iter().map(Value::to_string).collect();
        lines.push(format!("old processes: {}", pids.join(", ")));
    }
    lines.join("\n")
}

fn listeners(status: &Value) -> String {
    let mut table = Table::new(&["LISTENER", "FORWARDING RULE", "TLS", "CONNECTIONS"]);
    for listener in list(status, "/listeners") {
        let cells = ["/address", "/forwardingRule", "/tls", "/connections"];
        table.row(cells.map(|pointer| text(listener, pointer)));
    }
    table.text()
}

fn rules(status: &Value) -> String {
    let mut table = Table::new(&[
        "FORWARDING RULE",
        "HTTP RULE",
        "TYPE",
        "TARGET GROUP",
        "HITS",
    ]);
    for rule in list(status, "/forwardingRules") {
        for http_rule in list(rule, "/httpRules") {
            let cells = ["/name", "/type", "/hits"].map(|pointer| text(http_rule, pointer));
            let [name, kind, hits] = cells;
            table.row([
                text(rule, "/name"),
                name,
                kind,
                target_groups(http_rule),
                hits,
            ]);
        }
        let none = ["(no match)", "", ""].map(str::to_owned);
        let name = [text(rule, "/name")].into_iter();
        table.row(name.chain(none).chain([text(rule, "/unmatched")]));
    }
    table.text()
}

/// Its target group, or several with their weights.
fn target_groups(http_rule: &Value) -> String {
    let several = list(http_rule, "/targetGroups").iter();
    let several: Vec<String> = several
        .map(|group| format!("{} {}", text(group, "/name"), text(group, "/weight")))
        .collect();
    text(http_rule, "/targetGroup") + &several.join(", ")
}

fn targets(status: &Value) -> String {
    let mut table = Table::new(&["TARGET GROUP", "TARGET", "STATE", "WEIGHT", "TUNNELS"]);
    for group in list(status, "/targetGroups") {
        for target in list(group, "/targets") {
            table.row([
                text(group, "/name"),
                address(target),
                state_of_target(target),
                text(target, "/weight"),
                text(target, "/openTunnels"),
            ]);
        }
    }
    table.text()
}

/// With the name that it comes from.
pub(super) fn address(target: &Value) -> String {
    let address = text(target, "/address");
    match target["host"].as_str() {
        Some(host) => format!("{address} ({host})"),
        None => address,
    }
}

/// What is to be said of a target.
pub(super) fn state_of_target(target: &Value) -> String {
    let is = |key: &str| target[key].as_bool() == Some(true);
    let health = if is("healthy") {
        "healthy"
    } else {
        "unhealthy"
    };
    let mut words = vec![health];
    match (is("drain"), is("maintenance")) {
        (true, _) => words.push("draining"),
        (false, true) => words.push("maintenance"),
        (false, false) => {}
    }
    if target.get("override").is_some() {
        words.push("(override)");
    }
    words.join(" ")
}
