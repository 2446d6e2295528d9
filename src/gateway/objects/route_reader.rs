//! How an HTTPRoute is read.

use http::{HeaderName, Method};
use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use super::combinations::{check, check_names, check_parents};
use super::fields::{Fields, Flaws, Node};
use super::filters::filter;
use super::gateway::GROUP;
use super::http_route::{
    Backend, HttpRoute, Match, ParentRef, PathMatch, Retry, Rule, Session, ValueMatch,
};
use super::meta::Meta;
use super::words::{Reference, host};
use crate::config::objects::may_be_changed;

/// How many matches a route may have, in all rules together.
const MOST_MATCHES: usize = 128;

impl HttpRoute {
    pub(super) fn read(meta: Meta, top: &Fields) -> Self {
        let spec = top.required_fields("spec");
        let parents = spec.list("parentRefs", 32).into_iter();
        let hosts = spec.list("hostnames", 16).into_iter();
        let mut rules: Vec<_> = spec.list("rules", 16).into_iter().map(rule).collect();
        if !spec.has("rules") {
            rules.push(Rule {
                matches: vec![Match::everything()],
                ..Rule::default()
            });
        }
        let matches: usize = rules.iter().map(|rule| rule.matches.len()).sum();
        if matches > MOST_MATCHES {
            let message = format!("have {matches} matches; there may be {MOST_MATCHES}");
            spec.flaws.note(&spec.path_of("rules"), message);
        }
        let parents: Vec<_> = parents.filter_map(parent).collect();
        // What comes from a cluster has been checked there.
        if !meta.place.file.is_empty() {
            check_parents(&parents, &spec);
            check_names(&rules, &spec);
        }
        HttpRoute {
            meta,
            parents,
            hosts: hosts.filter_map(|node| host(&node)).collect(),
            rules,
        }
    }
}

impl ParentRef {
    /// That of an entry of `status.parents`.
    pub fn parse(value: &Value) -> Option<Self> {
        let flaws = Flaws::default();
        let path = String::new();
        parent(Node {
            value,
            path,
            flaws: &flaws,
        })
    }
}

fn parent(node: Node) -> Option<ParentRef> {
    let fields = node.fields();
    Some(ParentRef {
        to: Reference::read(&fields, GROUP, "Gateway")?,
        port: fields.port("port"),
    })
}

fn rule(node: Node) -> Rule {
    let flaws = Flaws::default();
    let fields = node.apart(&flaws);
    let mut rule = Rule {
        name: fields.text("name").map(Into::into),
        matches: matches(&fields),
        filters: fields.list("filters", 16).into_iter().map(filter).collect(),
        backends: backends(&fields),
        session: fields.fields("sessionPersistence").map(|one| session(&one)),
        ..Rule::default()
    };
    if let Some(timeouts) = fields.fields("timeouts") {
        rule.request_timeout = timeouts.duration("request");
        rule.backend_timeout = timeouts.duration("backendRequest");
        let bounds = rule.request_timeout.filter(|one| !one.is_zero());
        if bounds
            .zip(rule.backend_timeout)
            .is_some_and(|(all, one)| one > all)
        {
            let path = timeouts.path_of("backendRequest");
            flaws.note(&path, "must not be longer than request");
        }
    }
    rule.retry = fields.fields("retry").map(|fields| retry(&fields));
    check(&rule, &fields);
    rule.flaws = flaws.take();
    rule
}

fn backends(rule: &Fields) -> Vec<Backend> {
    let entries = rule.list("backendRefs", 16).into_iter();
    let backend = |node: Node| {
        let fields = node.fields();
        let weight = fields.integer("weight", 0..=1_000_000).unwrap_or(1);
        let to = Reference::read(&fields, "", "Service")?;
        let port = fields.port("port");
        if to.is_to("", "Service") && !fields.has("port") {
            return fields.flaw("port", "is required of a Service");
        }
        Some(Backend {
            to,
            port,
            weight: u32::try_from(weight).unwrap_or(1),
            filters: fields.list("filters", 16).into_iter().map(filter).collect(),
        })
    };
    entries.filter_map(backend).collect()
}

fn session(fields: &Fields) -> Session {
    let kind = fields.text("type").unwrap_or("Cookie");
    if !["Cookie", "Header"].contains(&kind) {
        let path = fields.path_of("type");
        fields.flaws.note(&path, "must be Cookie or Header");
    }
    let cookie = fields.fields("cookieConfig");
    let lifetime = cookie
        .as_ref()
        .and_then(|fields| fields.text("lifetimeType"));
    let session = Session {
        is_header: kind == "Header",
        name: fields.text("sessionName").and_then(|name| {
            let header = HeaderName::try_from(name).ok();
            let is_free = |header: &HeaderName| kind != "Header" || may_be_changed(header);
            match name.len() <= 128 && header.as_ref().is_some_and(is_free) {
                true => Some(name.to_owned()),
                false => fields.flaw("sessionName", "must be the name of a cookie or a header"),
            }
        }),
        is_permanent: lifetime == Some("Permanent"),
        longest: fields.duration("absoluteTimeout"),
    };
    let note = |key: &str, message: &str| fields.flaws.note(&fields.path_of(key), message);
    if lifetime.is_some_and(|word| !["Permanent", "Session"].contains(&word)) {
        note("cookieConfig.lifetimeType", "must be Permanent or Session");
    }
    if fields.has("idleTimeout") {
        note(
            "idleTimeout",
            "is not supported: it has left the specification",
        );
    }
    if session.is_header && cookie.is_some() {
        note("cookieConfig", "does not go with type Header");
    }
    if session.is_permanent && !fields.has("absoluteTimeout") {
        note(
            "absoluteTimeout",
            "is required where lifetimeType is Permanent",
        );
    }
    if session
        .longest
        .is_some_and(|longest| longest.as_secs() == 0)
    {
        note("absoluteTimeout", "must be at least 1s");
    }
    session
}

