//! Which WebSocket handshakes a `FORWARD` rule takes: `allowedOrigins` and `allowedSubprotocols`.

use super::super::file::AllowedOrigin;
use super::super::origin::Origin;
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;

const AN_ORIGIN: &str = "an origin (\"https://app.example.com\"), all hosts below one (\"https://*.example.com\"), or \"null\"";

pub(super) fn origins(mapping: &Mapping) -> Option<Option<Vec<AllowedOrigin>>> {
    list(mapping, "allowedOrigins", origin)
}

pub(super) fn subprotocols(mapping: &Mapping) -> Option<Option<Vec<String>>> {
    let mut names = Unique::new("subprotocol");
    list(mapping, "allowedSubprotocols", |node| {
        subprotocol(&node, &mut names)
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

fn origin(node: Node) -> Option<AllowedOrigin> {
    let text = node.string()?;
    if text == "null" {
        return Some(AllowedOrigin::Null);
    }
    let above = text
        .split_once("://*.")
        .map(|(scheme, host)| format!("{scheme}://{host}"));
    let Some(origin) = Origin::parse(above.as_deref().unwrap_or(text)) else {
        return node.wrong(AN_ORIGIN);
    };
    Some(AllowedOrigin::Of {
        scheme: origin.scheme.to_owned(),
        host: origin.host.to_owned(),
        port: origin.port,
        is_above: above.is_some(),
    })
}

/// A token (RFC 9110 section 5.6.2).
fn subprotocol(node: &Node, names: &mut Unique<String>) -> Option<String> {
    let name = node.string()?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_part) {
        return node.wrong("the name of a subprotocol, without spaces or separators");
    }
    node.name(names)
}
