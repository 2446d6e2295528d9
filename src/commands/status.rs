//! `culvert status`.

use serde_json::Value;

use super::answer::{list, text};
use super::table::{Table, age};

/// The status, readable.
pub(super) fn show(status: &Value) -> String {
    let up = age(status["uptimeSeconds"].as_f64().unwrap_or(0.0) as u64);
    let head = format!(
        "{}, process {}, up {up}, {}, {} open, {}",
        title(status),
        text(status, "/pid"),
        state(status),
        text(status, "/drain/open"),
        open_tunnels(status),
    );
    let parts = [
        head,
        format!("{}\n{}", configuration(status), vitals(status)),
        listeners(status),
        rules(status),
        targets(status),
        lately(status),
    ];
    parts.join("\n\n")
}

/// Which program it is, and of which node.
pub(super) fn title(status: &Value) -> String {
    let node = status["node"].as_str().map(|node| format!(" on {node}"));
    format!(
        "culvert {}{}",
        text(status, "/version"),
        node.unwrap_or_default()
    )
}

/// How many tunnels are open, here and in the processes that have handed over.
pub(super) fn open_tunnels(status: &Value) -> String {
    let number = |key: &str| status[key].as_u64().unwrap_or(0);
    let here = format!("{} tunnels", number("tunnels"));
    match number("oldGenerationTunnels") {
        0 => here,
        old => format!("{here} + {old} in old processes"),
    }
}

/// Whether it serves or drains, and what it does if its memory is short.
pub(super) fn state(status: &Value) -> String {
    let left = status.pointer("/drain/secondsLeft").and_then(Value::as_u64);
    let left = left.map_or_else(String::new, |left| format!(" ({left} s left)"));
    let memory = match status.pointer("/memory/level").and_then(Value::as_str) {
        None | Some("ample") => String::new(),
        Some(level) => format!(", short of memory ({level})"),
    };
    format!("{}{left}{memory}", text(status, "/drain/state"))
}

/// What it uses of what there is, in one line.
pub(super) fn vitals(status: &Value) -> String {
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64);
    let of = |name: &str, used: &str, limit: &str| {
        let (used, limit) = number(used).zip(number(limit))?;
        Some(format!("{name} {used} of {limit}"))
    };
    let certificate = list(status, "/certificates")
        .iter()
        .min_by_key(|certificate| certificate["daysLeft"].as_i64());
    let certificate = certificate.map(|one| {
        format!(
            "certificate {} {} d left",
            text(one, "/name"),
            text(one, "/daysLeft")
        )
    });
    let lost = number("/lostLines/accessLog").filter(|lost| *lost > 0);
    let parts = [
        Some(memory(status)),
        of("files", "/files/open", "/files/limit"),
        of("places", "/connections/open", "/connections/limit"),
        certificate,
        lost.map(|lost| format!("{lost} log lines lost")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}

fn memory(status: &Value) -> String {
    let mebibytes = |key: &str| {
        let bytes = status["memory"][key].as_u64().unwrap_or(0);
        bytes >> 20
    };
    let (used, limit) = (mebibytes("usedBytes"), mebibytes("limitBytes"));
    format!("memory {used} of {limit} MiB")
}

/// What was refused in the last minutes, and what went wrong.
fn lately(status: &Value) -> String {
    let mut table = Table::new(&["REFUSED", "IN 5 MIN", "PER SECOND", "IN ALL"]);
    for refused in list(status, "/refusals") {
        let rate = refused["perSecond"].as_f64().unwrap_or(0.0);
        table.row([
            text(refused, "/reason"),
            text(refused, "/lately"),
            format!("{rate:.1}"),
            text(refused, "/total"),
        ]);
    }
    table.text()
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
    let old = list(status, "/oldProcesses").iter();
    lines.extend(old.map(old_process));
    lines.join("\n")
}

/// What an old process holds, and why.
fn old_process(old: &Value) -> String {
    let staying = old["staying"].as_object().into_iter().flatten();
    let staying: Vec<String> = staying
        .map(|(why, tunnels)| format!("{tunnels} {why}"))
        .collect();
    let why = match staying.is_empty() {
        true => String::new(),
        false => format!(" ({})", staying.join(", ")),
    };
    let tunnels = text(old, "/tunnels");
    format!("old process {}: {tunnels} tunnels{why}", text(old, "/pid"))
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
        "5XX",
        "IN 5 MIN",
    ]);
    for rule in list(status, "/forwardingRules") {
        for http_rule in list(rule, "/httpRules") {
            let cells = ["/name", "/type"].map(|pointer| text(http_rule, pointer));
            let [name, kind] = cells;
            let names = [text(rule, "/name"), name, kind, target_groups(http_rule)];
            let counts = ["/hits", "/serverErrors", "/latelyServerErrors"];
            let counts = counts.map(|pointer| text(http_rule, pointer));
            table.row(names.into_iter().chain(counts));
        }
        let none = ["(no match)", "", ""].map(str::to_owned);
        let name = [text(rule, "/name")].into_iter();
        let counts = ["/unmatched", "/serverErrors", "/latelyServerErrors"];
        let counts = counts.map(|pointer| text(rule, pointer));
        table.row(name.chain(none).chain(counts));
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
    let is = |key: &str| target[key] == true;
    let has = |key: &str| !target[key].is_null();
    let words = [
        (is("healthy"), "healthy"),
        (!is("healthy"), "unhealthy"),
        (has("ejected"), "ejected"),
        (has("slowStarting"), "starting slowly"),
        (is("drain"), "draining"),
        (is("maintenance") && !is("drain"), "maintenance"),
    ];
    let said = words
        .into_iter()
        .filter_map(|(is, word)| is.then_some(word));
    let said = said.collect::<Vec<_>>().join(", ");
    match has("override") {
        true => said + " (override)",
        false => said,
    }
}

