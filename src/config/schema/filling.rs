//! A file with all that holds where it says nothing.

use serde_json::{Map, Value};

use super::description::{Kind, Object};

/// Headers whose values are secrets: they are not shown.
const SECRET_HEADERS: [&str; 5] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-api-key",
];
const HIDDEN: &str = "REDACTED";

/// The tree of a valid file with its defaults, in the order of the description, without what is
/// secret.
pub(in super::super) fn filled(top: Value) -> Value {
    fill(top, Object::FILE, shown)
}

/// What of an entry of a mapping with names of the file's own is shown.
type Show = fn(String, Value) -> (String, Value);

fn fill(value: Value, object: Object, show: Show) -> Value {
    let mut said = match value {
        Value::Object(said) => said,
        other => return other,
    };
    if object.may_be_wrapped
        && let Some(inner) = said.remove("properties")
    {
        return fill(inner, object, show);
    }
    let mut whole = Map::new();
    let of_type = said.get("type").and_then(Value::as_str).map(str::to_owned);
    for key in object.keys() {
        let default = key
            .default_of(of_type.as_deref())
            .filter(|_| object.has_defaults && key.is_valid_in(of_type.as_deref()));
        let said = said.remove(key.name).filter(|value| !value.is_null());
        if let Some(value) = said.or_else(|| default.cloned()) {
            whole.insert(key.name.to_owned(), below(value, key.kind, show));
        }
    }
    Value::Object(whole)
}

fn below(value: Value, kind: Kind, show: Show) -> Value {
    match (value, kind) {
        (value, Kind::Object(object)) => fill(value, object, show),
        (Value::Array(items), Kind::List(item)) => {
            let items = items.into_iter();
            items
                .map(|value| below(value, Kind::of(item), show))
                .collect()
        }
        (Value::Object(values), Kind::Mapping(_)) => {
            let values = values.into_iter();
            values.map(|(name, value)| show(name, value)).collect()
        }
        (value, _) => value,
    }
}

/// A header with its value, unless that is a secret.
fn shown(name: String, value: Value) -> (String, Value) {
    let is_secret = SECRET_HEADERS.contains(&name.to_ascii_lowercase().as_str());
    let value = if is_secret { HIDDEN.into() } else { value };
    (name, value)
}

/// The same with everything.
#[cfg(test)]
pub(super) fn whole(top: Value) -> Value {
    fill(top, Object::FILE, |name, value| (name, value))
}
