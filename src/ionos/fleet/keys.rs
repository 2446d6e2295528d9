//! What is under the prefix, and in which words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::object::Object;
use super::super::path::ResourcePath;
use super::super::request::Request;

/// The keys under a prefix.
#[derive(Debug)]
pub(super) struct Keys {
    /// What all of them begin with; it ends with a slash.
    pub(super) prefix: String,
}

/// The largest number of a write: there is always a next one.
const LARGEST: u64 = i64::MAX as u64;

/// The last write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Its id.
    pub(super) id: String,
    /// The one before it; empty at the first.
    pub(super) previous: String,
    /// Counts the writes.
    pub(super) number: u64,
    /// Which fleet writes; the same from the first write on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) fleet: String,
}

/// Objects that are being put in the place of all that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Import {
    /// Which fleet has them then.
    pub(super) fleet: String,
    /// Counts the writes.
    pub(super) number: u64,
}

/// What a node serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Node {
    /// Up to which write.
    pub(super) serves: u64,
    /// Up to which write it knows.
    pub(super) seen: u64,
    /// Why it does not serve all that it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
    /// Which writes it does not serve of those that it serves up to, with their reasons.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) failed: BTreeMap<u64, String>,
    /// Which process says so.
    #[serde(default)]
    pub(super) process: String,
}

impl Node {
    /// Up to which write it serves everything.
    pub(super) fn serves_all(&self) -> u64 {
        let first = match (self.failed.keys().next(), &self.failure) {
            (Some(first), _) => first.saturating_sub(1),
            (None, Some(_)) => self.seen.saturating_sub(1),
            (None, None) => self.serves,
        };
        self.serves.min(first)
    }
}

/// What a key is about, with its value; `None` where it is gone.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Head(Option<Head>),
    Import(Option<Import>),
    Object(ResourcePath, Option<Object>),
    Request(Option<Request>),
    Node(String, Option<Node>),
    /// What the nodes have in common, sealed.
    Shared(Option<Vec<u8>>),
}

impl Keys {
    pub(super) fn head(&self) -> Vec<u8> {
        self.key("head")
    }

    /// Who puts other objects there, as long as somebody does.
    pub(super) fn import(&self) -> Vec<u8> {
        self.key("import")
    }

    pub(super) fn object(&self, path: &ResourcePath) -> Vec<u8> {
        self.key(&format!("objects{path}"))
    }

    /// What the keys of all objects begin with.
    pub(super) fn objects(&self) -> Vec<u8> {
        self.key("objects/")
    }

    /// What the keys of all objects in another begin with.
    pub(super) fn inside(&self, path: &ResourcePath) -> Vec<u8> {
        self.key(&format!("objects{path}/"))
    }

    pub(super) fn request(&self, number: u64) -> Vec<u8> {
        self.key(&format!("requests/{number:020}"))
    }

    /// What the nodes have in common.
    pub(super) fn shared(&self) -> Vec<u8> {
        self.key("keys")
    }

    pub(super) fn node(&self, name: &str) -> Vec<u8> {
        self.key(&format!("nodes/{name}"))
    }

    /// Whether a key that cannot be read is in nobody's way.
    pub(super) fn can_be_passed_over(&self, key: &[u8]) -> bool {
        let begins = |rest: &str| key.starts_with(&self.key(rest));
        begins("nodes/") || begins("requests/")
    }

    fn key(&self, rest: &str) -> Vec<u8> {
        format!("{}{rest}", self.prefix).into_bytes()
    }

    /// What a key is about; `None`: nothing that is known. Errors: its value cannot be read.
    pub(super) fn read(&self, key: &[u8], value: Option<&[u8]>) -> Result<Option<Item>, String> {
        let rest = key.strip_prefix(self.prefix.as_bytes());
        let Some(rest) = rest.and_then(|rest| std::str::from_utf8(rest).ok()) else {
            return Ok(None);
        };
        let item = match rest.split_at(rest.find('/').unwrap_or(rest.len())) {
            ("keys", "") => Item::Shared(value.map(<[u8]>::to_vec)),
            ("head", "") => {
                let head: Option<Head> = parsed(rest, value)?;
                match head.as_ref().is_some_and(|head| head.number > LARGEST) {
                    true => return Err(format!("{rest}: number: is too large")),
                    false => Item::Head(head),
                }
            }
            ("import", "") => Item::Import(parsed(rest, value)?),
            ("objects", path) => Item::Object(path.to_owned().try_into()?, parsed(rest, value)?),
            ("requests", _) => Item::Request(parsed(rest, value)?),
            ("nodes", name) => {
                let name = name.trim_start_matches('/').to_owned();
                Item::Node(name, parsed(rest, value)?)
            }
            _ => return Ok(None),
        };
        Ok(Some(item))
    }
}

fn parsed<'a, T: Deserialize<'a>>(key: &str, value: Option<&'a [u8]>) -> Result<Option<T>, String> {
    let value = value.map(serde_json::from_slice).transpose();
    value.map_err(|error| format!("{key}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::super::kind::Kind;
    use super::*;

    #[test]
    fn a_key_says_what_it_is_about() {
        let keys = Keys {
            prefix: "/culvert/".to_owned(),
        };
        let group = ResourcePath::of(Kind::TargetGroup, None, "g");
        let read = |key: &[u8]| keys.read(key, None).unwrap();
        assert_eq!(read(&keys.head()), Some(Item::Head(None)));
        assert_eq!(
            read(&keys.object(&group)),
            Some(Item::Object(group.clone(), None))
        );
        assert_eq!(read(&keys.shared()), Some(Item::Shared(None)));
        assert_eq!(read(&keys.request(7)), Some(Item::Request(None)));
        assert_eq!(
            read(&keys.node("edge-1")),
            Some(Item::Node("edge-1".to_owned(), None))
        );
        for other in ["/culvert/headless", "/culvert/more/of/it", "/other/head"] {
            assert_eq!(read(other.as_bytes()), None, "{other}");
        }
        assert!(keys.read(b"/culvert/objects/nonsense", None).is_err());
        assert!(keys.read(&keys.head(), Some(b"{}")).is_err());
        let last = br#"{"id": "a", "previous": "", "number": 18446744073709551615}"#;
        assert!(keys.read(&keys.head(), Some(last)).is_err());
    }

    #[test]
    fn requests_are_in_the_order_of_their_numbers() {
        let keys = Keys {
            prefix: String::new(),
        };
        assert!(keys.request(9) < keys.request(10));
        assert_eq!(keys.request(u64::MAX).len(), keys.request(1).len());
    }
}
