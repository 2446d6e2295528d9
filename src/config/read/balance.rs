//! How a target group shares requests out: `algorithm`, `hashKey` and `stickiness`.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::super::model::{
    Action, Algorithm, Config, Forward, ForwardingRule, HashKey, SameSite, Stickiness,
    StickyCookie, StickyHeader, TargetGroup,
};
use super::super::tree::{Mapping, Node};
use super::super::words::quoted;
use super::changes::why_not;
use super::defaults;

pub(super) const HASH_KEY_KEYS: &[&str] = &["type", "key"];

pub(super) const STICKINESS_KEYS: &[&str] = &["type", "name", "duration", "lifetime", "sameSite"];

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Cookie,
    Header,
    ApplicationCookie,
}

const CARRIERS: &[(&str, Carrier)] = &[
    ("COOKIE", Carrier::Cookie),
    ("HEADER", Carrier::Header),
    ("APPLICATION_COOKIE", Carrier::ApplicationCookie),
];

const SAME_SITES: &[(&str, SameSite)] = &[
    ("Lax", SameSite::Lax),
    ("Strict", SameSite::Strict),
    ("None", SameSite::None),
];

pub(super) fn stickiness(node: &Node) -> Option<Stickiness> {
    let mapping = node.mapping(STICKINESS_KEYS)?;
    let carrier = mapping.required("type", |node| node.choice(CARRIERS, &[]))?;
    if carrier != Carrier::Cookie {
        for key in ["duration", "sameSite"] {
            mapping.forbidden(key, "is only valid for COOKIE");
        }
    }
    match carrier {
        Carrier::Cookie => cookie(&mapping).map(Stickiness::Cookie),
        Carrier::Header => header(&mapping).map(Stickiness::Header),
        Carrier::ApplicationCookie => {
            mapping.forbidden("lifetime", "is only valid for COOKIE and HEADER");
            let name = mapping.required("name", cookie_name);
            name.map(Stickiness::ApplicationCookie)
        }
    }
}

fn cookie(mapping: &Mapping) -> Option<StickyCookie> {
    let name = mapping.or("name", defaults::STICKY_COOKIE.to_owned(), cookie_name);
    let duration = mapping.or("duration", None, a_second);
    let lifetime = mapping.or("lifetime", None, a_second);
    let same_site = mapping.or("sameSite", defaults::SAME_SITE, |node| {
        node.choice(SAME_SITES, &[])
    });
    Some(StickyCookie {
        name: name?,
        duration: duration?,
        lifetime: lifetime?,
        same_site: same_site?,
    })
}

fn header(mapping: &Mapping) -> Option<StickyHeader> {
    let name = mapping.required("name", |node| {
        let name = header_name(node)?;
        match why_not(name.as_str()) {
            None => Some(name),
            Some(_) => node.problem("cannot be set here"),
        }
    });
    let lifetime = mapping.or("lifetime", None, a_second);
    Some(StickyHeader {
        name: name?,
        lifetime: lifetime?,
    })
}

fn a_second(node: &Node) -> Option<Option<Duration>> {
    let duration = node.duration()?;
    match duration < Duration::from_secs(1) {
        true => node.wrong("at least a second"),
        false => Some(Some(duration)),
    }
}

/// A token (RFC 6265 section 4.1.1), as the names of headers are.
fn cookie_name(node: &Node) -> Option<String> {
    let name = node.text()?;
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return node.wrong("the name of a cookie, without spaces or separators");
    }
    Some(name.to_owned())
}

/// Notes where our cookies will hardly do what they are for.
pub(super) fn warn_of_cookies(config: &Config, top: &Mapping) {
    let Some(nodes) = top.get("targetGroups").and_then(|list| list.entries()) else {
        return;
    };
    for (group, node) in config.target_groups.iter().zip(nodes) {
        let what = match &group.stickiness {
            Some(Stickiness::Cookie(_)) => "cookies",
            Some(Stickiness::Header(_)) => "headers",
            Some(Stickiness::ApplicationCookie(_)) | None => continue,
        };
        if config.server.stickiness_keys.is_empty() && !config.shares_keys() {
            node.warning(format!(
                "stickiness: without server.stickinessKeyFile other nodes do not know these {what}"
            ));
        }
        let Some(Stickiness::Cookie(cookie)) = &group.stickiness else {
            continue;
        };
        let plain = |rule: &&Arc<ForwardingRule>| rule.tls.is_none() && leads_to(rule, group);
        let plain = config.forwarding_rules.iter().find(plain);
        if let Some(rule) = plain.filter(|_| cookie.same_site == SameSite::None) {
            let name = quoted(&rule.name);
            node.warning(format!(
                "stickiness: sameSite None needs TLS, and {name} has none: browsers do not take \
                 the cookie"
            ));
        }
        if let Some((other, rule)) = rival(config, group, &cookie.name) {
            let (name, other, rule) = (quoted(&cookie.name), quoted(other), quoted(rule));
            node.warning(format!(
                "stickiness: the cookie {name} is also that of {other}, which {rule} leads to by \
                 another HTTP rule: a client of both loses one with the other; give each a name"
            ));
        }
    }
}

/// Another group with a cookie of this name, and the forwarding rule on which a client may need
/// both.
fn rival<'f>(config: &'f Config, group: &TargetGroup, name: &str) -> Option<(&'f str, &'f str)> {
    let has_it = |other: &&Arc<TargetGroup>| match &other.stickiness {
        Some(Stickiness::Cookie(cookie)) => other.name != group.name && cookie.name == name,
        Some(Stickiness::Header(_) | Stickiness::ApplicationCookie(_)) | None => false,
    };
    let rules = config.forwarding_rules.iter();
    rules.filter(|rule| leads_to(rule, group)).find_map(|rule| {
        let elsewhere = forwards(rule).filter(|forward| !forward.leads_to(&group.name));
        let elsewhere: Vec<&Forward> = elsewhere.collect();
        let is_there = |other: &&Arc<TargetGroup>| {
            let mut ways = elsewhere.iter();
            ways.any(|forward| forward.leads_to(&other.name))
        };
        let mut others = config.target_groups.iter().filter(has_it);
        let other = others.find(is_there)?;
        Some((other.name.as_str(), rule.name.as_str()))
    })
}

fn leads_to(rule: &ForwardingRule, group: &TargetGroup) -> bool {
    forwards(rule).any(|forward| forward.leads_to(&group.name))
}

fn forwards(rule: &ForwardingRule) -> impl Iterator<Item = &Forward> {
    rule.http_rules
        .iter()
        .filter_map(|rule| match &rule.action {
            Action::Forward(forward) => Some(forward),
            Action::Redirect(_) | Action::Static { .. } => None,
        })
}
