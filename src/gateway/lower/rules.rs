//! Forwarding rules, and what a match becomes: the conditions and the action of an HTTP rule.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::defaults::RULE;
use crate::config::model::{
    self, Answer, Comparison, Condition, CorsList, ForwardingRule, HttpRule, NewPath, NewValue,
    Source, Subject, Tls, TlsVersion, WeightedAnswer, WeightedGroup,
};
use crate::gateway::compiled::{
    Action, Changes, Destination, Entry, Forward, MirrorTo, Share, Socket,
};
use crate::gateway::objects::{
    Cors, HeaderChanges, Host, PathChange, PathMatch, Redirect, Retry, Rewrite, TunnelPolicy,
    ValueMatch,
};

/// What the forwarding rule for an address is called.
pub(in super::super) fn name_of(address: SocketAddr) -> String {
    format!("gateway {address}")
}

/// The address of the forwarding rule that is called like this.
pub(in super::super) fn address_of(name: &str) -> Option<SocketAddr> {
    name.strip_prefix("gateway ")?.parse().ok()
}

/// What listens at a socket, shows these certificates, and has these rules.
pub(super) fn forwarding_rule(
    socket: &Socket,
    certificates: Vec<String>,
    http_rules: Vec<Arc<HttpRule>>,
    source: &dyn Fn(&str) -> Source,
) -> ForwardingRule {
    let name = name_of(socket.address);
    let tls = socket.tls.as_ref().map(|tls| Tls {
        certificates,
        min_version: TlsVersion::V1_2,
        client_certificates: tls.clients.as_deref().cloned(),
        strict_sni: false,
        http2: true,
    });
    ForwardingRule {
        source: source(&name),
        name,
        listen: socket.address,
        // A client of gRPC or of a mesh begins with it where there is no TLS to ask for it.
        h2c: tls.is_none(),
        tls,
        http_rules,
        in_order: true,
        ..RULE.clone()
    }
}

pub(super) fn is(subject: Subject) -> Condition {
    Condition {
        subject,
        negate: false,
    }
}

pub(super) fn comparison(host: &Host) -> Comparison {
    match host {
        Host::Exact(name) => Comparison::Equals(name.to_string()),
        Host::Below(suffix) => Comparison::EndsWith(suffix.to_string()),
    }
}

pub(super) fn host_is(host: &Host) -> Subject {
    Subject::Host(comparison(host))
}

pub(super) fn fixed(status_code: u16) -> model::Action {
    let response_message = match status_code {
        404 => "No route has this address.\n",
        421 => "This connection is for another host.\n",
        _ => "The route has no backend.\n",
    };
    model::Action::Static {
        status_code,
        response_message: response_message.to_owned(),
        content_type: "text/plain; charset=utf-8".to_owned(),
    }
}

pub(super) fn conditions(entry: &Entry) -> Vec<Condition> {
    let matched = entry.matched();
    let host = entry.host.as_ref().map(host_is);
    let path = match &matched.path {
        PathMatch::Exact(path) => Some(Comparison::Equals(path.clone())),
        PathMatch::Prefix(path) if path == "/" => None,
        PathMatch::Prefix(path) => Some(Comparison::Under(path.clone())),
        PathMatch::Regex(regex) => Some(Comparison::Matches(regex.clone())),
    };
    let method = matched.method.as_ref();
    let method = method.map(|method| Comparison::Equals(method.to_string()));
    let value = |how: &ValueMatch| match how {
        ValueMatch::Exact(text) => Comparison::Equals(text.clone()),
        ValueMatch::Regex(regex) => Comparison::Matches(regex.clone()),
    };
    let headers = matched.headers.iter();
    let headers = headers.map(|(name, how)| Subject::Header(name.to_string(), value(how)));
    let query = matched.query.iter();
    let query = query.map(|(name, how)| Subject::Query(name.clone(), value(how)));
    let one = [host, path.map(Subject::Path), method.map(Subject::Method)];
    let all = one.into_iter().flatten().chain(headers).chain(query);
    all.map(is).collect()
}

pub(super) fn action(
    entry: &Entry,
    socket: &Socket,
    policy: Option<&TunnelPolicy>,
) -> model::Action {
    match &entry.rule.action {
        Action::Fail(status) => fixed(*status),
        Action::Redirect(redirect, told) => {
            match redirected(redirect, told.as_ref(), entry, socket) {
                Some(redirect) => model::Action::Redirect(redirect),
                None => fixed(500),
            }
        }
        Action::Forward(forward) => forwarded(forward, entry, socket, policy),
    }
}

/// What pages of other sites may do with it is `told`.
fn redirected(
    redirect: &Redirect,
    told: Option<&Cors>,
    entry: &Entry,
    socket: &Socket,
) -> Option<model::Redirect> {
    let scheme = redirect.scheme.as_deref().map(|scheme| match scheme {
        "https" => "https",
        _ => "http",
    });
    let parts = model::RedirectParts {
        scheme,
        host: redirect.host.as_deref().map(str::to_owned),
        port: redirect.port,
        path: redirect.path.as_ref().map(|path| new_path(path, entry)),
        status_code: redirect.status,
    };
    let made = parts.redirect(socket.address.port(), socket.tls.is_some());
    Some(model::Redirect {
        cors: boxed(told),
        ..made.ok()?
    })
}

