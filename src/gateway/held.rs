//! What a cluster has, as it was told last, and how much of what serves a change concerns.
//!
//! Statuses are written by us, too: a change of a status alone changes nothing that serves, and the
//! object stays the same one for the compiler.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::news::{Entry, Key, News};
use super::objects::{EndpointSlice, Kind, Meta, Name, Object};
use super::store::Store;

/// How much of what serves a change concerns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing at all.
    #[default]
    Nothing,
    /// What is written in statuses.
    Statuses,
    /// The endpoints of these Services.
    Endpoints(BTreeSet<Name>),
    /// More.
    All,
}

impl Change {
    /// Both.
    pub(super) fn join(&mut self, other: Change) {
        *self = match (std::mem::take(self), other) {
            (Change::All, _) | (_, Change::All) => Change::All,
            (Change::Endpoints(mut one), Change::Endpoints(other)) => {
                one.extend(other);
                Change::Endpoints(one)
            }
            (Change::Endpoints(one), _) | (_, Change::Endpoints(one)) => Change::Endpoints(one),
            (Change::Nothing, Change::Nothing) => Change::Nothing,
            _ => Change::Statuses,
        };
    }
}

/// An object as it was seen last.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) uid: Arc<str>,
    pub(super) version: Arc<str>,
    pub(super) status: Option<Value>,
    text: Option<Arc<str>>,
    /// What the compiler has, which may be older than its status.
    object: Object,
}

/// All objects as they were seen last.
pub(super) type All = BTreeMap<Key, Arc<Seen>>;

/// What a cluster has.
#[derive(Debug, Default)]
pub(super) struct Held {
    store: Store,
    seen: All,
}

impl Held {
    /// What the compiler takes.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// What whoever writes statuses takes.
    pub(super) fn seen(&self) -> &All {
        &self.seen
    }

    /// The texts of the objects that there are.
    pub(super) fn texts(&self) -> Vec<Arc<str>> {
        let all = self.seen.values();
        all.filter_map(|seen| seen.text.clone()).collect()
    }

    /// How many there are of each kind.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, i64> {
        let mut counts = BTreeMap::new();
        for (kind, _) in self.seen.keys() {
            *counts.entry(kind.as_str()).or_default() += 1;
        }
        counts
    }

    /// Takes what was told.
    pub(super) fn take(&mut self, news: News) -> Change {
        let mut change = Change::Nothing;
        let (lists, objects) = news.into_parts();
        for (kind, all) in lists {
            let there: BTreeSet<Name> = all.iter().map(|entry| entry.key().1).collect();
            let known = self.seen.keys();
            let gone = known.filter(|(of, name)| *of == kind && !there.contains(name));
            for key in gone.cloned().collect::<Vec<_>>() {
                change.join(self.remove(&key));
            }
            for entry in all {
                change.join(self.put(entry));
            }
        }
        for (key, entry) in objects {
            change.join(match entry {
                Some(entry) => self.put(entry),
                None => self.remove(&key),
            });
        }
        change
    }

    fn put(&mut self, entry: Entry) -> Change {
        let key = entry.key();
        let before = self.seen.get(&key);
        let meta = entry.object.meta();
        if before.is_some_and(|seen| seen.uid == meta.uid && seen.version == meta.version) {
            return Change::Nothing;
        }
        let change = difference(before.map(|seen| &seen.object), &entry.object);
        let is_as_before = matches!(change, Change::Nothing | Change::Statuses);
        let object = match before.filter(|_| is_as_before) {
            Some(seen) => seen.object.clone(),
            None => {
                self.store.put(entry.object.clone());
                entry.object.clone()
            }
        };
        let seen = Seen {
            uid: Arc::clone(&meta.uid),
            version: Arc::clone(&meta.version),
            status: meta.status.clone(),
            text: entry.text,
            object,
        };
        self.seen.insert(key, Arc::new(seen));
        change
    }

    fn remove(&mut self, key: &Key) -> Change {
        let (kind, name) = key;
        let Some(seen) = self.seen.remove(key) else {
            return Change::Nothing;
        };
        self.store.remove(*kind, name);
        match &seen.object {
            Object::EndpointSlice(slice) => endpoints([Some(slice), None]),
            _ => Change::All,
        }
    }
}

