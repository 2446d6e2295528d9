//! `healthCheck` and `httpHealthCheck` of a target group: which keys go together with which `type`.
//!
//! `httpHealthCheck` is IONOS' way to write the type HTTP: its keys are there, and the times and
//! thresholds in `healthCheck`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::super::model::{
    Action, Check, Comparison, Condition, Config, Expected, GrpcCheck, HealthCheck, HttpCheck,
    HttpRule, Subject, WebSocketCheck,
};
use super::super::tree::{Mapping, Node};
use super::super::words::{listed, quoted};
use super::{defaults, expression};

pub(super) const KEYS: &[&str] = &[
    "checkTimeout",
    "checkInterval",
    "retries",
    "healthyThreshold",
    "unhealthyThreshold",
    "port",
    "type",
    "path",
    "method",
    "host",
    "headers",
    "matchType",
    "response",
    "regex",
    "negate",
    "subprotocol",
    "ping",
    "service",
];

/// The keys of the type HTTP, and of `httpHealthCheck`.
pub(super) const HTTP_KEYS: &[&str] = &[
    "path",
    "method",
    "host",
    "headers",
    "matchType",
    "response",
    "regex",
    "negate",
];

const GRPC_KEYS: &[&str] = &["service", "host"];

const WEBSOCKET_KEYS: &[&str] = &["path", "host", "headers", "subprotocol", "ping"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Tcp,
    Http,
    Grpc,
    WebSocket,
}

const TYPES: &[(&str, Type)] = &[
    ("TCP", Type::Tcp),
    ("HTTP", Type::Http),
    ("GRPC", Type::Grpc),
    ("WEBSOCKET", Type::WebSocket),
];

/// The methods that IONOS has.
const METHODS: &[(&str, &str)] = &[
    ("HEAD", "HEAD"),
    ("PUT", "PUT"),
    ("POST", "POST"),
    ("GET", "GET"),
    ("TRACE", "TRACE"),
    ("PATCH", "PATCH"),
    ("OPTIONS", "OPTIONS"),
];

#[derive(Debug, Clone, Copy)]
enum MatchType {
    StatusCode,
    ResponseBody,
}

const MATCH_TYPES: &[(&str, MatchType)] = &[
    ("STATUS_CODE", MatchType::StatusCode),
    ("RESPONSE_BODY", MatchType::ResponseBody),
];

/// What makes a message what it is, or a handshake.
const OUR_HEADERS: &[HeaderName] = &[HOST, CONNECTION, UPGRADE, CONTENT_LENGTH, TRANSFER_ENCODING];
const OUR_PREFIX: &str = "sec-websocket-";

pub(super) fn read(group: &Mapping) -> Option<HealthCheck> {
    let mapping = group.section("healthCheck", KEYS)?;
    let check_timeout = mapping.or("checkTimeout", defaults::CHECK_TIMEOUT, Node::duration);
    let check_interval = mapping.or("checkInterval", defaults::CHECK_INTERVAL, Node::duration);
    let retries = mapping.or("retries", defaults::RETRIES, |node| {
        node.integer(0..=u16::MAX)
    });
    let healthy = mapping.or("healthyThreshold", defaults::HEALTHY_THRESHOLD, threshold);
    let unhealthy = mapping.or(
        "unhealthyThreshold",
        defaults::UNHEALTHY_THRESHOLD,
        threshold,
    );
    let port = mapping.or("port", None, |node| node.port().map(Some));
    let check = check(group, &mapping);
    Some(HealthCheck {
        check_timeout: check_timeout?,
        check_interval: check_interval?,
        retries: retries?,
        healthy_threshold: healthy?,
        unhealthy_threshold: unhealthy?,
        port: port?,
        check: check?,
    })
}

fn threshold(node: &Node) -> Option<usize> {
    node.integer(1..=100)
}

fn check(group: &Mapping, mapping: &Mapping) -> Option<Check> {
    let separate = group.get("httpHealthCheck");
    let default = match separate {
        Some(_) => Type::Http,
        None => Type::Tcp,
    };
    let kind = mapping.or("type", default, |node| node.choice(TYPES, &[]));
    if let Some(node) = separate {
        if kind.is_some_and(|kind| kind != Type::Http) {
            return mapping.problem("type", "must be HTTP beside httpHealthCheck");
        }
        let is_of_a_type = |key: &&&str| TYPES.iter().any(|(_, kind)| kind.keys().contains(key));
        for key in KEYS.iter().filter(is_of_a_type) {
            mapping.forbidden(key, "is not valid beside httpHealthCheck");
        }
        return http(&node.mapping(HTTP_KEYS)?).map(Check::Http);
    }
    let kind = kind?;
    forbid_keys_of_others(kind, mapping);
    match kind {
        Type::Tcp => Some(Check::Tcp),
        Type::Http => http(mapping).map(Check::Http),
        Type::Grpc => grpc(mapping).map(Check::Grpc),
        Type::WebSocket => websocket(mapping).map(Check::WebSocket),
    }
}

