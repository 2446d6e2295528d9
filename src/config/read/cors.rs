//! `cors` of a `FORWARD` or `REDIRECT` rule: which pages of other sites may read answers.

use std::time::Duration;

use super::super::model::{AllowedOrigin, Cors, CorsList};
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;
use super::{defaults, handshake};

pub(super) const KEYS: &[&str] = &[
    "allowOrigins",
    "allowCredentials",
    "allowMethods",
    "allowHeaders",
    "exposeHeaders",
    "maxAge",
];

const ALL: &str = "*";

pub(super) fn read(rule: &Mapping) -> Option<Option<Cors>> {
    rule.or("cors", None, |node| {
        let mapping = node.mapping(KEYS)?;
        let allow_origins = mapping.required("allowOrigins", origins);
        let allow_credentials = mapping.or(
            "allowCredentials",
            defaults::CORS_CREDENTIALS,
            Node::boolean,
        );
        let names = |key| mapping.or(key, CorsList::These(Vec::new()), list);
        let allow_methods = names("allowMethods");
        let allow_headers = names("allowHeaders");
        let expose_headers = names("exposeHeaders");
        let max_age = mapping.or("maxAge", defaults::CORS_MAX_AGE, max_age);
        if allow_origins == Some(None) && allow_credentials == Some(true) {
            mapping.warning(
                "allowCredentials",
                "with allowOrigins \"*\" the pages of any site may act as their visitors",
            );
        }
        Some(Some(Cors {
            allow_origins: allow_origins?,
            allow_credentials: allow_credentials?,
            allow_methods: allow_methods?,
            allow_headers: allow_headers?,
            expose_headers: expose_headers?,
            max_age: max_age?,
        }))
    })
}

/// `None` is all of them.
fn origins(list: &Node) -> Option<Option<Vec<AllowedOrigin>>> {
    match words(list)? {
        None => Some(None),
        Some(entries) if entries.is_empty() => list.problem("must have at least one entry"),
        Some(entries) => {
            let origins = entries.into_iter().map(handshake::origin);
            // Each of them is read, so that all problems are told.
            let origins: Vec<_> = origins.collect();
            origins.into_iter().collect::<Option<_>>().map(Some)
        }
    }
}

fn list(list: &Node) -> Option<CorsList> {
    let Some(entries) = words(list)? else {
        return Some(CorsList::All);
    };
    let mut names = Unique::new("name");
    let names: Vec<_> = entries
        .into_iter()
        .map(|node| match handshake::is_token(node.string()?) {
            true => node.name(&mut names),
            false => node.wrong("a name without spaces or separators"),
        })
        .collect();
    names
        .into_iter()
        .collect::<Option<_>>()
        .map(CorsList::These)
}

/// The entries of a list; `None` where it is `*` alone.
fn words<'a>(list: &Node<'a>) -> Option<Option<Vec<Node<'a>>>> {
    let entries = list.entries()?;
    let is_all = |node: &Node| node.value.as_str() == Some(ALL);
    match entries.iter().any(is_all) {
        true if entries.len() > 1 => list.problem("\"*\" must be the only entry"),
        true => Some(None),
        false => Some(Some(entries)),
    }
}

/// Whole seconds.
fn max_age(node: &Node) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    match node.delay()? {
        age if age > LONGEST => node.problem("must not be longer than 1 day"),
        age if age.subsec_nanos() > 0 => node.problem("must be whole seconds"),
        age => Some(age),
    }
}
