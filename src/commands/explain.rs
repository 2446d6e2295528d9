//! `culvert explain`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::client::Client;
use super::{list, shown, text};
use crate::cli::Explain;

/// What makes a request a handshake that RFC 6455 would approve of.
const HANDSHAKE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Asks what would become of a request, and why.
pub(super) fn explain(asked: &Explain, conf: &Path) -> Result<String, String> {
    let client = Client::find(&asked.reached, conf)?;
    let answer = client.ask("POST", "/api/v1/explain", Some(&sample(asked)?))?;
    Ok(shown(&asked.reached, &answer, show))
}

fn sample(asked: &Explain) -> Result<Value, String> {
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut add = |name: &str, value: &str| {
        let values = headers.entry(name.to_owned()).or_default();
        values.push(value.to_owned());
    };
    let (tls, host, path) = parts(&asked.target);
    if let Some(host) = host {
        add("Host", host);
    }
    if asked.websocket {
        HANDSHAKE.iter().for_each(|(name, value)| add(name, value));
    }
    for header in &asked.headers {
        let wrong = || format!("--header: must be \"NAME: VALUE\", not {header:?}");
        let (name, value) = header.split_once(':').ok_or_else(wrong)?;
        add(name.trim(), value.trim());
    }
    let mut sample = json!({"method": asked.method, "path": path, "headers": headers});
    if let Some(client) = &asked.client {
        sample["clientIp"] = json!(client);
    }
    if let Some(rule) = &asked.rule {
        sample["forwardingRule"] = json!(rule);
    }
    if asked.tls || tls == Some(true) {
        sample["tls"] = json!(true);
    }
    Ok(sample)
}

/// Of a URL: whether it is one for TLS, its host and its path; a path is its own.
fn parts(target: &str) -> (Option<bool>, Option<&str>, &str) {
    let Some((scheme, rest)) = target
        .split_once("://")
        .filter(|_| !target.starts_with('/'))
    else {
        return (None, None, target);
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let path = if path.starts_with('/') { path } else { "/" };
    (Some(matches!(scheme, "https" | "wss")), Some(host), path)
}

fn show(answer: &Value) -> String {
    let mut lines = vec![format!(
        "forwarding rule {}, client {}",
        text(answer, "/forwardingRule"),
        text(answer, "/clientIp"),
    )];
    for rule in list(answer, "/httpRules") {
        let (name, kind) = (text(rule, "/name"), text(rule, "/type"));
        lines.push(format!("{} {name} ({kind})", mark(&rule["matched"])));
        lines.extend(list(rule, "/conditions").iter().map(condition));
    }
    lines.push(outcome(answer));
    let tame = |line: String| line.replace(|c: char| c.is_control(), "\u{FFFD}");
    let lines: Vec<String> = lines.into_iter().map(tame).collect();
    lines.join("\n")
}

fn mark(holds: &Value) -> &'static str {
    match holds.as_bool() {
        Some(true) => "yes",
        _ => "no ",
    }
}

fn condition(condition: &Value) -> String {
    let words = ["/type", "/key", "/condition", "/value"].map(|pointer| text(condition, pointer));
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.retain(|word| !word.is_empty());
    let negate = if condition["negate"] == true {
        "not "
    } else {
        ""
    };
    let saw: Vec<String> = list(condition, "/saw")
        .iter()
        .map(Value::to_string)
        .collect();
    let saw = if saw.is_empty() {
        "nothing".to_owned()
    } else {
        saw.join(", ")
    };
    let words = words.join(" ");
    format!(
        "    {} {negate}{words}: saw {saw}",
        mark(&condition["held"])
    )
}

fn outcome(answer: &Value) -> String {
    if let Some(refusal) = answer.get("refusal").filter(|refusal| !refusal.is_null()) {
        let (status, detail) = (text(refusal, "/statusCode"), text(refusal, "/detail"));
        return format!("=> {status}: {detail}");
    }
    let action = &answer["action"];
    let rule = text(answer, "/matched");
    match action["type"].as_str() {
        Some("FORWARD") => {
            let (group, target) = (text(action, "/targetGroup"), text(action, "/target"));
            let is_tunnel = action["websocket"] == true || action.get("upgrade").is_some();
            let what = if is_tunnel {
                "the tunnel"
            } else {
                "the request"
            };
            format!("=> {rule}: {what} goes to {target} of {group}")
        }
        _ => {
            let (status, location) = (text(action, "/statusCode"), text(action, "/location"));
            format!("=> {rule}: {status} {location}")
                .trim_end()
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_a_path_is_not() {
        for (target, expected) in [
            ("/a?b=c://d", (None, None, "/a?b=c://d")),
            ("ws://h:80/a?b", (Some(false), Some("h:80"), "/a?b")),
            ("https://h", (Some(true), Some("h"), "/")),
        ] {
            assert_eq!(parts(target), expected);
        }
    }
}