fn forwarded(
    forward: &Forward,
    entry: &Entry,
    socket: &Socket,
    policy: Option<&TunnelPolicy>,
) -> model::Action {
    let base = policy.and_then(|policy| policy.said.as_deref().cloned());
    let mut base = base.unwrap_or_else(|| model::Forward::to(""));
    // What a route gives a request, it gives a handshake.
    let given = forward.backend_timeout.or(forward.request_timeout);
    let handshake = &mut base.tunnel.handshake_timeout;
    *handshake = given.map_or(*handshake, |given| given.max(*handshake));
    let answer = |share: &Share| {
        let answer = match &share.to {
            Destination::Group(_) => return None,
            Destination::Status(status) => Answer::Status(*status),
            Destination::Redirect(redirect) => {
                let told = share.cors.as_ref().or(forward.cors.as_ref());
                let made = redirected(redirect, told, entry, socket);
                made.map_or(Answer::Status(500), Answer::Redirect)
            }
        };
        let weight = share.weight;
        Some(WeightedAnswer { answer, weight })
    };
    let group = |share: &Share| match &share.to {
        Destination::Group(group) => Some(WeightedGroup {
            name: group.text.to_string(),
            weight: share.weight,
            changes: (share.changes != Changes::default())
                .then(|| Box::new(changes(&share.changes, entry))),
            cors: boxed(share.cors.as_ref()),
            mirrors: mirrors(&share.mirrors),
        }),
        Destination::Status(_) | Destination::Redirect(_) => None,
    };
    model::Action::Forward(model::Forward {
        target_groups: forward.shares.iter().filter_map(group).collect(),
        answers: forward.shares.iter().filter_map(answer).collect(),
        keeps_shares: true,
        request_timeout: forward.request_timeout,
        attempt_timeout: forward.backend_timeout,
        retry: forward.retry.as_ref().and_then(retry),
        cors: boxed(forward.cors.as_ref()),
        mirrors: mirrors(&forward.mirrors),
        changes: Box::new(changes(&forward.changes, entry)),
        ..base
    })
}

/// Without a status there is nothing to do: connections that fail are tried again anyway.
fn retry(retry: &Retry) -> Option<model::Retry> {
    let attempts = retry.attempts.unwrap_or(1);
    let is_none = retry.codes.is_empty() || attempts == 0;
    (!is_none).then(|| model::Retry {
        status_codes: retry.codes.clone(),
        attempts,
        backoff: retry.backoff.unwrap_or_default(),
    })
}

/// Copies of no request at all are none.
fn mirrors(mirrors: &[MirrorTo]) -> Vec<model::Mirror> {
    let some = mirrors.iter().filter(|mirror| mirror.share.0 > 0);
    let some = some.map(|mirror| model::Mirror {
        target_group: mirror.group.text.to_string(),
        numerator: mirror.share.0,
        denominator: mirror.share.1,
    });
    some.collect()
}

/// Each word once; `*` is all of them.
fn words(words: &[String]) -> CorsList {
    if let [only] = words
        && only == "*"
    {
        return CorsList::All;
    }
    let mut own: Vec<String> = Vec::new();
    for word in words {
        if !own.contains(word) {
            own.push(word.clone());
        }
    }
    CorsList::These(own)
}

fn boxed(told: Option<&Cors>) -> Option<Box<model::Cors>> {
    told.map(|told| Box::new(cors(told)))
}

/// Browsers remember nothing for longer than a day.
fn cors(cors: &Cors) -> model::Cors {
    const DAY: u32 = 24 * 60 * 60;
    model::Cors {
        allow_origins: cors.origins.clone(),
        allow_credentials: cors.credentials,
        allow_methods: words(&cors.methods),
        allow_headers: words(&cors.headers),
        expose_headers: words(&cors.exposed),
        max_age: Duration::from_secs(cors.max_age.min(DAY).into()),
    }
}

fn changes(changes: &Changes, entry: &Entry) -> model::Changes {
    model::Changes {
        headers: model::Headers {
            request: header_changes(&changes.request),
            response: header_changes(&changes.response),
        },
        rewrite: rewrite(&changes.rewrite, entry),
    }
}

fn header_changes(changes: &HeaderChanges) -> model::HeaderChanges {
    let fixed =
        |(name, value): &(HeaderName, HeaderValue)| (name.clone(), NewValue::Fixed(value.clone()));
    let is_set = |name: &HeaderName| changes.set.iter().any(|(set, _)| set == name);
    let removed = changes.remove.iter().filter(|name| !is_set(name));
    model::HeaderChanges {
        remove: removed.cloned().collect(),
        set: changes.set.iter().map(fixed).collect(),
        add: changes.add.iter().map(fixed).collect(),
    }
}

fn rewrite(rewrite: &Rewrite, entry: &Entry) -> model::Rewrite {
    let host = rewrite.host.as_ref();
    model::Rewrite {
        host: host.and_then(|host: &Arc<str>| HeaderValue::from_str(host).ok()),
        path: rewrite.path.as_ref().map(|path| new_path(path, entry)),
    }
}

/// A path begins with a slash.
fn new_path(change: &PathChange, entry: &Entry) -> NewPath {
    let whole = |path: &String| match path.starts_with('/') {
        true => path.clone(),
        false => format!("/{path}"),
    };
    match (change, &entry.matched().path) {
        (PathChange::Prefix(after), PathMatch::Prefix(before)) => NewPath::Prefix {
            before: model::without_last_slash(before).to_owned(),
            after: whole(after),
        },
        (PathChange::Whole(path) | PathChange::Prefix(path), _) => NewPath::Whole(whole(path)),
    }
}
