//! What is heard of a cluster's objects until somebody takes it: one entry for each object at most.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::objects::{Kind, Name, Object};

/// An object among all.
pub(super) type Key = (Kind, Name);

/// An object as it was told.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) object: Object,
    /// Its text, where it is to be kept.
    pub(super) text: Option<Arc<str>>,
}

impl Entry {
    /// Of which object.
    pub(super) fn key(&self) -> Key {
        (self.object.kind(), self.object.meta().name.clone())
    }
}

/// What was told since somebody took it.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Kinds of which all objects were listed: these, and no others.
    lists: BTreeMap<Kind, Vec<Entry>>,
    /// What came after the list of its kind; nothing where the object has gone.
    objects: BTreeMap<Key, Option<Entry>>,
}

impl News {
    /// All objects of a kind.
    pub(super) fn list(&mut self, kind: Kind, all: Vec<Entry>) {
        self.objects.retain(|(of, _), _| *of != kind);
        self.lists.insert(kind, all);
    }

    /// One that has come or changed.
    pub(super) fn put(&mut self, entry: Entry) {
        self.objects.insert(entry.key(), Some(entry));
    }

    /// One that has gone.
    pub(super) fn gone(&mut self, key: Key) {
        self.objects.insert(key, None);
    }

    /// The lists, and what came after them.
    pub(super) fn into_parts(self) -> (BTreeMap<Kind, Vec<Entry>>, BTreeMap<Key, Option<Entry>>) {
        (self.lists, self.objects)
    }
}
