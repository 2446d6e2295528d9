//! The objects of the server, and what has happened to them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Plural, namespace, name.
type Key = (String, String, String);

/// All objects, and the changes that are still remembered.
#[derive(Clone, Default)]
pub(super) struct Objects {
    version: u64,
    all: BTreeMap<Key, Value>,
    events: Vec<Event>,
    /// Changes up to this one are forgotten.
    oldest: u64,
}

/// A change.
#[derive(Clone)]
pub(super) struct Event {
    pub(super) version: u64,
    pub(super) plural: String,
    pub(super) word: &'static str,
    pub(super) object: Value,
}

impl Objects {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn forget(&mut self) {
        self.version += 1;
        self.oldest = self.version;
        self.events.clear();
    }

    /// The changes after one; `None` where they are forgotten.
    pub(super) fn since(&self, version: u64) -> Option<impl Iterator<Item = &Event>> {
        let first = self
            .events
            .partition_point(|event| event.version <= version);
        (version >= self.oldest).then(|| self.events[first..].iter())
    }

    pub(super) fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.all.get(&key(plural, namespace, name))
    }

    pub(super) fn of(&self, plural: &str) -> impl Iterator<Item = &Value> {
        let of = self.all.iter().filter(move |(key, _)| key.0 == plural);
        of.map(|(_, object)| object)
    }

    /// Puts an object in the place of whatever has its name; nothing happens where it is the same.
    pub(super) fn put(&mut self, plural: &str, mut object: Value) {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or("").to_owned();
        let key = key(plural, &text("namespace"), &text("name"));
        let before = self.all.get(&key).cloned();
        let metadata = object["metadata"].as_object_mut().unwrap();
        let old = before.as_ref().map(|before| before["metadata"].clone());
        let kept = |name: &str| old.as_ref().map(|old| old[name].clone());
        let next = self.version + 1;
        let uid = kept("uid").unwrap_or_else(|| format!("{plural}-{next}").into());
        metadata.insert("uid".to_owned(), uid);
        let created = kept("creationTimestamp").unwrap_or_else(|| "2026-01-01T00:00:00Z".into());
        metadata.insert("creationTimestamp".to_owned(), created);
        let generation = kept("generation").and_then(|one| one.as_i64()).unwrap_or(0);
        let has_changed = before
            .as_ref()
            .is_none_or(|one| one["spec"] != object["spec"]);
        let metadata = object["metadata"].as_object_mut().unwrap();
        let generation = generation + i64::from(has_changed);
        metadata.insert("generation".to_owned(), generation.into());
        let version = old.map_or(Value::Null, |old| old["resourceVersion"].clone());
        metadata.insert("resourceVersion".to_owned(), version);
        if before.as_ref() == Some(&object) {
            return;
        }
        let word = if before.is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        self.note(plural, word, &mut object);
        self.all.insert(key, object);
    }

    pub(super) fn edit(
        &mut self,
        plural: &str,
        namespace: &str,
        name: &str,
        how: impl FnOnce(&mut Value),
    ) {
        let mut object = self
            .get(plural, namespace, name)
            .cloned()
            .expect("an object");
        how(&mut object);
        self.put(plural, object);
    }

    pub(super) fn delete(&mut self, plural: &str, namespace: &str, name: &str) {
        if let Some(mut object) = self.all.remove(&key(plural, namespace, name)) {
            self.note(plural, "DELETED", &mut object);
        }
    }

    fn note(&mut self, plural: &str, word: &'static str, object: &mut Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.events.push(Event {
            version: self.version,
            plural: plural.to_owned(),
            word,
            object: object.clone(),
        });
    }
}

fn key(plural: &str, namespace: &str, name: &str) -> Key {
    (plural.to_owned(), namespace.to_owned(), name.to_owned())
}

/// Changes a value as a merge patch says.
pub(super) fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    for (key, patch) in patch {
        match patch {
            Value::Null => drop(value.as_object_mut().unwrap().remove(key)),
            patch => merge(&mut value[key], patch),
        }
    }
}

/// Changes a value as an apply does: conditions of others stay.
pub(super) fn apply(value: &mut Value, applied: &Value) {
    let Value::Object(fields) = applied else {
        *value = applied.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    for (key, field) in fields {
        let (Value::Array(new), "conditions") = (field, &**key) else {
            apply(&mut value[key], field);
            continue;
        };
        let before = value[key].as_array().cloned().unwrap_or_default();
        let is_new = |one: &Value| new.iter().any(|new| new["type"] == one["type"]);
        let mut all = new.clone();
        all.extend(before.into_iter().filter(|one| !is_new(one)));
        all.sort_by_key(|one| one["type"].to_string());
        value[key] = json!(all);
    }
}
