//! What keys say, of one revision or of all, and what a state becomes by that.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::object::Object;
use super::super::objects::Change;
use super::super::path::ResourcePath;
use super::super::request::Request;
use super::super::state::{Entry, State};
use super::keys::{Head, Item};

/// What the keys of one revision say, or several, or all.
#[derive(Default)]
pub(super) struct Items {
    pub(super) head: Option<(Head, i64)>,
    is_importing: bool,
    is_headless: bool,
    objects: Vec<(ResourcePath, Option<Object>)>,
    requests: Vec<Request>,
}

/// What changes nothing.
pub(super) fn same(state: &State) -> Entry {
    Entry {
        revision: state.revision,
        id: state.id.clone(),
        fleet: state.fleet.clone(),
        ..Entry::default()
    }
}

impl Items {
    pub(super) fn add(&mut self, item: Item, revision: i64) {
        match item {
            Item::Head(Some(head)) => self.head = Some((head, revision)),
            Item::Head(None) => self.is_headless = true,
            Item::Import(import) => self.is_importing = import.is_some(),
            Item::Object(path, object) => self.objects.push((path, object)),
            Item::Request(request) => self.requests.extend(request),
            Item::Node(..) | Item::Shared(_) => {}
        }
    }

    /// Goes on from an entry. Errors: it does not come after that.
    pub(super) fn go_on(self, entry: &mut Entry) -> Result<(), String> {
        let Some((head, _)) = self.head else {
            return Err("something was changed by hand".to_owned());
        };
        let is_other = !entry.fleet.is_empty() && head.fleet != entry.fleet;
        if self.is_headless || head.previous != entry.id || is_other {
            return Err(format!("{} does not come after {}", head.id, entry.id));
        }
        let share = |(path, object): (ResourcePath, Option<Object>)| (path, object.map(Arc::new));
        entry.objects.extend(self.objects.into_iter().map(share));
        entry
            .requests
            .extend(self.requests.into_iter().map(Arc::new));
        (entry.id, entry.revision) = (head.id, head.number);
        entry.fleet = head.fleet;
        Ok(())
    }
}

