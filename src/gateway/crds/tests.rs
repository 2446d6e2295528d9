//! The definitions and the readers say the same.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use parking_lot::Mutex;
use regex::Regex;
use serde_json::{Map, Value, json};

use super::super::objects::{Kind, Object, Place};
use super::{Definition, all};
use crate::config::objects::keys;

const EXAMPLES: &str = include_str!("../../../docs/kubernetes/examples/policies.yaml");

fn examples() -> Vec<Value> {
    let documents = EXAMPLES.split("\n---\n");
    let read = documents.map(|text| serde_yaml::from_str(text).unwrap());
    read.collect()
}

/// The schema for an object.
fn schema_of(object: &Value) -> Value {
    let is_for = |one: &&Definition| one.value["spec"]["names"]["kind"] == object["kind"];
    let all = all();
    let definition = all.iter().find(is_for).unwrap();
    definition.value["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

fn matches(pattern: &str, text: &str) -> bool {
    static KNOWN: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock();
    let new = || Regex::new(pattern).unwrap();
    known
        .entry(pattern.to_owned())
        .or_insert_with(new)
        .is_match(text)
}

/// What is wrong with a value by a schema; CEL is left aside.
fn faults(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let fault = |what: &str| vec![format!("{path}: {what}")];
    let is_of_type = match schema["type"].as_str() {
        None => value.is_i64() || value.is_string(),
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some(other) => panic!("{other}"),
    };
    match value {
        _ if !is_of_type => fault("type"),
        Value::String(text) => {
            let pattern = schema["pattern"].as_str();
            let matches = |pattern: &str| matches(pattern, text);
            let words = schema["enum"].as_array();
            let length = u64::try_from(text.chars().count()).unwrap();
            let is_long = schema["maxLength"]
                .as_u64()
                .is_some_and(|most| length > most);
            let is_short = schema["minLength"]
                .as_u64()
                .is_some_and(|least| length < least);
            match pattern.is_none_or(matches) && words.is_none_or(|all| all.contains(value)) {
                true if !is_long && !is_short => Vec::new(),
                _ => fault("text"),
            }
        }
        Value::Number(number) => {
            let bound = |key: &str| schema[key].as_f64();
            let number = number.as_f64().unwrap();
            let is_in = bound("minimum").is_none_or(|least| number >= least)
                && bound("maximum").is_none_or(|most| number <= most);
            if is_in { Vec::new() } else { fault("bounds") }
        }
        Value::Array(entries) => {
            let least = schema["minItems"].as_u64().unwrap_or(0);
            let most = schema["maxItems"].as_u64().unwrap();
            let count = u64::try_from(entries.len()).unwrap();
            let inner = entries
                .iter()
                .flat_map(|one| faults(&schema["items"], one, path));
            match (least..=most).contains(&count) {
                true => inner.collect(),
                false => fault("entries"),
            }
        }
        Value::Object(fields) => faults_of_fields(schema, fields, path),
        Value::Bool(_) | Value::Null => Vec::new(),
    }
}

fn faults_of_fields(schema: &Value, fields: &Map<String, Value>, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let inner = match &schema["properties"][key] {
            Value::Null => &schema["additionalProperties"],
            inner => inner,
        };
        let path = format!("{path}.{key}");
        match (inner, path.as_str()) {
            (_, ".metadata") => {}
            (Value::Null, _) => found.push(format!("{path}: not known")),
            (inner, _) => found.extend(faults(inner, value, &path)),
        }
    }
    let required = schema["required"].as_array().into_iter().flatten();
    let missing =
        required.filter(|key| fields.get(key.as_str().unwrap()).is_none_or(Value::is_null));
    found.extend(missing.map(|key| format!("{path}.{key}: missing")));
    found
}

fn read(object: &Value) -> Object {
    Object::read(object, Place::default()).unwrap()
}

fn is_taken(object: &Value) -> bool {
    read(object).meta().flaws.is_empty()
}

/// The place of each value of a tree below `spec`, as JSON pointers, but those of `targetRefs`.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    if at.contains("/targetRef") || at.contains("/headers/") {
        return;
    }
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                places(value, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(entries) => {
            for (place, value) in entries.iter().enumerate() {
                places(value, &format!("{at}/{place}"), found);
            }
        }
        _ => {}
    }
}

