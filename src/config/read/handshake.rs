//! Which WebSocket handshakes a `FORWARD` rule takes, `allowedOrigins` and `allowedSubprotocols`,
//! and which other `upgrades`.

use super::super::model::AllowedOrigin;
use super::super::origin::allowed;
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;

const AN_ORIGIN: &str = "an origin (\"https://app.example.com\"), all hosts below one \
                         (\"https://*.example.com\"), all (\"https://*\"), or \"null\"";

pub(super) fn origins(mapping: &Mapping) -> Option<Option<Vec<AllowedOrigin>>> {
    list(mapping, "allowedOrigins", origin)
}

pub(super) fn subprotocols(mapping: &Mapping) -> Option<Option<Vec<String>>> {
    let mut names = Unique::new("subprotocol");
    list(mapping, "allowedSubprotocols", |node| {
        subprotocol(&node, &mut names)
    })
}

pub(super) fn upgrades(mapping: &Mapping) -> Option<Vec<String>> {
    let mut names = Unique::new("protocol");
    mapping.or("upgrades", Vec::new(), |list| {
        list.each(|node| upgrade(&node, &mut names))
    })
}

/// An empty one would refuse everybody, which an operator hardly means.
fn list<'a, T>(
    mapping: &Mapping<'a>,
    key: &str,
    read: impl FnMut(Node<'a>) -> Option<T>,
) -> Option<Option<Vec<T>>> {
    mapping.or(key, None, |node| {
        if node.entries()?.is_empty() {
            return node.problem("must have at least one entry");
        }
        node.each(read).map(Some)
    })
}

/// An entry of `allowedOrigins`, and the like.
pub(super) fn origin(node: Node) -> Option<AllowedOrigin> {
    let text = node.string()?;
    allowed(text).or_else(|| node.wrong(AN_ORIGIN))
}

/// A token (RFC 9110 section 5.6.2).
fn subprotocol(node: &Node, names: &mut Unique<String>) -> Option<String> {
    if !is_token(node.string()?) {
        return node.wrong("the name of a subprotocol, without spaces or separators");
    }
    node.name(names)
}

/// A protocol, with or without a version (RFC 9110 section 7.8). What would carry requests is not
/// let past the rules.
fn upgrade(node: &Node, names: &mut Unique<String>) -> Option<String> {
    let text = node.string()?;
    let (name, version) = text.split_once('/').unwrap_or((text, "1"));
    if !is_token(name) || !is_token(version) {
        return node.wrong("a protocol (\"tailscale-control-protocol\", \"spdy/3.1\")");
    }
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if is("websocket") {
        return node.problem("websocket needs no permission: it is always let through");
    }
    if is("h2c") || is("http") || is("tls") {
        return node.problem("cannot be let through: HTTP rules would not see its requests");
    }
    node.name(names)
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}
