//! How a target group shares requests out: `algorithm` and `hashKey`.

use http::HeaderName;

use super::super::file::{Algorithm, HashKey};
use super::super::tree::{Mapping, Node};

pub(super) const HASH_KEY_KEYS: &[&str] = &["type", "key"];

#[derive(Debug, Clone, Copy)]
enum Word {
    RoundRobin,
    LeastConnection,
    Random,
    SourceIp,
    Hash,
}

const ALGORITHMS: &[(&str, Word)] = &[
    ("ROUND_ROBIN", Word::RoundRobin),
    ("LEAST_CONNECTION", Word::LeastConnection),
    ("RANDOM", Word::Random),
    ("SOURCE_IP", Word::SourceIp),
    ("HASH", Word::Hash),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Header,
    Cookie,
    Query,
}

const KINDS: &[(&str, Kind)] = &[
    ("HEADER", Kind::Header),
    ("COOKIE", Kind::Cookie),
    ("QUERY", Kind::Query),
];

pub(super) fn algorithm(group: &Mapping) -> Option<Algorithm> {
    let word = group.required("algorithm", |node| node.choice(ALGORITHMS, &[]))?;
    if !matches!(word, Word::Hash) {
        group.forbidden("hashKey", "is only valid for HASH");
    }
    Some(match word {
        Word::RoundRobin => Algorithm::RoundRobin,
        Word::LeastConnection => Algorithm::LeastConnection,
        Word::Random => Algorithm::Random,
        Word::SourceIp => Algorithm::SourceIp,
        Word::Hash => Algorithm::Hash(group.required("hashKey", hash_key)?),
    })
}

fn hash_key(node: &Node) -> Option<HashKey> {
    let mapping = node.mapping(HASH_KEY_KEYS)?;
    let kind = mapping.required("type", |node| node.choice(KINDS, &[]));
    let key = mapping.required("key", |node| match kind {
        Some(Kind::Header) => header_name(node).map(HashKey::Header),
        Some(Kind::Cookie) => text(node).map(HashKey::Cookie),
        Some(Kind::Query) | None => text(node).map(HashKey::Query),
    });
    kind.and(key)
}

fn header_name(node: &Node) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(node.text()?.as_bytes()).ok();
    name.or_else(|| node.wrong("the name of a header"))
}

fn text(node: &Node) -> Option<String> {
    node.text().map(str::to_owned)
}