/// Whether a target gets anything new.
pub(super) fn is_in_use(target: &Value) -> bool {
    let is = |key: &str| target[key] == true;
    let is_left_out = is("maintenance") || is("drain") || !target["ejected"].is_null();
    let weight = target["weight"].as_u64().unwrap_or(0);
    is("healthy") && !is_left_out && weight > 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_target_is_in_use_or_it_is_said_why_not() {
        for (more, state, is_used) in [
            (json!({}), "healthy", true),
            (json!({"healthy": false}), "unhealthy", false),
            (
                json!({"ejected": {"until": "", "count": 2}}),
                "healthy, ejected",
                false,
            ),
            (
                json!({"slowStarting": 0.25}),
                "healthy, starting slowly",
                true,
            ),
            (
                json!({"maintenance": true, "drain": true}),
                "healthy, draining",
                false,
            ),
            (
                json!({"maintenance": true, "override": {"maintenance": true}}),
                "healthy, maintenance (override)",
                false,
            ),
            (json!({"weight": 0}), "healthy", false),
            (
                json!({"override": {"weight": 1}}),
                "healthy (override)",
                true,
            ),
        ] {
            let mut target =
                json!({"healthy": true, "maintenance": false, "drain": false, "weight": 1});
            let more = more.as_object().unwrap().clone();
            target.as_object_mut().unwrap().extend(more);
            let found = (state_of_target(&target), is_in_use(&target));
            assert_eq!(found, (state.to_owned(), is_used), "{target}");
        }
    }

    #[test]
    fn that_memory_is_short_is_said_with_what_is_done_about_it() {
        let status = |level: &str, used: u64| {
            let memory = json!({"usedBytes": used, "limitBytes": 230 << 20, "level": level});
            show(&json!({"drain": {"state": "serving"}, "memory": memory}))
        };
        let (ample, short) = (status("ample", 50 << 20), status("releasing", 220 << 20));
        assert!(ample.contains("\nmemory 50 of 230 MiB\n") && !ample.contains("short"));
        assert!(
            short.contains(", serving, short of memory (releasing), "),
            "{short}"
        );
        assert!(short.contains("\nmemory 220 of 230 MiB\n"));
    }

    #[test]
    fn tunnels_of_old_processes_are_said_where_there_are_any() {
        let head = |status: Value| show(&status).lines().next().unwrap().to_owned();
        let status = json!({"tunnels": 2, "oldGenerationTunnels": 5});
        let words = ", 2 tunnels + 5 in old processes";
        assert!(head(status.clone()).ends_with(words), "{}", head(status));
        for status in [
            json!({"tunnels": 2, "oldGenerationTunnels": 0}),
            json!({"tunnels": 2}),
        ] {
            assert!(
                head(status.clone()).ends_with(", 2 tunnels"),
                "{}",
                head(status)
            );
        }
    }
}