fn places_in(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    places(&object["spec"], "/spec", &mut found);
    found
}

/// The schema for a place.
fn at<'s>(schema: &'s Value, place: &str) -> &'s Value {
    let steps = place.split('/').skip(1);
    steps.fold(schema, |schema, step| match step.parse::<usize>() {
        Ok(_) => &schema["items"],
        Err(_) => &schema["properties"][step],
    })
}

#[test]
fn the_files_of_the_pages_are_what_is_printed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/kubernetes/crds");
    for definition in all() {
        let path = format!("{folder}/{}", definition.file);
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        if std::env::var_os("CULVERT_TEST_WRITE").is_some() {
            std::fs::write(&path, &definition.text).unwrap();
        } else {
            assert!(
                kept == definition.text,
                "{path}: write anew with CULVERT_TEST_WRITE=1"
            );
        }
    }
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), all().len());
}

#[test]
fn whole_policies_are_taken_by_the_definition_and_by_the_reader() {
    for object in examples() {
        let schema = schema_of(&object);
        assert_eq!(faults(&schema, &object, ""), [""; 0], "{object}");
        assert_eq!(read(&object).meta().flaws, [], "{object}");
    }
}

/// The keys of a schema, with their paths.
fn keys_of(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        keys_of(inner, &path, found);
        keys_of(&inner["items"], &path, found);
        found.insert(path);
    }
}

#[test]
fn the_examples_have_every_key_of_the_definitions() {
    for definition in all() {
        let kind = &definition.value["spec"]["names"]["kind"];
        let examples: Vec<Value> = examples()
            .into_iter()
            .filter(|one| one["kind"] == *kind)
            .collect();
        let mut all = BTreeSet::new();
        keys_of(&schema_of(&examples[0])["properties"]["spec"], "", &mut all);
        for path in all {
            let pointer = format!("/spec{}", path.replace('.', "/"));
            let pointer = pointer.replace("targetRefs/", "targetRefs/0/");
            let pointer = pointer.replace("statusCodes/", "statusCodes/0/");
            let has = |one: &Value| one.pointer(&pointer).is_some();
            let is_left_out = NOT_SHOWN.iter().any(|key| path.contains(key));
            assert!(is_left_out || examples.iter().any(has), "{kind} {path}");
        }
    }
}

/// Keys of Azure's that are elsewhere, or not for all at once.
const NOT_SHOWN: &[&str] = &["override", "protocol", "useTLS", "grpc", "match.body"];

#[test]
fn each_key_of_the_definitions_is_read() {
    for object in examples() {
        for place in places_in(&object).iter().skip(1) {
            let (above, key) = place.rsplit_once('/').unwrap();
            let mut without = object.clone();
            match without.pointer_mut(above).unwrap() {
                Value::Object(fields) => drop(fields.shift_remove(key)),
                Value::Array(entries) => drop(entries.remove(key.parse().unwrap())),
                _ => unreachable!(),
            }
            let changed = format!("{:?}", read(&without)) != format!("{:?}", read(&object));
            let is_default = place.ends_with("/regex") || place.ends_with("/matchType");
            assert!(changed || is_default, "{place}: {object}");
        }
    }
}

#[test]
fn the_readers_have_no_key_that_the_definitions_lack() {
    let definitions = examples();
    for (example, pointer, object) in [
        (0, "/spec/tunnel", "tunnel"),
        (1, "/spec/rebalance", "rebalance"),
        (1, "/spec/healthCheck", "health check"),
        (1, "/spec/outlierDetection", "outlier detection"),
        (2, "/spec/hashKey", "hash key"),
        (2, "/spec/stickiness", "stickiness"),
        (3, "/spec/httpHealthCheck", "HTTP health check"),
    ] {
        let schema = schema_of(&definitions[example]);
        let described = at(&schema, pointer)["properties"].as_object().unwrap();
        let described: BTreeSet<&str> = described.keys().map(String::as_str).collect();
        let read: BTreeSet<&str> = keys(object).iter().copied().collect();
        assert_eq!(described, read, "{object}");
    }
    for (example, keys) in [
        (0, super::super::objects::TUNNEL_KEYS),
        (1, super::super::objects::TARGET_KEYS),
    ] {
        let schema = schema_of(&definitions[example]);
        let described = at(&schema, "/spec")["properties"].as_object().unwrap();
        let own = described.keys().filter(|key| *key != "targetRefs");
        let described: BTreeSet<&str> = own.map(String::as_str).collect();
        assert_eq!(described, keys.iter().copied().collect());
    }
}

