//! Schemas of fields, in the words of a CustomResourceDefinition (structural, OpenAPI 3).

use serde_json::{Map, Value, json};

/// A field: its name, its schema, and whether it has to be there.
pub(super) struct Field {
    name: &'static str,
    schema: Value,
    is_required: bool,
}

/// A field that may be missing.
pub(super) fn may(name: &'static str, schema: Value) -> Field {
    Field {
        name,
        schema,
        is_required: false,
    }
}

/// A field that has to be there.
pub(super) fn must(name: &'static str, schema: Value) -> Field {
    Field {
        is_required: true,
        ..may(name, schema)
    }
}

/// A mapping of these fields.
pub(super) fn object(description: &str, fields: Vec<Field>) -> Value {
    let required: Vec<_> = fields.iter().filter(|field| field.is_required).collect();
    let required: Vec<&str> = required.iter().map(|field| field.name).collect();
    let mut schema = json!({"description": description, "type": "object"});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let fields = fields.into_iter();
    let properties: Map<_, _> = fields
        .map(|field| (field.name.to_owned(), field.schema))
        .collect();
    schema["properties"] = Value::Object(properties);
    schema
}

/// What must hold for a mapping, as CEL, and what is said where it does not.
pub(super) fn with_rules(mut schema: Value, rules: &[(&str, &str)]) -> Value {
    let rules = rules.iter();
    let rules = rules.map(|(rule, message)| json!({"rule": rule, "message": message}));
    schema["x-kubernetes-validations"] = rules.collect();
    schema
}

/// A mapping whose keys are anything and whose values are strings.
pub(super) fn strings_by_name(description: &str, most: u32) -> Value {
    json!({
        "description": description,
        "type": "object",
        "maxProperties": most,
        "additionalProperties": {"type": "string", "maxLength": 4096},
    })
}

/// A string.
pub(super) fn text(description: &str, most: u32) -> Value {
    json!({"description": description, "type": "string", "minLength": 1, "maxLength": most})
}

/// A string that matches an expression as a whole.
pub(super) fn matching(description: &str, pattern: &str, most: u32) -> Value {
    json!({
        "description": description,
        "type": "string",
        "pattern": format!("^{pattern}$"),
        "maxLength": most,
    })
}

/// One of these words.
pub(super) fn word(description: &str, words: &[&str]) -> Value {
    json!({"description": description, "type": "string", "enum": words})
}

/// A number without a fraction.
pub(super) fn integer(description: &str, least: i64, most: i64) -> Value {
    json!({
        "description": description,
        "type": "integer",
        "format": "int64",
        "minimum": least,
        "maximum": most,
    })
}

/// A number from 0 to 1.
pub(super) fn fraction(description: &str) -> Value {
    json!({"description": description, "type": "number", "minimum": 0, "maximum": 1})
}

pub(super) fn boolean(description: &str) -> Value {
    json!({"description": description, "type": "boolean"})
}

pub(super) fn port(description: &str) -> Value {
    integer(description, 1, 65_535)
}

/// Entries of one kind, in an order.
pub(super) fn list(description: &str, least: u32, most: u32, entry: Value) -> Value {
    json!({
        "description": description,
        "type": "array",
        "minItems": least,
        "maxItems": most,
        "x-kubernetes-list-type": "atomic",
        "items": entry,
    })
}

/// A duration of the configuration file: milliseconds, or a string with units.
pub(super) fn duration(description: &str) -> Value {
    with_units(description, 1)
}

/// A duration of the configuration file that may be nothing.
pub(super) fn delay(description: &str) -> Value {
    with_units(description, 0)
}

fn with_units(description: &str, least: u32) -> Value {
    const MONTH: u64 = 30 * 24 * 60 * 60 * 1000;
    const UNITS: &str = "(nsec|ns|usec|us|µs|msec|ms|seconds?|secs?|s|minutes?|mins?|m\
                         |hours?|hrs?|h|days?|d|weeks?|wks?|w|months?|M|years?|yrs?|y)";
    json!({
        "description": format!("{description} Milliseconds, or with units: 250ms, 90s, 1h 30m."),
        "x-kubernetes-int-or-string": true,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "pattern": format!("^(0|\\s*([0-9]+(\\.[0-9]+)?\\s*{UNITS}\\s*)+)$"),
        "maxLength": 64,
        "minimum": least,
        "maximum": MONTH,
    })
}

/// A duration of the Gateway API (GEP-2257).
pub(super) fn gep_duration(description: &str) -> Value {
    matching(description, "([0-9]{1,5}(h|m|s|ms)){1,4}", 32)
}