/// What makes this state what is there. Errors: it is not to be.
pub(super) fn difference(state: &State, items: &Items, prefix: &str) -> Result<Entry, String> {
    let mut ours: HashMap<_, _> = state
        .objects
        .iter()
        .filter(|(_, object)| !object.is_of_file)
        .collect();
    if items.is_importing {
        return Err(format!(
            "objects are being imported, see {prefix}import: where that has failed, do it again"
        ));
    }
    let Some((head, _)) = &items.head else {
        return match state.id.is_empty() && ours.is_empty() && items.objects.is_empty() {
            true => Ok(same(state)),
            false => Err(format!(
                "there is no {prefix}head, but this node has {} objects: it serves them, and \
                 writes nothing",
                ours.len()
            )),
        };
    };
    if state.id.is_empty() && !ours.is_empty() {
        return Err(format!(
            "the folder has {} objects that are not from there: it must be empty",
            ours.len()
        ));
    }
    if !state.fleet.is_empty() && head.fleet != state.fleet {
        return Err(format!(
            "{prefix}head is of the fleet {:?}, and this node of {:?}: it serves what it has, and \
             writes nothing",
            head.fleet, state.fleet
        ));
    }
    let mut objects: Vec<Change> = Vec::new();
    for (path, object) in &items.objects {
        let known = ours.remove(path);
        if let Some(object) = object
            && known.is_none_or(|known| **known != *object)
        {
            objects.push((path.clone(), Some(Arc::new(object.clone()))));
        }
    }
    objects.extend(ours.into_keys().map(|path| (path.clone(), None)));
    let is_new = |request: &&Request| state.requests.get(&request.id).is_none();
    let requests = items.requests.iter().filter(is_new);
    Ok(Entry {
        revision: head.number,
        id: head.id.clone(),
        fleet: head.fleet.clone(),
        objects,
        requests: requests.cloned().map(Arc::new).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::super::super::kind::Kind;
    use super::super::super::object::Stamp;
    use super::super::keys::Import;
    use super::*;

    fn group(id: &str) -> ResourcePath {
        ResourcePath::of(Kind::TargetGroup, None, id)
    }

    fn object(name: &str) -> Object {
        let stamp = Stamp {
            at: "2026-11-26T00:00:00Z".to_owned(),
            by: "test".to_owned(),
        };
        let properties = json!({"name": name}).as_object().cloned();
        Object {
            created: stamp.clone(),
            modified: stamp,
            ..Object::new(properties.unwrap_or_else(Map::new), "test")
        }
    }

    fn head(previous: &str, id: &str, number: u64) -> Head {
        Head {
            id: id.to_owned(),
            previous: previous.to_owned(),
            number,
            fleet: "f".to_owned(),
        }
    }

    fn state(id: &str, groups: &[&str]) -> State {
        let mut state = State {
            id: id.to_owned(),
            fleet: "f".to_owned(),
            ..State::default()
        };
        let object = |id: &&str| (group(id), Some(Arc::new(object(id))));
        state.objects.apply(groups.iter().map(object));
        state
    }

    #[test]
    fn a_write_is_taken_over_only_where_it_comes_after_the_last() {
        let items = |previous: &str| {
            let mut items = Items::default();
            items.add(Item::Head(Some(head(previous, "c", 3))), 9);
            items.add(Item::Object(group("g"), None), 9);
            items
        };
        let mut entry = same(&state("b", &[]));
        items("b").go_on(&mut entry).unwrap();
        assert_eq!(
            (&*entry.id, entry.revision, entry.objects.len()),
            ("c", 3, 1)
        );
        assert!(items("a").go_on(&mut same(&state("b", &[]))).is_err());
        // Somebody has changed an object by hand.
        let mut by_hand = Items::default();
        by_hand.add(Item::Object(group("g"), None), 9);
        assert!(by_hand.go_on(&mut entry).is_err());
    }

    #[test]
    fn of_all_that_is_there_only_the_difference_is_taken_over() {
        let mut items = Items::default();
        items.add(Item::Head(Some(head("y", "z", 8))), 9);
        items.add(Item::Object(group("same"), Some(object("same"))), 5);
        items.add(Item::Object(group("other"), Some(object("changed"))), 6);
        items.add(Item::Object(group("new"), Some(object("new"))), 7);
        let entry = difference(&state("a", &["same", "other", "gone"]), &items, "/p/").unwrap();
        let what = |change: &Change| (change.0.id().to_owned(), change.1.is_some());
        let mut changes: Vec<_> = entry.objects.iter().map(what).collect();
        changes.sort();
        let expected = [("gone", false), ("new", true), ("other", true)];
        assert_eq!(
            changes,
            expected.map(|(id, is_there)| (id.to_owned(), is_there))
        );
        assert_eq!((&*entry.id, entry.revision), ("z", 8));
    }

    #[test]
    fn an_etcd_that_has_nothing_and_a_folder_of_another_store_change_nothing() {
        let nothing = Items::default();
        assert!(difference(&state("a", &["g"]), &nothing, "/p/").is_err());
        assert!(difference(&state("", &["g"]), &nothing, "/p/").is_err());
        assert!(difference(&state("", &[]), &nothing, "/p/").is_ok());
        let mut items = Items::default();
        items.add(Item::Head(Some(head("", "a", 1))), 9);
        assert!(difference(&state("", &["g"]), &items, "/p/").is_err());
        assert!(difference(&state("", &[]), &items, "/p/").is_ok());
    }

    #[test]
    fn nothing_is_taken_over_from_another_fleet_or_while_objects_are_imported() {
        let mut items = Items::default();
        items.add(Item::Head(Some(head("", "z", 8))), 9);
        let mut ours = state("a", &["g"]);
        assert!(difference(&ours, &items, "/p/").is_ok());
        ours.fleet = "another".to_owned();
        assert!(difference(&ours, &items, "/p/").is_err());
        assert!(items.go_on(&mut same(&ours)).is_err());
        // A copy from before there were names of fleets.
        ours.fleet = String::new();
        let mut items = Items::default();
        items.add(Item::Head(Some(head("", "z", 8))), 9);
        assert_eq!(difference(&ours, &items, "/p/").unwrap().fleet, "f");
        let import = Import {
            fleet: "f".to_owned(),
            number: 8,
        };
        items.add(Item::Import(Some(import)), 10);
        assert!(difference(&state("", &[]), &items, "/p/").is_err());
    }
}
