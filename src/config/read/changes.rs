//! What a `FORWARD` rule changes on the way: `headers` and `rewrite`.
//!
//! Headers that frame a message, that concern one connection, or that make a handshake what it is,
//! are not the operator's to change.

use http::uri::Authority;
use http::{HeaderName, HeaderValue};

use super::super::model::{
    Changes, Comparison, Condition, HeaderChanges, Headers, NewPath, NewValue, Rewrite, Subject,
    without_last_slash,
};
use super::super::template::Template;
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;

pub(super) const HEADERS_KEYS: &[&str] = &["request", "response"];
pub(super) const CHANGES_KEYS: &[&str] = &["remove", "set", "add"];
pub(super) const REWRITE_KEYS: &[&str] = &["host", "path", "pathPrefix"];

/// RFC 9110 section 7.6.1, and what concerns a connection though nobody says so.
const OF_A_CONNECTION: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
];
const FRAMING: &[&str] = &["content-length", "transfer-encoding"];

/// `conditions` are the rule's, where they could be read.
pub(super) fn read(rule: &Mapping, conditions: Option<&[Condition]>) -> Option<Changes> {
    let headers = headers(rule);
    let rewrite = rewrite(rule, conditions);
    Some(Changes {
        headers: headers?,
        rewrite: rewrite?,
    })
}

fn headers(rule: &Mapping) -> Option<Headers> {
    let mapping = rule.section("headers", HEADERS_KEYS)?;
    let request = changes(&mapping, "request");
    let response = changes(&mapping, "response");
    Some(Headers {
        request: request?,
        response: response?,
    })
}

fn changes(headers: &Mapping, key: &str) -> Option<HeaderChanges> {
    let mapping = headers.section(key, CHANGES_KEYS)?;
    let mut others = Unique::new("header");
    let remove = mapping.or("remove", Vec::new(), |list| {
        list.each(|node| unique_name(node.string()?, &node, &mut others))
    });
    let set = mapping.or("set", Vec::new(), |node| values(node, &mut others));
    // What is removed or set may be added to: a list that begins anew, and has several.
    let add = mapping.or("add", Vec::new(), |node| {
        values(node, &mut Unique::new("header"))
    });
    Some(HeaderChanges {
        remove: remove?,
        set: set?,
        add: add?,
    })
}

fn values(node: &Node, names: &mut Unique<String>) -> Option<Vec<(HeaderName, NewValue)>> {
    node.each_key(|name, node| {
        let name = unique_name(name, &node, names);
        let value = value(&node);
        name.zip(value)
    })
}

fn unique_name(text: &str, node: &Node, names: &mut Unique<String>) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
        return node.problem("must be the name of a header");
    };
    if let Some(why) = why_not(name.as_str()) {
        return node.problem(why);
    }
    names.enter(name.as_str().to_owned(), node);
    Some(name)
}

/// Why a header cannot be changed. Many programs take an underscore in a name for a dash.
pub(in super::super) fn why_not(name: &str) -> Option<&'static str> {
    let name = name.replace('_', "-");
    match &*name {
        "host" => Some("Host cannot be changed here: see rewrite.host"),
        name if FRAMING.contains(&name) => Some("cannot be changed: it tells where a message ends"),
        name if OF_A_CONNECTION.contains(&name) => {
            Some("cannot be changed: it concerns one connection only")
        }
        name if name.starts_with("sec-websocket-") => {
            Some("cannot be changed: client and target agree on it")
        }
        _ => None,
    }
}

fn value(node: &Node) -> Option<NewValue> {
    let text = node.string()?;
    let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if !text.bytes().all(is_visible) || text.trim() != text {
        return node.wrong("visible ASCII characters, with spaces only between them");
    }
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(why) => return node.problem(why),
    };
    match template.literal().map(HeaderValue::from_str) {
        None => Some(NewValue::Made(template)),
        Some(Ok(value)) => Some(NewValue::Fixed(value)),
        Some(Err(_)) => node.wrong("the value of a header"),
    }
}

fn rewrite(rule: &Mapping, conditions: Option<&[Condition]>) -> Option<Rewrite> {
    let mapping = rule.section("rewrite", REWRITE_KEYS)?;
    let host = mapping.or("host", None, |node| host(node).map(Some));
    let path = path(&mapping, conditions);
    Some(Rewrite {
        host: host?,
        path: path?,
    })
}

/// What is said of the path. `conditions` are the rule's, where they could be read.
pub(super) fn path(mapping: &Mapping, conditions: Option<&[Condition]>) -> Option<Option<NewPath>> {
    let whole = mapping.or("path", None, |node| a_path(node).map(Some));
    let prefix = mapping.or("pathPrefix", None, |node| a_path(node).map(Some));
    match (whole?, prefix?) {
        (Some(_), Some(_)) => mapping.problem("pathPrefix", "cannot be combined with path"),
        (Some(path), None) => Some(Some(NewPath::Whole(path))),
        (None, Some(after)) => match matched_prefix(conditions?) {
            Some(before) => Some(Some(NewPath::Prefix { before, after })),
            None => mapping.problem(
                "pathPrefix",
                "needs a condition of type PATH with STARTS_WITH or UNDER, whose value it replaces",
            ),
        },
        (None, None) => Some(None),
    }
}

/// The longest that the conditions ask for: all of them hold.
fn matched_prefix(conditions: &[Condition]) -> Option<String> {
    let asked = conditions.iter().filter(|condition| !condition.negate);
    let prefix = |condition: &Condition| match &condition.subject {
        Subject::Path(Comparison::StartsWith(prefix)) => Some(prefix.clone()),
        Subject::Path(Comparison::Under(path)) => Some(without_last_slash(path).to_owned()),
        _ => None,
    };
    asked.filter_map(prefix).max_by_key(String::len)
}

fn host(node: &Node) -> Option<HeaderValue> {
    let text = node.string()?;
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    let authority = text.parse::<Authority>().ok();
    let is_host = is_plain && authority.is_some_and(|authority| !authority.host().is_empty());
    match HeaderValue::from_str(text) {
        Ok(host) if is_host => Some(host),
        _ => node.wrong("a host, with or without a port"),
    }
}

fn a_path(node: &Node) -> Option<String> {
    let text = node.string()?;
    let is_part = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
    if !text.starts_with('/') || !text.bytes().all(is_part) {
        return node.wrong("a path: \"/\", and visible ASCII characters without \"?\" and \"#\"");
    }
    Some(text.to_owned())
}