/// What a change of an object concerns.
fn difference(before: Option<&Object>, now: &Object) -> Change {
    let Some(before) = before else {
        return match now {
            Object::EndpointSlice(slice) => endpoints([None, Some(slice)]),
            _ => Change::All,
        };
    };
    let is_same = has_same_spec(before.meta(), now.meta());
    match (before, now) {
        (Object::EndpointSlice(before), Object::EndpointSlice(now)) => {
            endpoints([Some(before), Some(now)])
        }
        (Object::Gateway(before), Object::Gateway(now)) if before.given != now.given => Change::All,
        (Object::Namespace(_), Object::Namespace(_)) if is_same => Change::Nothing,
        _ if is_same && has_generations(now.kind()) => Change::Statuses,
        _ => Change::All,
    }
}

/// Whether the server counts the changes of what is no status.
fn has_generations(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Service | Kind::EndpointSlice | Kind::Endpoints | Kind::Secret | Kind::ConfigMap
    )
}

fn has_same_spec(before: &Meta, now: &Meta) -> bool {
    before.uid == now.uid && before.generation == now.generation && before.labels == now.labels
}

fn endpoints(slices: [Option<&Arc<EndpointSlice>>; 2]) -> Change {
    let slices = slices.into_iter().flatten();
    let services = slices.filter_map(|slice| slice.service.clone());
    Change::Endpoints(services.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gateway::objects::Place;

    fn entry(value: &Value) -> Entry {
        let object = Object::read(value, Place::default()).unwrap();
        Entry { object, text: None }
    }

    fn route(version: &str, generation: i64, status: &str) -> Entry {
        entry(&json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "a", "namespace": "apps", "uid": "1",
                "resourceVersion": version, "generation": generation},
            "spec": {}, "status": {"said": status},
        }))
    }

    fn slice(name: &str, version: &str, service: &str) -> Entry {
        entry(&json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": "apps", "uid": name,
                "resourceVersion": version,
                "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "endpoints": [], "ports": [],
        }))
    }

    fn put(held: &mut Held, entry: Entry) -> Change {
        let mut news = News::default();
        news.put(entry);
        held.take(news)
    }

    fn services(names: &[&str]) -> Change {
        let names = names.iter().map(|name| Name::new("apps", name));
        Change::Endpoints(names.collect())
    }

    #[test]
    fn a_change_concerns_no_more_than_it_must() {
        let mut held = Held::default();
        assert_eq!(put(&mut held, route("1", 1, "a")), Change::All);
        assert_eq!(put(&mut held, route("1", 1, "a")), Change::Nothing);
        let before = Arc::clone(&held.store.routes[&Name::new("apps", "a")]);
        assert_eq!(put(&mut held, route("2", 1, "b")), Change::Statuses);
        assert_eq!(put(&mut held, route("2", 1, "b")), Change::Nothing);
        let now = &held.store.routes[&Name::new("apps", "a")];
        assert!(Arc::ptr_eq(&before, now));
        let key = (Kind::HttpRoute, Name::new("apps", "a"));
        assert_eq!(held.seen[&key].status, Some(json!({"said": "b"})));
        assert_eq!(put(&mut held, route("3", 2, "b")), Change::All);
        assert_eq!(put(&mut held, slice("x", "4", "chat")), services(&["chat"]));
        assert_eq!(put(&mut held, slice("x", "4", "chat")), Change::Nothing);
        let moved = put(&mut held, slice("x", "5", "web"));
        assert_eq!(moved, services(&["chat", "web"]));
    }

    #[test]
    fn what_a_list_does_not_have_has_gone() {
        let mut held = Held::default();
        put(&mut held, slice("x", "1", "chat"));
        put(&mut held, slice("y", "2", "web"));
        let mut news = News::default();
        news.put(slice("z", "1", "old"));
        news.list(Kind::EndpointSlice, vec![slice("y", "2", "web")]);
        assert_eq!(held.take(news), services(&["chat"]));
        let names = held.store.slices.keys().map(ToString::to_string);
        assert_eq!(names.collect::<Vec<_>>(), ["apps/y"]);
        let mut news = News::default();
        news.gone((Kind::EndpointSlice, Name::new("apps", "y")));
        news.gone((Kind::EndpointSlice, Name::new("apps", "y")));
        assert_eq!(held.take(news), services(&["web"]));
    }
}
