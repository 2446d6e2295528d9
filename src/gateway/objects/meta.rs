//! What all objects have: a name, a generation, a time of creation, labels; and where they are
//! written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use super::fields::{Fields, Flaw};

/// The name of an object in its namespace; without one for kinds that have none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Its namespace; empty where the kind has none.
    pub namespace: Arc<str>,
    /// Its name there.
    pub name: Arc<str>,
}

impl Name {
    /// This name in this namespace.
    pub fn new(namespace: &str, name: &str) -> Self {
        Name {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

/// Where an object is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file; empty where there is none.
    pub file: Arc<str>,
    /// The line on which its document begins, from 1.
    pub line: usize,
    /// Its place in the list that the document is.
    pub item: Option<usize>,
}

impl Place {
    /// Begins a line with it; there is nothing to begin with where nobody has written it.
    pub fn begin(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file.is_empty() {
            true => Ok(()),
            false => write!(f, "{self}: "),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        match self.item {
            Some(item) => write!(f, ": items[{item}]"),
            None => Ok(()),
        }
    }
}

/// What all objects have.
#[derive(Debug, Clone)]
pub struct Meta {
    /// `name` and `namespace`.
    pub name: Name,
    /// `uid`, which tells it from one of the same name before it; empty in files.
    pub uid: Arc<str>,
    /// `resourceVersion`: another one whenever anything of it has changed; empty in files.
    pub version: Arc<str>,
    /// `generation`: 1 where nobody counts.
    pub generation: i64,
    /// `creationTimestamp`, where it can be read.
    pub created: Option<SystemTime>,
    /// `labels`
    pub labels: BTreeMap<String, String>,
    /// `status`, as somebody has written it.
    pub status: Option<Value>,
    /// Where it is written.
    pub place: Place,
    /// What is wrong with it, apart from what is noted at its parts.
    pub flaws: Vec<Flaw>,
}

impl Meta {
    pub(super) fn read(name: Name, top: &Fields, place: Place) -> Self {
        let metadata = top.fields("metadata");
        let fields = metadata.as_ref();
        let created = fields.and_then(|fields| fields.text("creationTimestamp"));
        let labels = fields.map_or(Vec::new(), |fields| fields.text_map("labels"));
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let text = |key: &str| fields.and_then(|fields| fields.text(key)).unwrap_or("");
        Meta {
            name,
            uid: text("uid").into(),
            version: text("resourceVersion").into(),
            generation: fields
                .and_then(|fields| fields.integer("generation", 0..=i64::MAX))
                .unwrap_or(1),
            created: created.and_then(|text| humantime::parse_rfc3339_weak(text).ok()),
            labels: labels.into_iter().map(own).collect(),
            status: top.raw("status").cloned(),
            place,
            flaws: Vec::new(),
        }
    }

    /// What comes first among equals: the oldest, and those of no known age by their names.
    pub fn age(&self) -> (bool, Option<SystemTime>, &Name) {
        (self.created.is_none(), self.created, &self.name)
    }

    /// What is wrong with it, in one line.
    pub fn fault(&self) -> Option<String> {
        told(&self.flaws)
    }
}

/// Flaws in one line, which says how many more there are.
pub fn told(flaws: &[Flaw]) -> Option<String> {
    let first = flaws.first()?;
    Some(match flaws.len() {
        1 => first.to_string(),
        all => format!("{first} (and {} more)", all - 1),
    })
}
