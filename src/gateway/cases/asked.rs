//! Requests of cases, and what comes of them by the compiled form itself.

use std::sync::Arc;

use http::HeaderName;

use super::super::compiled::{
    Action, Changes, Compiled, Destination, Entry, Forward, ServedListener, Share, Socket,
};
use super::super::objects::{Host, PathChange, PathMatch, Redirect, ValueMatch};
use super::request::Asked;

/// What comes of a request: the backends with their shares, or a status; and what is changed.
/// The rules to which it is lowered must say the same.
pub(super) fn ask(compiled: &Compiled, line: &str) -> String {
    let told = by_compiled(compiled, line);
    assert_eq!(
        super::served::ask(compiled, line),
        told,
        "by the rules: {line}"
    );
    told
}

fn by_compiled(compiled: &Compiled, line: &str) -> String {
    let asked = Asked::parse(line);
    let Some(socket) = asked.socket(compiled) else {
        return "refused".to_owned();
    };
    let takes = |host: &str| {
        let mut listeners = socket.listeners.iter();
        listeners.find(|one| one.host.as_ref().is_none_or(|own| own.is(host)))
    };
    let Some(listener) = takes(&asked.host) else {
        return "404".to_owned();
    };
    if let Some(shown) = socket.tls.as_ref().and(asked.sni.as_ref()) {
        let by_name = takes(shown).map(|listener| &listener.name);
        if by_name != Some(&listener.name) {
            return "421".to_owned();
        }
    }
    let Some(entry) = find(listener, &asked) else {
        return "404".to_owned();
    };
    match &entry.rule.action {
        Action::Fail(status) => status.to_string(),
        Action::Redirect(redirect, _) => redirected(redirect, entry, &asked, socket),
        Action::Forward(forward) => {
            let told = forwarded(compiled, forward);
            let one = forward.shares.iter().find_map(|share| match &share.to {
                Destination::Redirect(redirect) => {
                    Some(redirected(redirect, entry, &asked, socket))
                }
                _ => None,
            });
            one.unwrap_or(told)
        }
    }
}

fn find<'a>(listener: &'a ServedListener, asked: &Asked) -> Option<&'a Entry> {
    let is_host = |host: &Option<Host>| host.as_ref().is_none_or(|host| host.is(&asked.host));
    let mut entries = listener.entries.iter();
    entries.find(|entry| is_host(&entry.host) && fits(entry, asked))
}

fn fits(entry: &Entry, asked: &Asked) -> bool {
    let matched = entry.matched();
    let is_path = match &matched.path {
        PathMatch::Exact(path) => *path == asked.path,
        PathMatch::Regex(regex) => regex.is_match(asked.path.as_bytes()),
        PathMatch::Prefix(prefix) => match prefix.as_str() {
            "/" => true,
            prefix => {
                let rest = asked.path.strip_prefix(prefix);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        },
    };
    let holds = |how: &ValueMatch, value: &str| match how {
        ValueMatch::Exact(text) => text == value,
        ValueMatch::Regex(regex) => regex.is_match(value.as_bytes()),
    };
    let has_header = |(name, how): &(HeaderName, ValueMatch)| {
        let mut lines = asked.headers.iter().filter(|(other, _)| other == name);
        lines.any(|(_, value)| holds(how, value))
    };
    let has_parameter = |(name, how): &(String, ValueMatch)| {
        let pairs = asked.query.iter().flat_map(|query| query.split('&'));
        let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let value = pairs.find(|(other, _)| other == name);
        value.is_some_and(|(_, value)| holds(how, value))
    };
    is_path
        && matched
            .method
            .as_ref()
            .is_none_or(|method| *method == asked.method)
        && matched.headers.iter().all(has_header)
        && matched.query.iter().all(has_parameter)
}

fn forwarded(compiled: &Compiled, forward: &Forward) -> String {
    let name = |share: &Share| match &share.to {
        Destination::Group(group) => {
            let is_empty = compiled.endpoints[&group.text].is_empty();
            let name = group.service.name.to_string();
            if is_empty { "503".to_owned() } else { name }
        }
        Destination::Status(status) => status.to_string(),
        Destination::Redirect(_) => "redirect".to_owned(),
    };
    let one = |share: &Share| {
        let weight = match forward.shares.len() {
            1 => String::new(),
            _ => format!("*{}", share.weight),
        };
        format!("{}{weight}{}", name(share), changed(&share.changes))
    };
    let shares: Vec<_> = forward.shares.iter().map(one).collect();
    format!("{}{}", shares.join(" "), changed(&forward.changes))
}

/// What is changed, each with a blank before it.
pub(super) fn changed(changes: &Changes) -> String {
    let mut told = String::new();
    for (side, headers) in [("", &changes.request), ("answer-", &changes.response)] {
        for (what, pairs) in [("set", &headers.set), ("add", &headers.add)] {
            for (name, value) in pairs {
                told += &format!(" {side}{what}({name}:{})", value.to_str().unwrap());
            }
        }
        for name in &headers.remove {
            told += &format!(" {side}remove({name})");
        }
    }
    if let Some(host) = &changes.rewrite.host {
        told += &format!(" host({host})");
    }
    match &changes.rewrite.path {
        Some(PathChange::Whole(path)) => told += &format!(" path({path})"),
        Some(PathChange::Prefix(path)) => told += &format!(" prefix({path})"),
        None => {}
    }
    told
}

fn redirected(redirect: &Redirect, entry: &Entry, asked: &Asked, socket: &Socket) -> String {
    let own = if socket.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let scheme = redirect.scheme.as_deref().unwrap_or(own);
    let known = if scheme == "https" { 443 } else { 80 };
    let port = match (redirect.port, &redirect.scheme) {
        (Some(port), _) => port,
        (None, Some(_)) => known,
        (None, None) => socket.address.port(),
    };
    let port = match port == known {
        true => String::new(),
        false => format!(":{port}"),
    };
    let path = match (&redirect.path, &entry.matched().path) {
        (None, _) => asked.path.clone(),
        (Some(PathChange::Whole(path)), _) => path.clone(),
        (Some(PathChange::Prefix(with)), PathMatch::Prefix(prefix)) => {
            let kept = &asked.path[prefix.trim_end_matches('/').len()..];
            let whole = format!("{}{kept}", with.trim_end_matches('/'));
            if whole.is_empty() {
                "/".to_owned()
            } else {
                whole
            }
        }
        (Some(PathChange::Prefix(_)), _) => panic!("no prefix"),
    };
    let host: Arc<str> = asked.host.as_str().into();
    let host = redirect.host.as_ref().unwrap_or(&host);
    format!("{} {scheme}://{host}{port}{path}", redirect.status)
}
