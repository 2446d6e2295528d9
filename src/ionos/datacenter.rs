//! Datacenters that are there because somebody names them.

use serde_json::{Map, Value};

use super::kind::Kind;
use super::object::Object;
use super::path::ResourcePath;
use super::properties;

/// Whether this can be a datacenter that nobody has made: by its UUID as clients write them, for
/// others would be the same one by another name, which is not all zeros.
pub(super) fn may_be_datacenter(place: &ResourcePath) -> bool {
    let is_written_so = place.id().len() == uuid::fmt::Hyphenated::LENGTH;
    let id = uuid::Uuid::parse_str(place.id());
    place.kind() == Kind::Datacenter && is_written_so && id.is_ok_and(|id| !id.is_nil())
}

/// A datacenter that is there because somebody named it.
pub(super) fn named_datacenter(place: &ResourcePath, by: &str) -> Object {
    let given = [("name", place.id()), ("location", "de/txl")];
    let given = given.map(|(name, value)| (name.to_owned(), Value::from(value)));
    let properties = properties::filled(Kind::Datacenter, &Map::from_iter(given));
    Object::new(properties.unwrap_or_default(), by)
}
