//! Objects and collections as the API shows them.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::kind::Kind;
use super::object::Object;
use super::objects::Objects;
use super::path::ResourcePath;
use super::properties;
use super::query::Query;
use super::state::Warnings;

/// What all answers to one request have in common.
pub(super) struct View<'a> {
    /// The objects.
    pub objects: &'a Objects,
    /// What is worth a warning.
    pub warnings: &'a Warnings,
    /// What paths begin with, as the client has it: `http://127.0.0.1:9901/cloudapi/v6`.
    pub base: &'a str,
}

impl View<'_> {
    /// An object, and what is in it to this depth.
    pub(super) fn one(
        &self,
        kind: Kind,
        place: &ResourcePath,
        object: &Object,
        depth: u8,
    ) -> Value {
        let mut shown = self.reference(kind, place);
        let warnings = self.warnings.get(place);
        shown.insert(
            "metadata".into(),
            metadata(object, warnings.map_or(&[], Vec::as_slice)),
        );
        shown.insert("properties".into(), object.properties.clone().into());
        let inside: Map<String, Value> = kind
            .children()
            .filter(|child| child.is_written())
            .map(|child| (child.segment().to_owned(), self.inside(child, place, depth)))
            .collect();
        if !inside.is_empty() {
            shown.insert("entities".into(), inside.into());
        }
        shown.into()
    }

    /// A collection of what the query takes.
    pub(super) fn collection(
        &self,
        kind: Kind,
        parent: Option<&ResourcePath>,
        query: &Query,
    ) -> Value {
        let found = self.objects.list(kind, parent);
        self.page(kind, found, &self.collection_href(kind, parent), query)
    }

    /// The locations of a region, if there is one.
    pub(super) fn region(&self, region: &ResourcePath, query: &Query) -> Option<Value> {
        let found = self.objects.inside(region);
        let href = format!("{}{region}", self.base);
        (!found.is_empty()).then(|| self.page(Kind::Location, found, &href, query))
    }

    /// What the query takes of what was found at an address.
    fn page(
        &self,
        kind: Kind,
        mut found: Vec<(&ResourcePath, &Arc<Object>)>,
        href: &str,
        query: &Query,
    ) -> Value {
        let known = |name: &str| {
            let mut all = properties::schema(kind).properties.iter();
            all.any(|property| property.name.eq_ignore_ascii_case(name))
        };
        found.retain(|(_, object)| query.takes(known, &object.properties));
        query.sort(&mut found, |(_, object)| &object.properties);
        let (offset, limit) = (query.offset, query.limit_of(kind));
        let is_more = found.len() > offset.saturating_add(limit);
        let page = found.into_iter().skip(offset).take(limit);
        let items = page.map(|(place, object)| self.item(kind, place, object, query.depth));
        let items: Vec<Value> = items.collect();
        let page = |offset: usize| format!("{href}?offset={offset}&limit={limit}");
        let mut links = json!({"self": page(offset)});
        if is_more {
            links["next"] = page(offset + limit).into();
        }
        if offset > 0 {
            links["prev"] = page(offset.saturating_sub(limit)).into();
        }
        json!({
            "id": href.strip_prefix(self.base), "type": "collection", "href": href,
            "items": items, "offset": offset, "limit": limit, "_links": links,
        })
    }

    fn item(&self, kind: Kind, place: &ResourcePath, object: &Object, depth: u8) -> Value {
        match depth.checked_sub(1) {
            None => self.reference(kind, place).into(),
            Some(depth) => self.one(kind, place, object, depth),
        }
    }

    /// A collection inside an object: at depth 0 it is only named.
    fn inside(&self, kind: Kind, parent: &ResourcePath, depth: u8) -> Value {
        let mut shown = json!({
            "id": collection_id(kind, Some(parent)), "type": "collection",
            "href": self.collection_href(kind, Some(parent)),
        });
        if let Some(depth) = depth.checked_sub(1) {
            let found = self.objects.list(kind, Some(parent)).into_iter();
            let items = found.map(|(place, object)| self.item(kind, place, object, depth));
            shown["items"] = items.collect();
        }
        shown
    }

    fn reference(&self, kind: Kind, place: &ResourcePath) -> Map<String, Value> {
        let href = format!("{}{place}", self.base);
        let pairs = [("id", place.id()), ("type", kind.word()), ("href", &href)];
        pairs
            .map(|(name, value)| (name.to_owned(), value.into()))
            .into_iter()
            .collect()
    }

    fn collection_href(&self, kind: Kind, parent: Option<&ResourcePath>) -> String {
        format!("{}{}", self.base, collection_id(kind, parent))
    }
}

fn collection_id(kind: Kind, parent: Option<&ResourcePath>) -> String {
    format!(
        "{}/{}",
        parent.map_or("", ResourcePath::as_str),
        kind.segment()
    )
}

