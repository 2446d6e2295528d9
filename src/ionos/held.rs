//! What of the objects is held back: they are on record, and this node cannot serve them. In their
//! place it serves what was there before, or nothing, so that all others can change.
//!
//! What one write has changed is held back together: no node serves half of a change.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::ApiError;
use super::kind::Kind;
use super::object::Object;
use super::objects::{Change, Objects};
use super::path::ResourcePath;
use super::request::{Request, Requests};
use super::serve::Serve;
use super::state::{Entry, State};

/// How often it is tried with less.
const TRIES: usize = 100;
/// How many writes are named that are not served.
const MOST_NAMED: usize = 20;

/// What is held back, and what is served in its place.
#[derive(Debug, Default, Clone)]
pub(super) struct Held {
    all: BTreeMap<ResourcePath, Instead>,
}

#[derive(Debug, Clone)]
struct Instead {
    object: Option<Arc<Object>>,
    why: String,
    /// The write that wants it; 0: nobody knows.
    write: u64,
}

/// What is on record and does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    /// Why: one line.
    pub(super) why: String,
    /// The writes that do not serve, with their reasons; `None`: nothing new serves.
    pub(super) writes: Option<BTreeMap<u64, String>>,
}

/// What is to be served.
pub(super) struct Wanted<'a> {
    pub(super) objects: &'a Objects,
    /// What is on record was this before, of which the following was held back.
    pub(super) before: &'a Objects,
    pub(super) held: &'a Held,
    /// What one write has changed, and its number.
    pub(super) change: (&'a [Change], u64),
    /// The requests of before, and those that have come with it.
    pub(super) requests: (&'a Requests, &'a [Arc<Request>]),
}

impl<'a> Wanted<'a> {
    /// This state, which an entry has made of the one before.
    pub(super) fn of(
        state: &'a State,
        before: &'a State,
        entry: &'a Entry,
        held: &'a Held,
    ) -> Self {
        // An entry that is more than one write is no change of its own.
        let is_next = entry.revision == before.revision.saturating_add(1);
        let is_one = is_next && entry.requests.len() == 1;
        let change: &[_] = if is_one { &entry.objects } else { &[] };
        Wanted {
            objects: &state.objects,
            before: &before.objects,
            held,
            change: (change, entry.revision),
            requests: (&state.requests, &entry.requests),
        }
    }

    /// Serves as much of it as can be. Errors: not even less of it can be.
    pub(super) fn serve<T>(
        &self,
        mut serve: impl FnMut(&Objects) -> Result<T, ApiError>,
    ) -> Result<(T, Held), ApiError> {
        let mut held = Held::default();
        for _ in 0..TRIES {
            let error = match serve(&held.objects(self.objects)) {
                Ok(served) => return Ok((served, held)),
                Err(error) => error,
            };
            let mut is_less = false;
            for (path, why) in &error.culprits {
                is_less |= self.hold(&mut held, path, why);
            }
            if !is_less {
                return Err(error);
            }
        }
        Err(ApiError::later("too much cannot be served"))
    }

    /// Holds an object back, with all that was changed together with it. False: nothing is less.
    fn hold(&self, held: &mut Held, path: &ResourcePath, why: &str) -> bool {
        if let Some(instead) = held.all.get_mut(path) {
            // What was there before cannot be either.
            return instead.object.take().is_some();
        }
        let (changes, write) = self.change;
        let is_changed = changes.iter().any(|(place, _)| place == path);
        let known = self.held.all.get(path).map(|known| known.write);
        let write = match (is_changed, known) {
            (true, _) => write,
            (false, Some(write)) => write,
            (false, None) => self.asked_by(path),
        };
        let together: Vec<&ResourcePath> = match (is_changed, known) {
            (true, _) => changes.iter().map(|(place, _)| place).collect(),
            (false, Some(0) | None) => vec![path],
            (false, Some(write)) => self.held.of(write).collect(),
        };
        for place in together {
            held.all.entry(place.clone()).or_insert_with(|| Instead {
                object: self.before(place),
                why: why.to_owned(),
                write,
            });
        }
        true
    }

    /// The last write that was about an object, or about one that it is in; 0: nobody knows.
    fn asked_by(&self, path: &ResourcePath) -> u64 {
        let (before, new) = self.requests;
        let is_about = |one: &&Arc<Request>| one.target == *path || path.is_in(&one.target);
        let revision = |one: &Arc<Request>| one.revision;
        let newest = new.iter().filter(is_about).map(revision).max();
        newest.unwrap_or_else(|| before.newest().iter().find(is_about).map_or(0, revision))
    }

    /// What is served there now, if that is something else than what is wanted.
    fn before(&self, path: &ResourcePath) -> Option<Arc<Object>> {
        let before = match self.held.all.get(path) {
            Some(instead) => instead.object.as_ref(),
            None => self.before.get(path),
        };
        let wanted = self.objects.get(path);
        before.filter(|before| wanted != Some(before)).cloned()
    }
}

impl Held {
    /// Of these objects everything that serves is held back.
    pub(super) fn everything(objects: &Objects, why: &str) -> Self {
        let serves = objects.iter().filter(|(path, object)| {
            !object.is_of_file && matches!(path.kind(), Kind::TargetGroup | Kind::ForwardingRule)
        });
        let instead = |(path, _): (&ResourcePath, &Arc<Object>)| {
            let why = why.to_owned();
            (
                path.clone(),
                Instead {
                    object: None,
                    why,
                    write: 0,
                },
            )
        };
        Held {
            all: serves.map(instead).collect(),
        }
    }

