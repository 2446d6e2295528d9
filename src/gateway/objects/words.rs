//! The words of the API that occur in many objects: host names, tokens, durations, references.

use std::sync::Arc;
use std::time::Duration;

use super::fields::{Fields, Node};

/// A host name, or all below one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// `chat.example.com`
    Exact(Arc<str>),
    /// `*.example.com`, as `.example.com`: any number of labels before it, but at least one.
    Below(Arc<str>),
}

impl Host {
    /// Parses a name in lower case, of which the first label may be `*`.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let is_address = text.parse::<std::net::IpAddr>().is_ok();
        let is_name = !is_address && name.len() <= 253 && name.split('.').all(is_label);
        if !is_name {
            return None;
        }
        Some(match name.len() == text.len() {
            true => Host::Exact(name.into()),
            false => Host::Below(text[1..].into()),
        })
    }

    /// Whether a host in lower case is meant.
    pub fn is(&self, host: &str) -> bool {
        match self {
            Host::Exact(name) => host == &**name,
            Host::Below(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
        }
    }

    /// What both mean; `None` where they have nothing in common.
    pub fn common(&self, other: &Host) -> Option<Host> {
        match (self, other) {
            (Host::Exact(name), one) | (one, Host::Exact(name)) => {
                one.is(name).then(|| Host::Exact(Arc::clone(name)))
            }
            (Host::Below(one), Host::Below(two)) => {
                let (long, short) = match one.len() >= two.len() {
                    true => (one, two),
                    false => (two, one),
                };
                let is_within = long.ends_with(&**short);
                is_within.then(|| Host::Below(Arc::clone(long)))
            }
        }
    }

    /// The more specific, the greater: an exact name before all wildcards, longer before shorter.
    pub fn rank(host: Option<&Host>) -> (u8, usize) {
        match host {
            Some(Host::Exact(name)) => (2, name.len()),
            Some(Host::Below(suffix)) => (1, suffix.len()),
            None => (0, 0),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Exact(name) => f.write_str(name),
            Host::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// A label of a DNS name (RFC 1123), in lower case.
pub(super) fn is_label(label: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(is_inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

pub(super) fn is_name(name: &str) -> bool {
    (1..=253).contains(&name.len()) && name.split('.').all(is_label)
}

pub(super) fn host(node: &Node) -> Option<Host> {
    let text = node.text()?;
    match Host::parse(text) {
        Some(host) => Some(host),
        None => node.flaw("must be a DNS name in lower case, whose first label may be *"),
    }
}

/// A duration of the API (GEP-2257): up to four groups of up to five digits with h, m, s or ms.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    let mut groups = 0;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (digits, unit) = rest.split_at(end);
        let number: u32 = digits.parse().ok().filter(|_| digits.len() <= 5)?;
        let (length, one) = match unit {
            unit if unit.starts_with("ms") => (2, Duration::from_millis(1)),
            unit if unit.starts_with('h') => (1, Duration::from_secs(3600)),
            unit if unit.starts_with('m') => (1, Duration::from_secs(60)),
            unit if unit.starts_with('s') => (1, Duration::from_secs(1)),
            _ => return None,
        };
        sum += one * number;
        groups += 1;
        rest = &unit[length..];
    }
    (1..=4).contains(&groups).then_some(sum)
}

impl Fields<'_> {
    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        let text = self.text(key)?;
        match duration(text) {
            Some(duration) => Some(duration),
            None => self.flaw(key, "must be a duration like 1h30m, 10s or 500ms"),
        }
    }
}

/// A reference to an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The API group; empty for the core.
    pub group: Arc<str>,
    /// The kind.
    pub kind: Arc<str>,
    /// The namespace, where it is said.
    pub namespace: Option<Arc<str>>,
    /// The name.
    pub name: Arc<str>,
    /// A part of the object: the name of a port, say.
    pub section: Option<Arc<str>>,
}

impl Reference {
    /// Reads one whose group and kind are these unless it says others.
    pub(super) fn read(fields: &Fields, group: &str, kind: &str) -> Option<Self> {
        Some(Reference {
            group: fields.text("group").unwrap_or(group).into(),
            kind: fields.text("kind").unwrap_or(kind).into(),
            namespace: fields.text("namespace").map(Into::into),
            section: fields.text("sectionName").map(Into::into),
            name: fields.required_text("name")?.into(),
        })
    }

    /// Whether it is to an object of this kind.
    pub fn is_to(&self, group: &str, kind: &str) -> bool {
        &*self.group == group && &*self.kind == kind
    }
}
