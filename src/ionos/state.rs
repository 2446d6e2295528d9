//! Everything that is kept, and what a write makes of it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::object::Object;
use super::objects::{Change, Objects};
use super::path::ResourcePath;
use super::request::{Request, Requests};

/// What is worth a warning, by the objects that it is about.
pub(super) type Warnings = HashMap<ResourcePath, Vec<String>>;

/// Everything that is kept.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Counts the writes.
    pub revision: u64,
    /// The last write, where several nodes write; empty otherwise.
    pub id: String,
    /// The fleet whose objects these are; empty where no fleet has them.
    pub fleet: String,
    /// The objects.
    pub objects: Objects,
    /// The last requests; a copy of the state has the same ones.
    pub requests: Requests,
    /// What is worth a warning; not kept.
    pub warnings: Warnings,
}

/// One write: all of it, or nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Entry {
    /// Counts the writes.
    pub revision: u64,
    /// The write, where several nodes write.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The fleet that it was made in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fleet: String,
    /// What becomes of objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Change>,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Arc<Request>>,
}

/// How it stands with what is on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// `FILE` or `ETCD`.
    pub store: &'static str,
    /// Whether writes are taken.
    pub is_available: bool,
    /// Whether this node knows of any objects, or that there are none.
    pub is_known: bool,
    /// The last write that this node knows.
    pub known: u64,
    /// The last that it serves.
    pub served: u64,
}

impl State {
    /// Carries a write out.
    pub fn apply(&mut self, entry: Entry) {
        self.change(&entry);
        for request in entry.requests {
            self.requests.keep(request);
        }
    }

    /// Carries a write out, but for its requests.
    pub fn change(&mut self, entry: &Entry) {
        self.revision = entry.revision;
        self.id.clone_from(&entry.id);
        self.fleet.clone_from(&entry.fleet);
        self.objects.apply(entry.objects.iter().cloned());
    }

    /// A write that makes all of it.
    pub fn whole(&self) -> Entry {
        let object = |(place, object): (&ResourcePath, &Arc<Object>)| {
            (place.clone(), Some(Arc::clone(object)))
        };
        let is_ours = |(_, object): &(&ResourcePath, &Arc<Object>)| !object.is_of_file;
        Entry {
            revision: self.revision,
            id: self.id.clone(),
            fleet: self.fleet.clone(),
            objects: self.objects.iter().filter(is_ours).map(object).collect(),
            requests: self.requests.all(),
        }
    }
}
