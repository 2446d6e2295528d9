//! An entry of `httpRules`: a name, conditions, and the keys that go with its `type`.

use std::collections::HashSet;
use std::time::Duration;

use super::super::model::{Action, Condition, Forward, HttpRule, Tunnel};
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;
use super::super::words::listed;
use super::{
    changes, condition, cors, defaults, handshake, mirror, redirect, retry, target_groups, tunnel,
};

pub(super) const KEYS: &[&str] = &[
    "name",
    "type",
    "conditions",
    "targetGroup",
    "targetGroups",
    "tunnel",
    "allowedOrigins",
    "allowedSubprotocols",
    "checkAccept",
    "lenientHandshake",
    "upgrades",
    "requestTimeout",
    "attemptTimeout",
    "retry",
    "cors",
    "mirrors",
    "headers",
    "rewrite",
    "location",
    "dropQuery",
    "statusCode",
    "responseMessage",
    "contentType",
];

#[derive(Debug, Clone, Copy)]
enum Type {
    Forward,
    Redirect,
    Static,
}

const TYPES: &[(&str, Type)] = &[
    ("FORWARD", Type::Forward),
    ("REDIRECT", Type::Redirect),
    ("STATIC", Type::Static),
];

impl Type {
    /// The keys that go with this type, beyond those of every rule.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Type::Forward => &[
                "targetGroup",
                "targetGroups",
                "tunnel",
                "allowedOrigins",
                "allowedSubprotocols",
                "checkAccept",
                "lenientHandshake",
                "upgrades",
                "requestTimeout",
                "attemptTimeout",
                "retry",
                "cors",
                "mirrors",
                "headers",
                "rewrite",
            ],
            Type::Redirect => &["location", "dropQuery", "statusCode", "rewrite", "cors"],
            Type::Static => &["statusCode", "responseMessage", "contentType"],
        }
    }
}

/// `groups` are the names that `targetGroup` and `targetGroups` may say, `tunnel` is what holds
/// where the rule says nothing of it.
pub(super) fn read(
    node: Node,
    names: &mut Unique<String>,
    groups: &HashSet<&str>,
    tunnel: &Tunnel,
) -> Option<HttpRule> {
    let mapping = node.mapping(KEYS)?;
    let name = mapping.required("name", |node| node.name(names));
    let conditions = mapping.or("conditions", Vec::new(), |list| list.each(condition::read));
    let action = mapping
        .required("type", |node| node.choice(TYPES, &[]))
        .and_then(|kind| action(kind, &mapping, groups, tunnel, conditions.as_deref()));
    Some(HttpRule {
        name: name?,
        conditions: conditions?,
        action: action?,
    })
}

fn action(
    kind: Type,
    mapping: &Mapping,
    groups: &HashSet<&str>,
    tunnel: &Tunnel,
    conditions: Option<&[Condition]>,
) -> Option<Action> {
    forbid_keys_of_others(kind, mapping);
    match kind {
        Type::Forward => forward(mapping, groups, tunnel, conditions),
        Type::Redirect => redirect::read(mapping, conditions).map(Action::Redirect),
        Type::Static => respond(mapping),
    }
}

fn forbid_keys_of_others(kind: Type, mapping: &Mapping) {
    for key in KEYS {
        let with_key = TYPES.iter().filter(|(_, other)| other.keys().contains(key));
        let names: Vec<&str> = with_key.map(|(name, _)| *name).collect();
        if !names.is_empty() && !kind.keys().contains(key) {
            mapping.forbidden(key, &format!("is only valid for {}", listed(&names, "and")));
        }
    }
}

fn forward(
    mapping: &Mapping,
    groups: &HashSet<&str>,
    outer: &Tunnel,
    conditions: Option<&[Condition]>,
) -> Option<Action> {
    let shares = target_groups::read(mapping, groups, conditions);
    let tunnel = tunnel::read(mapping, outer);
    let allowed_origins = handshake::origins(mapping);
    let allowed_subprotocols = handshake::subprotocols(mapping);
    let check_accept = mapping.or("checkAccept", None, |node| node.boolean().map(Some));
    let lenient_handshake = mapping.or(
        "lenientHandshake",
        defaults::LENIENT_HANDSHAKE,
        Node::boolean,
    );
    let upgrades = handshake::upgrades(mapping);
    let (request_timeout, attempt_timeout) = timeouts(mapping);
    let retry = retry::read(mapping);
    let cors = cors::read(mapping);
    let mirrors = mirror::read(mapping, groups);
    let changes = changes::read(mapping, conditions);
    let (target_groups, answers) = shares?;
    Some(Action::Forward(Forward {
        target_groups,
        answers,
        keeps_shares: false,
        tunnel: Box::new(tunnel?),
        allowed_origins: allowed_origins?,
        allowed_subprotocols: allowed_subprotocols?,
        check_accept: check_accept?,
        lenient_handshake: lenient_handshake?,
        upgrades: upgrades?,

        request_timeout: request_timeout?,
        attempt_timeout: attempt_timeout?,
        retry: retry?,
        cors: cors?.map(Box::new),
        mirrors: mirrors?,
        changes: Box::new(changes?),
    }))
}

/// Of the request and of an attempt: durations, or 0 for none.
fn timeouts(mapping: &Mapping) -> (Option<Option<Duration>>, Option<Option<Duration>>) {
    let timeout = |key| {
        mapping.or(key, None, |node: &Node| {
            let timeout = node.delay()?;
            Some(Some(timeout).filter(|timeout| !timeout.is_zero()))
        })
    };
    let (request, attempt) = (timeout("requestTimeout"), timeout("attemptTimeout"));
    if let (Some(Some(request)), Some(Some(attempt))) = (request, attempt)
        && attempt > request
    {
        mapping.problem::<()>("attemptTimeout", "must not be longer than requestTimeout");
    }
    (request, attempt)
}

fn respond(mapping: &Mapping) -> Option<Action> {
    let status_code = mapping.or("statusCode", defaults::STATIC_STATUS, |node| {
        node.integer(200..=599)
    });
    let response_message = mapping.required("responseMessage", |node| body(node, status_code));
    let content_type = mapping.or(
        "contentType",
        defaults::CONTENT_TYPE.to_owned(),
        content_type,
    );
    Some(Action::Static {
        status_code: status_code?,
        response_message: response_message?,
        content_type: content_type?,
    })
}

/// A body that may accompany the status (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5).
fn body(node: &Node, status_code: Option<u16>) -> Option<String> {
    let body = node.string()?;
    match status_code {
        Some(status @ (204 | 205 | 304)) if !body.is_empty() => node.problem(format!(
            "must be empty: an answer with status {status} has no body"
        )),
        _ => Some(body.to_owned()),
    }
}

fn content_type(node: &Node) -> Option<String> {
    let content_type = node.text()?;
    let plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if !content_type.bytes().all(plain) {
        return node.wrong("visible ASCII characters and spaces");
    }
    Some(content_type.to_owned())
}