impl Type {
    fn keys(self) -> &'static [&'static str] {
        match self {
            Type::Tcp => &[],
            Type::Http => HTTP_KEYS,
            Type::Grpc => GRPC_KEYS,
            Type::WebSocket => WEBSOCKET_KEYS,
        }
    }
}

fn forbid_keys_of_others(kind: Type, mapping: &Mapping) {
    for key in KEYS {
        let with_key = TYPES.iter().filter(|(_, other)| other.keys().contains(key));
        let names: Vec<&str> = with_key.map(|(name, _)| *name).collect();
        if !names.is_empty() && !kind.keys().contains(key) {
            let message = format!("is only valid for {}", listed(&names, "and"));
            mapping.forbidden(key, &message);
        }
    }
}

fn http(mapping: &Mapping) -> Option<HttpCheck> {
    let path = mapping.or("path", defaults::CHECK_PATH.to_owned(), path);
    let method = mapping.or("method", defaults::CHECK_METHOD, method);
    let host = mapping.or("host", None, host);
    let headers = mapping.or("headers", HeaderMap::new(), headers);
    let expected = expected(mapping);
    let negate = mapping.or("negate", defaults::CHECK_NEGATE, Node::boolean);
    Some(HttpCheck {
        path: path?,
        method: method?,
        host: host?,
        headers: headers?,
        expected: expected?,
        negate: negate?,
    })
}

fn grpc(mapping: &Mapping) -> Option<GrpcCheck> {
    let service = mapping.or("service", String::new(), service);
    let host = mapping.or("host", None, host);
    Some(GrpcCheck {
        service: service?,
        host: host?,
    })
}

/// The full name of a service of gRPC.
fn service(node: &Node) -> Option<String> {
    const LONGEST: usize = 253;
    let service = node.text()?;
    let is_part = |byte: u8| byte.is_ascii_graphic();
    match service.len() <= LONGEST && service.bytes().all(is_part) {
        true => Some(service.to_owned()),
        false => node.wrong("the name of a service: up to 253 visible ASCII characters"),
    }
}

fn websocket(mapping: &Mapping) -> Option<WebSocketCheck> {
    let path = mapping.or("path", defaults::CHECK_PATH.to_owned(), path);
    let host = mapping.or("host", None, host);
    let headers = mapping.or("headers", HeaderMap::new(), headers);
    let subprotocol = mapping.or("subprotocol", None, |node| token(node).map(Some));
    let ping = mapping.or("ping", defaults::CHECK_PING, Node::boolean);
    Some(WebSocketCheck {
        path: path?,
        host: host?,
        headers: headers?,
        subprotocol: subprotocol?,
        ping: ping?,
    })
}

fn path(node: &Node) -> Option<String> {
    let path = node.string()?;
    let is_sound = path.starts_with('/')
        && path.bytes().all(|byte| byte.is_ascii_graphic())
        && path.parse::<PathAndQuery>().is_ok();
    match is_sound {
        true => Some(path.to_owned()),
        false => node.wrong("a path that begins with a slash"),
    }
}

fn method(node: &Node) -> Option<Method> {
    node.choice(METHODS, &[])?.parse().ok()
}

fn host(node: &Node) -> Option<Option<String>> {
    let host = node.text()?;
    match host.parse::<http::uri::Authority>() {
        Ok(authority) if !host.contains('@') => Some(Some(authority.to_string())),
        _ => node.wrong("a host, possibly with a port"),
    }
}

/// A token is what may be the name of a header (RFC 9110 section 5.6.2).
fn token(node: &Node) -> Option<String> {
    let token = node.text()?;
    match HeaderName::from_bytes(token.as_bytes()) {
        Ok(_) => Some(token.to_owned()),
        Err(_) => node.wrong("a token"),
    }
}

fn headers(node: &Node) -> Option<HeaderMap> {
    let entries = node.named_entries()?.into_iter();
    let read: Vec<_> = entries.map(|(name, node)| header(name, &node)).collect();
    read.into_iter().collect()
}