/// Values of every kind, in and out of all bounds.
fn strange() -> Vec<Value> {
    let texts = [
        "",
        " ",
        "?",
        "0",
        "0s",
        "1",
        "5s",
        "90s",
        "1h 30m",
        "1h30m",
        "2days",
        "1ms",
        "-1s",
        "1.5s",
        "999999999999s",
        "/",
        "/a b",
        "/é",
        "*",
        "null",
        "https://a.example",
        "https://*.a.example",
        "a b",
        "200",
        "200-299",
        "200,204",
        "999",
        "GET",
        "HEAD",
        "DELETE",
        "keep",
        "TCP",
        "RANDOM",
        "TRACE",
        "Lax",
        "RESPONSE_BODY",
    ];
    let texts = texts.into_iter().map(Value::from);
    let numbers = [
        -1, 0, 1, 2, 3, 50, 100, 101, 599, 600, 10_000, 10_001, 65_535, 65_536,
    ];
    let numbers = numbers.into_iter().map(Value::from);
    let long = ["x".repeat(4000), format!("/{}", "x".repeat(300))].map(Value::from);
    let others = [
        json!(true),
        json!(0.5),
        json!(1.5),
        json!([]),
        json!({}),
        json!({"x": 1}),
    ];
    let many = [
        json!(2_592_000_000_i64),
        json!(2_592_000_001_i64),
        json!(i64::MAX),
    ];
    texts
        .chain(numbers)
        .chain(long)
        .chain(others)
        .chain(many)
        .collect()
}

#[test]
fn what_the_readers_take_the_definitions_take() {
    let mut count = 0;
    for object in examples() {
        let schema = schema_of(&object);
        for place in places_in(&object).iter().skip(1) {
            for value in strange() {
                let mut changed = object.clone();
                *changed.pointer_mut(place).unwrap() = value.clone();
                if is_taken(&changed) {
                    let mut found = faults(&schema, &changed, "");
                    // What Azure's policy has beside what is known is nobody's business here.
                    let is_azure = object["kind"] == "HealthCheckPolicy";
                    found.retain(|fault| !is_azure || !fault.ends_with("not known"));
                    assert_eq!(found, [""; 0], "{place}: {value}");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 500, "{count}");
}

#[test]
fn the_readers_have_the_words_of_the_definitions() {
    let mut count = 0;
    for object in examples() {
        let schema = schema_of(&object);
        for place in places_in(&object) {
            let Some(words) = at(&schema, &place)["enum"].as_array() else {
                continue;
            };
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            let (last, others) = words.split_last().unwrap();
            let mut changed = object.clone();
            *changed.pointer_mut(&place).unwrap() = json!("?");
            let told = format!("{:?}", read(&changed).meta().flaws);
            let expected = format!("must be {} or {last}", others.join(", "));
            assert!(told.contains(&expected), "{place}: {told}");
            count += 1;
        }
    }
    assert!(count >= 8, "{count}");
}

#[test]
fn the_kinds_are_those_that_are_read() {
    for definition in all() {
        let spec = &definition.value["spec"];
        let object = json!({
            "apiVersion": format!("{}/{}", spec["group"].as_str().unwrap(),
                spec["versions"][0]["name"].as_str().unwrap()),
            "kind": spec["names"]["kind"], "metadata": {"name": "x"}, "spec": {},
        });
        let kind = read(&object).kind();
        assert!(matches!(
            kind,
            Kind::TunnelPolicy | Kind::TargetPolicy | Kind::HealthCheckPolicy
        ));
    }
}
