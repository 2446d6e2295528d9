//! All objects, by their places. What is in an object comes right behind it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::error::{ApiError, INVALID};
use super::kind::Kind;
use super::object::Object;
use super::path::ResourcePath;

/// All objects. A copy is cheap, and does not change with it.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    all: BTreeMap<ResourcePath, Arc<Object>>,
}

/// What becomes of an object.
pub(super) type Change = (ResourcePath, Option<Arc<Object>>);

impl Objects {
    /// The object at a place.
    pub fn get(&self, place: &ResourcePath) -> Option<&Arc<Object>> {
        self.all.get(place)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Carries changes out.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        for (place, object) in changes {
            match object {
                Some(object) => _ = self.all.insert(place, object),
                None => _ = self.all.remove(&place),
            }
        }
    }

    /// Errors: the object at a place has none of these tags, as `If-Match` lists them.
    pub(super) fn check_tag(&self, place: &ResourcePath, tags: &str) -> Result<(), ApiError> {
        let Some(object) = self.get(place) else {
            return Ok(());
        };
        let changed = "it has been changed since: see its ETag";
        let mut tags = tags.split(',').map(|tag| tag.trim().trim_matches('"'));
        match tags.any(|tag| tag == "*" || tag == object.tag()) {
            true => Ok(()),
            false => Err(ApiError::new(412, INVALID, changed)),
        }
    }

    /// The objects of a kind that are in another, or at the top, in the order in which they were
    /// made.
    pub fn list(
        &self,
        kind: Kind,
        parent: Option<&ResourcePath>,
    ) -> Vec<(&ResourcePath, &Arc<Object>)> {
        let collection = ResourcePath::collection(kind, parent);
        let mut found = self.beginning_with(&collection, kind);
        found.sort_by(|(_, one), (_, other)| one.created.at.cmp(&other.created.at));
        found
    }

    /// All objects of a kind.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (&ResourcePath, &Arc<Object>)> {
        self.all
            .iter()
            .filter(move |(place, _)| place.kind() == kind)
    }

    /// What is in an object, at any depth.
    pub fn inside(&self, parent: &ResourcePath) -> Vec<(&ResourcePath, &Arc<Object>)> {
        let behind = (Bound::Excluded(parent.as_str()), Bound::Unbounded);
        // `/a-b` stands between `/a` and `/a/b`.
        self.all
            .range::<str, _>(behind)
            .take_while(|(place, _)| place.as_str().starts_with(parent.as_str()))
            .filter(|(place, _)| place.is_in(parent))
            .collect()
    }

    /// The objects of a kind whose paths begin with that of their collection, and go on with an id.
    fn beginning_with(&self, collection: &str, kind: Kind) -> Vec<(&ResourcePath, &Arc<Object>)> {
        self.all
            .range::<str, _>((Bound::Included(collection), Bound::Unbounded))
            .take_while(|(place, _)| place.as_str().starts_with(collection))
            .filter(|(place, _)| place.kind() == kind)
            .collect()
    }

    /// Every object with its place.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourcePath, &Arc<Object>)> {
        self.all.iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str) -> Option<Arc<Object>> {
        let properties = json!({"name": name});
        let object = Object::new(properties.as_object().cloned().unwrap(), "test");
        Some(Arc::new(object))
    }

    #[test]
    fn what_is_in_an_object_is_found_and_nothing_else() {
        let mut objects = Objects::default();
        let (d, e) = (
            ResourcePath::of(Kind::Datacenter, None, "d"),
            ResourcePath::of(Kind::Datacenter, None, "d-e"),
        );
        let balancer = ResourcePath::of(Kind::Balancer, Some(&d), "a");
        let rule = ResourcePath::of(Kind::ForwardingRule, Some(&balancer), "r");
        let (lan, other) = (
            ResourcePath::of(Kind::Lan, Some(&d), "1"),
            ResourcePath::of(Kind::Lan, Some(&e), "1"),
        );
        let places = [&d, &e, &balancer, &rule, &lan, &other];
        objects.apply(places.map(|place| (place.clone(), object(place.as_str()))));
        let names = |found: Vec<(&ResourcePath, &Arc<Object>)>| {
            found
                .iter()
                .map(|(place, _)| place.to_string())
                .collect::<Vec<_>>()
        };
        let inside = names(objects.inside(&d));
        assert_eq!(
            inside,
            [&balancer, &rule, &lan].map(ResourcePath::to_string)
        );
        assert_eq!(names(objects.list(Kind::Lan, Some(&d))), [lan.to_string()]);
        assert_eq!(names(objects.list(Kind::Datacenter, None)).len(), 2);
        assert_eq!(objects.all(Kind::Lan).count(), 2);
        objects.apply([(lan.clone(), None)]);
        assert!(objects.get(&lan).is_none() && objects.get(&rule).is_some());
    }
}