fn header(name: &str, node: &Node) -> Option<(HeaderName, HeaderValue)> {
    let value = node.string().map(HeaderValue::from_str);
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
        return node.problem("is not the name of a header");
    };
    if OUR_HEADERS.contains(&name) || name.as_str().starts_with(OUR_PREFIX) {
        return node.problem("cannot be set here");
    }
    match value? {
        Ok(value) => Some((name, value)),
        Err(_) => node.wrong("the value of a header"),
    }
}

fn expected(mapping: &Mapping) -> Option<Expected> {
    let status_code = MatchType::StatusCode;
    let kind = mapping.or("matchType", status_code, |node| {
        node.choice(MATCH_TYPES, &[])
    });
    let regex = mapping.or("regex", defaults::CHECK_REGEX, Node::boolean);
    let (kind, is_regex) = (kind?, regex?);
    let Some(response) = mapping.get("response") else {
        return match (kind, is_regex) {
            (MatchType::StatusCode, false) => Some(Expected::Status(vec![defaults::CHECK_STATUS])),
            _ => mapping.problem("response", "is required"),
        };
    };
    match (kind, is_regex) {
        (MatchType::StatusCode, false) => statuses(&response).map(Expected::Status),
        (MatchType::ResponseBody, false) => {
            Some(Expected::Body(response.text().map(str::to_owned)?))
        }
        (kind, true) => {
            let expression = match expression::compile(response.text()?, false) {
                Ok(expression) => expression,
                Err(reason) => return response.problem(reason),
            };
            Some(match kind {
                MatchType::StatusCode => Expected::StatusMatches(expression),
                MatchType::ResponseBody => Expected::BodyMatches(expression),
            })
        }
    }
}

/// `200`, `200-399`, or several of these with commas between.
fn statuses(node: &Node) -> Option<Vec<RangeInclusive<u16>>> {
    let one = |text: &str| {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let [low, high] = [low, high].map(|text| text.trim().parse::<u16>().ok());
        let range = low?..=high?;
        let is_sound = range.start() <= range.end() && *range.start() >= 100 && *range.end() < 600;
        is_sound.then_some(range)
    };
    let ranges: Option<Vec<_>> = node.string()?.split(',').map(one).collect();
    ranges.or_else(|| node.wrong("statuses from 100 to 599 (\"200\", \"200-399\", \"200,204\")"))
}

/// A target that knows WebSockets and nothing else fails an HTTP check, and is unavailable then.
pub(super) fn warn_of_websockets(config: &Config, top: &Mapping) {
    let Some(nodes) = top.get("targetGroups").and_then(|list| list.entries()) else {
        return;
    };
    for (group, node) in config.target_groups.iter().zip(nodes) {
        let Check::Http(_) = group.health_check.check else {
            continue;
        };
        let rules = config.forwarding_rules.iter();
        let mut rules = rules.flat_map(|rule| &rule.http_rules);
        let by = |rule: &&Arc<HttpRule>| forwards_to(rule, &group.name) && is_for_websockets(rule);
        if let Some(rule) = rules.find(by) {
            node.warning(format!(
                "the HTTP rule {} sends WebSockets here, and a target that answers \
                 no plain requests fails an HTTP health check, and is unavailable: \
                 WEBSOCKET and TCP are the types for it",
                quoted(&rule.name)
            ));
        }
    }
}

fn forwards_to(rule: &HttpRule, group: &str) -> bool {
    let Action::Forward(forward) = &rule.action else {
        return false;
    };
    let mut groups = forward.target_groups.iter();
    groups.any(|weighted| weighted.name == group)
}

/// Whether the rule asks for an upgrade.
pub(in crate::config) fn is_for_websockets(rule: &HttpRule) -> bool {
    let says = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.contains("upgrade") || text.contains("websocket")
    };
    let asks = |condition: &Condition| match &condition.subject {
        Subject::Header(_, comparison) if condition.subject.is_token_list() => match comparison {
            Comparison::Exists => false,
            Comparison::Contains(text)
            | Comparison::Equals(text)
            | Comparison::StartsWith(text)
            | Comparison::EndsWith(text)
            | Comparison::Under(text) => says(text),
            Comparison::Matches(expression) => says(expression.as_str()),
        },
        _ => false,
    };
    let mut conditions = rule.conditions.iter();
    conditions.any(|condition| !condition.negate && asks(condition))
}
