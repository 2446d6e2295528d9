//! The description as a JSON Schema (draft 2020-12), for editors and for those who write files by
//! programs.

use serde_json::{Map, Value, json};

use super::description::{Key, Kind, Object, keys, objects};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// An integer of milliseconds, or numbers with units.
const DURATION: &str = r"^\s*(\d+\s*[a-zA-Zµ]+\s*)+$";
const MEMORY: &str = r"^\s*\d+(\.\d+)?\s*([kKMGT]i?)?B\s*$";

/// The schema, as JSON.
pub fn text() -> String {
    format!("{:#}", schema())
}

pub(super) fn schema() -> Value {
    let mut definitions = Map::new();
    for name in objects().filter(|name| *name != Object::FILE.name) {
        definitions.insert(name.to_owned(), object(name));
    }
    let mut top = object(Object::FILE.name);
    top["$schema"] = DIALECT.into();
    top["title"] = "The configuration of Culvert".into();
    top["anyOf"] = json!([
        {"required": ["forwardingRules"]},
        {"required": ["api"]},
        {"required": ["gateway"]},
    ]);
    top["$defs"] = Value::Object(definitions);
    top
}

fn object(name: &str) -> Value {
    let keys = keys(name);
    let mut properties = Map::new();
    for key in &keys {
        properties.insert(key.name.to_owned(), property(key));
    }
    let required = keys.iter().filter(|key| key.is_required());
    let required: Vec<&str> = required.map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let conditions: Vec<Value> = of_types(&keys);
    if !conditions.is_empty() {
        schema["allOf"] = conditions.into();
    }
    schema
}

/// For each key that goes with some types only: it is absent, or null, with the others.
fn of_types(keys: &[Key]) -> Vec<Value> {
    let all = keys.iter().find(|key| key.name == "type");
    let all = all.map(|key| key.kind.words()).unwrap_or_default();
    let others = |key: &Key| -> Vec<&str> {
        let others = all.iter().filter(|word| !key.of_types.contains(word));
        others.copied().collect()
    };
    let mut conditions = Vec::new();
    for of_type in &all {
        let absent = keys.iter().filter(|key| !key.of_types.is_empty());
        let absent = absent.filter(|key| others(key).contains(of_type));
        let absent: Map<String, Value> = absent
            .map(|key| (key.name.to_owned(), json!({"type": "null"})))
            .collect();
        if !absent.is_empty() {
            conditions.push(json!({
                "if": {"properties": {"type": {"const": of_type}}, "required": ["type"]},
                "then": {"properties": absent},
            }));
        }
    }
    conditions
}

/// A key's value; one that is null counts as absent.
fn property(key: &Key) -> Value {
    let kind = kind(key.kind);
    let mut schema = match key.is_required() {
        true => kind,
        false => or_null(kind),
    };
    schema["description"] = key.meaning.into();
    if let Some(default) = key.default() {
        schema["default"] = default.clone();
    }
    schema
}

/// The same, or null: said where an editor tells best what is wrong otherwise.
fn or_null(mut kind: Value) -> Value {
    if let Some(of_type) = kind.get("type").cloned() {
        kind["type"] = json!([of_type, "null"]);
    } else if let Some(Value::Array(any)) = kind.get_mut("anyOf") {
        any.push(json!({"type": "null"}));
    } else if let Some(Value::Array(words)) = kind.get_mut("enum") {
        words.push(Value::Null);
    } else if kind != json!({}) {
        kind = json!({"anyOf": [kind, {"type": "null"}]});
    }
    kind
}

fn kind(kind: Kind) -> Value {
    match kind {
        Kind::Words(_) => json!({"enum": kind.words()}),
        Kind::List(item) => json!({"type": "array", "items": self::kind(Kind::of(item))}),
        Kind::Mapping(item) => {
            json!({"type": "object", "additionalProperties": self::kind(Kind::of(item))})
        }
        Kind::Object(object) => reference(object),
        Kind::Integer(low, high) => {
            let bound = |text: &str| text.parse::<u64>().unwrap_or_default();
            json!({"type": "integer", "minimum": bound(low), "maximum": bound(high)})
        }
        Kind::Plain(word) => plain(word),
    }
}

fn reference(object: Object) -> Value {
    let whole = json!({"$ref": format!("#/$defs/{}", object.name)});
    if !object.may_be_wrapped {
        return whole;
    }
    let wrapped = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["properties"],
        "properties": {"properties": whole},
    });
    // So that an editor tells what is wrong with the one that is meant.
    json!({
        "if": {"type": "object", "required": ["properties"]},
        "then": wrapped,
        "else": whole,
    })
}

fn plain(word: &str) -> Value {
    match word {
        "boolean" => json!({"type": "boolean"}),
        "number" => json!({"type": "number", "minimum": 0, "maximum": 1}),
        "port" => json!({"type": "integer", "minimum": 1, "maximum": 65535}),
        "duration" => json!({"anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": DURATION},
        ]}),
        "delay" => json!({"anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": DURATION},
        ]}),
        "memory" => json!({"anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": MEMORY},
        ]}),
        "string" => json!({"type": "string"}),
        "any" => json!({}),
        // A path, an address, a block of addresses, a name: what may be in it the reader says.
        _ => json!({"type": "string", "pattern": r"\S"}),
    }
}
