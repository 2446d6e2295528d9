//! `culvert tunnels` and `culvert kill`.

use std::path::Path;

use serde_json::Value;

use super::answer::{list as entries, shown, text};
use super::client::Client;
use super::table::{Table, age, bytes, client};
use crate::cli::{Filter, Kill, Tunnels};

/// The largest page that is asked for.
const PAGE: usize = 1000;

/// The open tunnels, page after page, up to the limit.
pub(super) fn list(asked: &Tunnels, conf: &Path) -> Result<String, String> {
    let client = Client::find(&asked.reached, conf)?;
    let mut found: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    let total = loop {
        let limit = (asked.limit - found.len()).min(PAGE).to_string();
        let mut query = parameters(&asked.filter);
        query.push(("limit", limit));
        if !cursor.is_empty() {
            query.push(("cursor", cursor));
        }
        let page = client.ask("GET", &path("/api/v1/tunnels", &query), None)?;
        found.extend(entries(&page, "/tunnels").iter().cloned());
        cursor = text(&page, "/next");
        if cursor.is_empty() || found.len() >= asked.limit {
            break page["total"].clone();
        }
    };
    let next = Some(cursor).filter(|cursor| !cursor.is_empty());
    let all = serde_json::json!({"tunnels": found, "next": next, "total": total});
    Ok(shown(&asked.reached, &all, show))
}

fn show(page: &Value) -> String {
    let mut table = Table::new(&[
        "ID", "CLIENT", "RULE", "TARGET", "AGE", "IDLE", "IN", "OUT", "URI",
    ]);
    let tunnels = entries(page, "/tunnels");
    for tunnel in tunnels {
        let number = |key: &str| tunnel[key].as_u64().unwrap_or(0);
        table.row([
            text(tunnel, "/id"),
            client(tunnel),
            text(tunnel, "/forwardingRule"),
            format!(
                "{} {}",
                text(tunnel, "/targetGroup"),
                text(tunnel, "/target")
            ),
            age(number("openMs") / 1000),
            age(number("idleMs") / 1000),
            bytes(number("bytesIn")),
            bytes(number("bytesOut")),
            text(tunnel, "/requestUri"),
        ]);
    }
    let more = if page["next"].is_null() {
        ""
    } else {
        "; there are more: see --limit"
    };
    let count = tunnels.len();
    format!(
        "{}\n{count} shown, {} open{more}",
        table.text(),
        text(page, "/total")
    )
}

/// Ends one tunnel, or all that the filter is true of.
pub(super) fn kill(asked: &Kill, conf: &Path) -> Result<String, String> {
    let client = Client::find(&asked.reached, conf)?;
    let mut query = parameters(&asked.filter);
    query.extend(asked.code.map(|code| ("code", code.to_string())));
    query.extend(asked.text.clone().map(|text| ("text", text)));
    query.extend(asked.over.clone().map(|over| ("over", over)));
    let answer = client.ask("DELETE", &path("/api/v1/tunnels", &query), None)?;
    let ended = answer["ended"].as_u64().unwrap_or(0);
    if ended == 0 && asked.filter.id.is_some() {
        return Err("no open tunnel has this id".to_owned());
    }
    Ok(shown(&asked.reached, &answer, killed))
}

/// What was done, and what clients make of it.
fn killed(answer: &Value) -> String {
    let (ended, code) = (answer["ended"].as_u64().unwrap_or(0), &answer["code"]);
    let over = answer["overMs"].as_u64().unwrap_or(0) as f64 / 1000.0;
    let (tunnels, are) = match ended {
        1 => ("tunnel", "is"),
        _ => ("tunnels", "are"),
    };
    let pace = match over > 0.0 {
        true => format!(" over {over} s"),
        false => String::new(),
    };
    let said = format!("culvert: {ended} {tunnels} {are} told to end with {code}{pace}");
    match code.as_u64() {
        Some(1008) => format!("{said}: {THROWS_OUT}"),
        _ => said,
    }
}

/// What 1008 does, as client libraries were seen to take it.
const THROWS_OUT: &str = "it throws out, and bans nobody: clients that reconnect do so at once, \
                          but graphql-ws gives up for good; --code 1012 moves them";

fn parameters(filter: &Filter) -> Vec<(&'static str, String)> {
    let all = [
        ("forwardingRule", &filter.rule),
        ("targetGroup", &filter.group),
        ("target", &filter.target),
        ("client", &filter.client),
        ("minAge", &filter.min_age),
        ("id", &filter.id),
        ("search", &filter.search),
    ];
    let given = all
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)));
    given.collect()
}

fn path(path: &str, query: &[(&str, String)]) -> String {
    let pairs = query
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)));
    let pairs: Vec<String> = pairs.collect();
    match pairs.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", pairs.join("&")),
    }
}

/// Everything but letters and digits as `%XX`.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
