//! What a PATCH and a PUT make of the properties that an object has.

use serde_json::{Map, Value};

use super::schema::{Need, Schema, Shape};

/// The properties after a PATCH: what it does not name stays, what it has as null goes, a list
/// takes the place of the list, and an object is merged with the one that is there.
pub(super) fn patched(had: &Map<String, Value>, patch: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = had.clone();
    for (name, value) in patch {
        match (merged.get_mut(name), value) {
            (Some(Value::Object(had)), Value::Object(patch)) => *had = patched(had, patch),
            (_, Value::Null) => _ = merged.shift_remove(name),
            (_, value) => _ = merged.insert(name.clone(), value.clone()),
        }
    }
    merged
}

/// The properties after a PUT: those that it names, and Culvert's own ones where it does not: a
/// client that does not know them would take them away. As null they go.
pub(super) fn put(
    schema: &Schema,
    had: &Map<String, Value>,
    given: &Map<String, Value>,
) -> Map<String, Value> {
    let mut merged = given.clone();
    for property in schema.properties {
        let name = property.name;
        let Some(before) = had.get(name) else {
            continue;
        };
        match (&property.shape, merged.get_mut(name)) {
            (Shape::Own, None) => _ = merged.insert(name.to_owned(), before.clone()),
            // Without it, it has its defaults, and Culvert's own.
            (Shape::Object(inner), None) if matches!(property.need, Need::Defaults) => {
                if let Value::Object(before) = before {
                    let own = put(inner, before, &Map::new());
                    merged.insert(name.to_owned(), own.into());
                }
            }
            (Shape::Object(inner), Some(Value::Object(given))) => {
                if let Value::Object(before) = before {
                    *given = put(inner, before, given);
                }
            }
            _ => {}
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema::Property;
    use super::*;

    static CHECK: Schema = Schema {
        properties: &[Property::number("retries", 3), Property::own("type")],
        is_open: false,
    };
    static GROUP: Schema = Schema {
        properties: &[
            Property::required("name", Shape::Name),
            Property::own("stickiness"),
            Property {
                name: "check",
                shape: Shape::Object(&CHECK),
                need: Need::Defaults,
            },
        ],
        is_open: false,
    };

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let had = map(json!({"name": "a", "ips": [1, 2], "check": {"retries": 3, "path": "/"}}));
        for (patch, expected) in [
            (
                json!({}),
                json!({"name": "a", "ips": [1, 2], "check": {"retries": 3, "path": "/"}}),
            ),
            (json!({"ips": null, "check": null}), json!({"name": "a"})),
            (
                json!({"ips": [3], "check": {"retries": 5, "path": null}, "new": {"a": 1}}),
                json!({"name": "a", "ips": [3], "check": {"retries": 5}, "new": {"a": 1}}),
            ),
        ] {
            assert_eq!(Value::Object(patched(&had, &map(patch))), expected);
        }
    }

    #[test]
    fn a_put_takes_everything_away_that_it_does_not_name_but_culverts_own() {
        let had =
            json!({"name": "a", "stickiness": {"ttl": 1}, "check": {"retries": 5, "type": "TCP"}});
        let had = map(had);
        for (given, expected) in [
            (
                json!({"name": "b"}),
                json!({"name": "b", "check": {"type": "TCP"}, "stickiness": {"ttl": 1}}),
            ),
            (
                json!({"name": "b", "check": null, "stickiness": null}),
                json!({"name": "b", "check": null, "stickiness": null}),
            ),
            (
                json!({"name": "b", "check": {"retries": 2}}),
                json!({
                    "name": "b", "check": {"retries": 2, "type": "TCP"}, "stickiness": {"ttl": 1},
                }),
            ),
        ] {
            assert_eq!(Value::Object(put(&GROUP, &had, &map(given))), expected);
        }
    }
}