    /// Whether nothing is.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What is served where these objects are wanted.
    pub(super) fn objects<'a>(&self, wanted: &'a Objects) -> Cow<'a, Objects> {
        if self.all.is_empty() {
            return Cow::Borrowed(wanted);
        }
        let mut objects = wanted.clone();
        let instead = self.all.iter();
        objects.apply(instead.map(|(path, instead)| (path.clone(), instead.object.clone())));
        Cow::Owned(objects)
    }

    /// The same without what these changes are about.
    pub(super) fn without(&self, changes: &[Change]) -> Self {
        let mut held = self.clone();
        for (path, _) in changes {
            held.all.remove(path);
        }
        held
    }

    fn of(&self, write: u64) -> impl Iterator<Item = &ResourcePath> {
        let all = self.all.iter();
        all.filter(move |(_, instead)| instead.write == write)
            .map(|(path, _)| path)
    }

    /// Each object with the reason.
    pub(super) fn reasons(&self) -> impl Iterator<Item = (&ResourcePath, &str)> {
        let all = self.all.iter();
        all.map(|(path, instead)| (path, instead.why.as_str()))
    }

    /// What does not serve; `None`: all does.
    pub(super) fn missing(&self) -> Option<Missing> {
        let (_, why) = self.reasons().next()?;
        let mut writes = BTreeMap::new();
        for instead in self.all.values().filter(|instead| instead.write != 0) {
            writes
                .entry(instead.write)
                .or_insert_with(|| instead.why.clone());
        }
        while writes.len() > MOST_NAMED {
            writes.pop_first();
        }
        Some(Missing {
            why: why.to_owned(),
            writes: Some(writes),
        })
    }
}

/// Serves as much of what is on record elsewhere as can be; returns what is missing.
pub(super) fn serve_most(
    state: &mut State,
    before: &State,
    (entry, about): (&Entry, Option<&ResourcePath>),
    held: &mut Held,
    serve: &dyn Serve,
) -> Option<Missing> {
    let most = Wanted::of(state, before, entry, held)
        .serve(|objects| serve.serve(objects, about, &mut || Ok(())));
    match most {
        Ok((warnings, missing)) => {
            state.warnings = warnings;
            *held = missing;
            held.missing()
        }
        Err(error) => Some(Missing {
            why: error.to_string(),
            writes: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn group(id: &str) -> ResourcePath {
        ResourcePath::of(Kind::TargetGroup, None, id)
    }

    fn object() -> Arc<Object> {
        Arc::new(Object::new(Map::new(), "test"))
    }

    fn objects(ids: &[&str]) -> Objects {
        let mut objects = Objects::default();
        objects.apply(ids.iter().map(|id| (group(id), Some(object()))));
        objects
    }

    /// Serves everything but these groups as they are wanted.
    fn serve(served: &Objects, wanted: &Objects, bad: &[&str]) -> Result<Vec<String>, ApiError> {
        let is_bad = |id: &&&str| {
            let wanted = wanted.get(&group(id));
            served
                .get(&group(id))
                .is_some_and(|one| Some(one) == wanted)
        };
        match bad.iter().find(is_bad) {
            None => Ok(served
                .iter()
                .map(|(path, _)| path.id().to_owned())
                .collect()),
            Some(id) => Err(ApiError {
                culprits: vec![(group(id), "why".to_owned())],
                ..ApiError::later("why")
            }),
        }
    }

    #[test]
    fn only_what_fails_is_left_out_and_what_was_changed_with_it() {
        let (before, now) = (objects(&["a"]), objects(&["a", "b", "c", "d"]));
        let changes = [(group("b"), None), (group("c"), None)];
        let (requests, held) = (Requests::default(), Held::default());
        let wanted = |held| Wanted {
            objects: &now,
            before: &before,
            held,
            change: (&changes, 7),
            requests: (&requests, &[]),
        };
        let (served, missing) = wanted(&held)
            .serve(|objects| serve(objects, &now, &["b"]))
            .unwrap();
        assert_eq!(served, ["a", "d"]);
        let writes = missing.missing().unwrap().writes.unwrap();
        assert_eq!(writes.keys().collect::<Vec<_>>(), [&7]);
        // They stay together when it is tried again.
        let again = Wanted {
            change: (&[], 8),
            ..wanted(&missing)
        };
        let (served, missing) = again.serve(|objects| serve(objects, &now, &["b"])).unwrap();
        assert_eq!(served, ["a", "d"]);
        assert!(missing.missing().unwrap().writes.unwrap().contains_key(&7));
        let (served, missing) = again.serve(|objects| serve(objects, &now, &[])).unwrap();
        assert_eq!((served.len(), missing.missing()), (4, None));
    }

    #[test]
    fn what_was_there_before_is_served_until_it_cannot_be_either() {
        let path = group("a");
        let mut now = objects(&["a"]);
        let before = objects(&["a"]);
        let changed = Object::new(Map::from_iter([("name".to_owned(), "new".into())]), "test");
        now.apply([(path.clone(), Some(changed.into()))]);
        let (requests, held) = (Requests::default(), Held::default());
        let wanted = Wanted {
            objects: &now,
            before: &before,
            held: &held,
            change: (&[], 7),
            requests: (&requests, &[]),
        };
        let (served, missing) = wanted
            .serve(|objects| serve(objects, &now, &["a"]))
            .unwrap();
        assert_eq!(served, ["a"]);
        assert_eq!(missing.objects(&now).get(&path), before.get(&path));
        let never = |objects: &Objects| match objects.count() {
            0 => Ok(()),
            _ => Err(ApiError {
                culprits: vec![(path.clone(), "why".to_owned())],
                ..ApiError::later("why")
            }),
        };
        let (_, missing) = wanted.serve(never).unwrap();
        assert_eq!(missing.objects(&now).count(), 0);
    }
}