fn retry(fields: &Fields) -> Retry {
    let codes = fields.list("codes", 200).into_iter();
    let codes = codes.filter_map(|node| u16::try_from(node.integer(400..=599)?).ok());
    Retry {
        codes: codes.collect(),
        attempts: fields
            .integer("attempts", 0..=100)
            .and_then(|number| u32::try_from(number).ok()),
        backoff: fields.duration("backoff"),
    }
}

fn matches(rule: &Fields) -> Vec<Match> {
    let nodes = rule.list("matches", 64);
    if nodes.is_empty() {
        return vec![Match::everything()];
    }
    nodes.into_iter().filter_map(one_match).collect()
}

fn one_match(node: Node) -> Option<Match> {
    let fields = node.fields();
    let path = match fields.fields("path") {
        Some(fields) => path(&fields),
        None => Some(Match::everything().path),
    };
    let mut headers: Vec<(HeaderName, ValueMatch)> = Vec::new();
    for node in fields.list("headers", 16) {
        let fields = node.fields();
        let name = fields.required_text("name").and_then(|name| {
            let parsed = HeaderName::try_from(name).ok();
            parsed.or_else(|| fields.flaw("name", "must be the name of a header"))
        });
        let Some((name, value)) = name.zip(value(&fields)) else {
            continue;
        };
        if headers.iter().all(|(other, _)| *other != name) {
            headers.push((name, value));
        }
    }
    let mut query: Vec<(String, ValueMatch)> = Vec::new();
    for node in fields.list("queryParams", 16) {
        let fields = node.fields();
        let Some((name, value)) = fields.required_text("name").zip(value(&fields)) else {
            continue;
        };
        if query.iter().all(|(other, _)| other != name) {
            query.push((name.to_owned(), value));
        }
    }
    Some(Match {
        path: path?,
        method: fields.node("method").and_then(|node| method(&node)),
        headers,
        query,
    })
}

fn method(node: &Node) -> Option<Method> {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    let text = node.text()?;
    match KNOWN.contains(&text) {
        true => Method::try_from(text).ok(),
        false => node.flaw(format!("must be one of {}", KNOWN.join(", "))),
    }
}

fn path(fields: &Fields) -> Option<PathMatch> {
    let text = fields.text("value").unwrap_or("/");
    match fields.text("type").unwrap_or("PathPrefix") {
        "RegularExpression" => {
            let regex = whole(text).map(PathMatch::Regex);
            regex.map_or_else(|fault| fields.flaw("value", fault), Some)
        }
        "Exact" => plain_path(fields, text).map(|path| PathMatch::Exact(path.to_owned())),
        "PathPrefix" => {
            let path = plain_path(fields, text)?;
            let bare = path.strip_suffix('/').unwrap_or(path);
            let bare = if bare.is_empty() { "/" } else { bare };
            Some(PathMatch::Prefix(bare.to_owned()))
        }
        _ => fields.flaw("type", "must be Exact, PathPrefix or RegularExpression"),
    }
}

/// A path as the CRD wants it: nothing in it that is read in more than one way.
fn plain_path<'a>(fields: &Fields, path: &'a str) -> Option<&'a str> {
    const FORBIDDEN: [&str; 6] = ["//", "/./", "/../", "%2f", "%2F", "#"];
    const MARKS: &str = "-._~!$&'()*+,;=:@/%";
    if !path.starts_with('/') || path.len() > 1024 {
        return fields.flaw(
            "value",
            "must begin with a slash, and have 1024 bytes at most",
        );
    }
    if let Some(part) = FORBIDDEN.iter().find(|part| path.contains(**part)) {
        return fields.flaw("value", format!("must not contain {part:?}"));
    }
    if path.ends_with("/..") || path.ends_with("/.") {
        return fields.flaw("value", "must not end with a dot segment");
    }
    let is_fit = |letter: char| letter.is_ascii_alphanumeric() || MARKS.contains(letter);
    match path.chars().all(is_fit) {
        true => Some(path),
        false => fields.flaw("value", "has a character that no path has (RFC 3986)"),
    }
}

fn value(fields: &Fields) -> Option<ValueMatch> {
    let text = fields.required_text("value")?;
    match fields.text("type").unwrap_or("Exact") {
        "Exact" => Some(ValueMatch::Exact(text.to_owned())),
        "RegularExpression" => {
            let regex = whole(text).map(ValueMatch::Regex);
            regex.map_or_else(|fault| fields.flaw("value", fault), Some)
        }
        _ => fields.flaw("type", "must be Exact or RegularExpression"),
    }
}

/// How much memory one compiled expression may take.
const LARGEST_PROGRAM: usize = 256 << 10;

/// An expression of a whole text, in linear time.
fn whole(pattern: &str) -> Result<Regex, String> {
    // By itself first: what closes our parenthesis must not make another expression.
    let build = |pattern: &str| {
        let mut builder = RegexBuilder::new(pattern);
        builder.size_limit(LARGEST_PROGRAM).build()
    };
    build(pattern)
        .and_then(|_| build(&format!("^(?:{pattern})$")))
        .map_err(|error| {
            let text = error.to_string();
            let cause = text.lines().last().unwrap_or_default();
            format!(
                "is not an expression: {}",
                cause.trim_start_matches("error: ")
            )
        })
}
