//! `culvert explain`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::answer::{list, shown, text};
use super::client::Client;
use super::offline;
use crate::cli::Explain;

/// What makes a request a handshake that RFC 6455 would approve of.
const HANDSHAKE: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Asks what would become of a request, and why. Errors: that it is not what is expected, too.
pub(super) fn explain(asked: &Explain, conf: &Path) -> Result<String, String> {
    let sample = sample(asked)?;
    let answer = match asked.offline {
        true => offline::explain(conf, sample)?,
        false => {
            let client = Client::find(&asked.reached, conf)?;
            client.ask("POST", "/api/v1/explain", Some(&sample))?
        }
    };
    let told = shown(&asked.reached, &answer, show);
    match &asked.expect {
        Some(expected) if !is_as_expected(expected, &answer) => {
            // The reader may have gone; what is wrong is told elsewhere.
            writeln!(std::io::stdout(), "{told}").ok();
            let outcome = tame(outcome(&answer));
            Err(format!(
                "culvert: expected {expected}, and it is {}",
                &outcome["=> ".len()..]
            ))
        }
        Some(_) | None => Ok(told),
    }
}

/// Whether this becomes of a request: a status, of which a tunnel's is 101 and what a target would
/// answer has none; or a target group, or one of those that chance picks from.
fn is_as_expected(expected: &str, answer: &Value) -> bool {
    let is_refused = answer["refusal"].is_object();
    let action = &answer["action"];
    if expected.len() == 3 && expected.bytes().all(|byte| byte.is_ascii_digit()) {
        let status = match is_refused {
            true => text(answer, "/refusal/statusCode"),
            false if is_tunnel(action) => "101".to_owned(),
            false => text(action, "/statusCode"),
        };
        return status == expected;
    }
    let mut groups = list(action, "/targetGroups")
        .iter()
        .chain([&action["targetGroup"]]);
    !is_refused && groups.any(|group| group == expected)
}

fn sample(asked: &Explain) -> Result<Value, String> {
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for header in &asked.headers {
        let wrong = || format!("--header: must be \"NAME: VALUE\", not {header:?}");
        let (name, value) = header.split_once(':').ok_or_else(wrong)?;
        let values = headers.entry(name.trim().to_ascii_lowercase()).or_default();
        values.push(value.trim().to_owned());
    }
    let Asked {
        is_tls,
        is_websocket,
        host,
        path,
    } = parts(&asked.target)?;
    // What is given in headers wins.
    let mut add = |name: &str, value: &str| {
        let values = headers.entry(name.to_owned());
        values.or_insert_with(|| vec![value.to_owned()]);
    };
    if let Some(host) = host {
        add("host", host);
    }
    if asked.websocket || is_websocket {
        HANDSHAKE.iter().for_each(|(name, value)| add(name, value));
    }
    let mut sample = json!({"method": asked.method, "path": path, "headers": headers});
    let optional = [
        ("clientIp", &asked.client),
        ("forwardingRule", &asked.rule),
        ("httpVersion", &asked.http_version),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            sample[key] = json!(value);
        }
    }
    if asked.tls || is_tls {
        sample["tls"] = json!(true);
    }
    Ok(sample)
}

/// What an address asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    is_tls: bool,
    is_websocket: bool,
    host: Option<&'a str>,
    path: String,
}

/// Takes a URL apart, without its fragment, which nobody sends; a path is its own.
fn parts(target: &str) -> Result<Asked<'_>, String> {
    let url = target.split_once("://");
    let Some((scheme, rest)) = url.filter(|(scheme, _)| !scheme.contains(['/', '?'])) else {
        return Ok(Asked {
            is_tls: false,
            is_websocket: false,
            host: None,
            path: target.to_owned(),
        });
    };
    let (is_tls, is_websocket) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (false, false),
        "https" => (true, false),
        "ws" => (false, true),
        "wss" => (true, true),
        _ => {
            return Err(format!(
                "{target}: must be a path, or begin with http, https, ws or wss"
            ));
        }
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(Asked {
        is_tls,
        is_websocket,
        host: Some(host),
        path: format!("{slash}{path}"),
    })
}

/// Where something comes from, if not from the file.
fn source(of: &Value) -> String {
    match of["source"].as_str() {
        Some(source) => format!(" ({source})"),
        None => String::new(),
    }
}

fn show(answer: &Value) -> String {
    let mut lines = vec![format!(
        "forwarding rule {}{}, client {}",
        text(answer, "/forwardingRule"),
        source(answer),
        text(answer, "/clientIp"),
    )];
    for rule in list(answer, "/httpRules") {
        let (name, kind) = (text(rule, "/name"), text(rule, "/type"));
        lines.push(format!("{} {name} ({kind})", mark(&rule["matched"])));
        lines.extend(list(rule, "/conditions").iter().map(condition));
    }
    lines.push(outcome(answer));
    let lines: Vec<String> = lines.into_iter().map(tame).collect();
    lines.join("\n")
}

/// What a request says may not do anything to the terminal.
fn tame(line: String) -> String {
    line.replace(char::is_control, "\u{FFFD}")
}

fn is_tunnel(action: &Value) -> bool {
    action["websocket"] == true || action.get("upgrade").is_some()
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
        // Of what is answered here there is a status.
        Some("FORWARD") if action["statusCode"].is_null() => {
            let (group, target) = (text(action, "/targetGroup"), text(action, "/target"));
            let what = if is_tunnel(action) {
                "the tunnel"
            } else {
                "the request"
            };
            let source = source(action);
            format!("=> {rule}: {what} goes to {target} of {group}{source}")
        }
        Some("CHALLENGE") => "=> 200: a token of ACME, before any HTTP rule".to_owned(),
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
        let of = |is_tls, is_websocket, host, path: &str| Asked {
            is_tls,
            is_websocket,
            host,
            path: path.to_owned(),
        };
        for (target, expected) in [
            ("/a?b=c://d", of(false, false, None, "/a?b=c://d")),
            ("ws://h:80/a?b", of(false, true, Some("h:80"), "/a?b")),
            ("WSS://h?b", of(true, true, Some("h"), "/?b")),
            ("https://h#c", of(true, false, Some("h"), "/")),
            ("http://h/a/#/c", of(false, false, Some("h"), "/a/")),
        ] {
            assert_eq!(parts(target), Ok(expected));
        }
        assert!(parts("ftp://h/").is_err());
    }

    #[test]
    fn what_is_expected_is_a_status_or_a_target_group() {
        let forward = |websocket| {
            let action = json!({"type": "FORWARD", "targetGroup": "chat", "websocket": websocket});
            json!({"action": action, "refusal": null})
        };
        let by_chance = json!({"action": {"targetGroup": "a", "targetGroups": ["a", "b"]}});
        let redirect = json!({"action": {"type": "REDIRECT", "statusCode": 308}, "refusal": null});
        let mut full = forward(true);
        full["refusal"] = json!({"statusCode": 503});
        for (answer, fitting, others) in [
            (forward(true), &["101", "chat"][..], &["200", "", "cha"][..]),
            (forward(false), &["chat"], &["101", "200"]),
            (by_chance, &["a", "b"], &["c"]),
            (redirect, &["308"], &["101", "chat"]),
            (full, &["503"], &["101", "chat"]),
        ] {
            let is = |expected: &&&str| is_as_expected(expected, &answer);
            assert_eq!(fitting.iter().filter(is).count(), fitting.len(), "{answer}");
            assert_eq!(others.iter().filter(is).count(), 0, "{answer}");
        }
    }
}