fn metadata(object: &Object, warnings: &[String]) -> Value {
    let mut metadata = json!({
        "etag": object.tag(),
        "createdDate": object.created.at, "createdBy": object.created.by,
        "createdByUserId": user_id(&object.created.by),
        "lastModifiedDate": object.modified.at, "lastModifiedBy": object.modified.by,
        "lastModifiedByUserId": user_id(&object.modified.by),
        "state": "AVAILABLE",
    });
    if !warnings.is_empty() {
        metadata["warnings"] = warnings.into();
    }
    metadata
}

/// Users have names here, and ids where clients look for them.
fn user_id(name: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> (Objects, ResourcePath, ResourcePath) {
        let object = |name: &str, more: Value| {
            let mut properties = json!({"name": name});
            properties
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().cloned().unwrap());
            Some(Arc::new(Object::new(
                properties.as_object().cloned().unwrap(),
                "test",
            )))
        };
        let datacenter = ResourcePath::of(Kind::Datacenter, None, "d");
        let balancer = ResourcePath::of(Kind::Balancer, Some(&datacenter), "a");
        let rule = ResourcePath::of(Kind::ForwardingRule, Some(&balancer), "r");
        let mut objects = Objects::default();
        objects.apply([
            (datacenter.clone(), object("dc", json!({}))),
            (balancer.clone(), object("alb", json!({"listenerLan": 1}))),
            (rule, object("rule", json!({}))),
        ]);
        (objects, datacenter, balancer)
    }

    #[test]
    fn each_depth_shows_one_more_step_of_what_is_inside() {
        let (objects, _, balancer) = objects();
        let view = View {
            objects: &objects,
            warnings: &Warnings::new(),
            base: "http://a/cloudapi/v6",
        };
        let object = objects.get(&balancer).unwrap();
        let shown = |depth| view.one(Kind::Balancer, &balancer, object, depth);
        let rules = |depth| shown(depth)["entities"]["forwardingrules"].clone();
        let path = "/datacenters/d/applicationloadbalancers/a";
        assert_eq!(shown(0)["href"], format!("http://a/cloudapi/v6{path}"));
        assert_eq!(
            shown(0)["properties"],
            json!({"name": "alb", "listenerLan": 1})
        );
        assert_eq!(
            rules(0)["href"],
            format!("http://a/cloudapi/v6{path}/forwardingrules")
        );
        assert!(rules(0).get("items").is_none());
        let rule = rules(1)["items"][0].clone();
        assert_eq!(
            (&rule["id"], &rule["type"]),
            (&json!("r"), &json!("forwarding-rule"))
        );
        assert!(rule.get("properties").is_none());
        assert_eq!(rules(2)["items"][0]["properties"]["name"], "rule");
    }

    #[test]
    fn a_region_has_its_locations() {
        let mut objects = Objects::default();
        let place = |id: &str| ResourcePath::of(Kind::Location, None, id);
        for id in ["de/fra", "de/fra/2", "de/txl", "es/vit"] {
            let object = Object::new(Map::new(), "test");
            objects.apply([(place(id), Some(Arc::new(object)))]);
        }
        let view = View {
            objects: &objects,
            warnings: &Warnings::new(),
            base: "http://a",
        };
        let query = Query::of([].into_iter()).unwrap();
        let shown = view.region(&place("de"), &query).unwrap();
        assert_eq!(
            (&shown["id"], &shown["href"]),
            (&json!("/locations/de"), &json!("http://a/locations/de"))
        );
        let ids = shown["items"].as_array().unwrap().iter();
        let ids: Vec<_> = ids.map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["de/fra", "de/fra/2", "de/txl"]);
        assert!(view.region(&place("d"), &query).is_none());
    }

    #[test]
    fn a_collection_has_pages_and_references_at_depth_0() {
        let (objects, datacenter, _) = objects();
        let view = View {
            objects: &objects,
            warnings: &Warnings::new(),
            base: "http://a",
        };
        let query =
            |pairs: &[(&'static str, &'static str)]| Query::of(pairs.iter().copied()).unwrap();
        let shown = |pairs: &[(&'static str, &'static str)]| {
            view.collection(Kind::Balancer, Some(&datacenter), &query(pairs))
        };
        let all = shown(&[]);
        assert_eq!(all["items"][0]["id"], "a");
        assert!(all["items"][0].get("properties").is_none());
        assert_eq!(all["limit"], 1000);
        assert!(all["_links"].get("next").is_none());
        assert_eq!(
            shown(&[("depth", "1")])["items"][0]["properties"]["name"],
            "alb"
        );
        assert_eq!(shown(&[("offset", "1")])["items"], json!([]));
        assert_eq!(shown(&[("filter.name", "x")])["items"], json!([]));
        assert_eq!(shown(&[("filter.cpu", "x")])["items"][0]["id"], "a");
    }
}
