//! The description against the reader, and the schema against every file of the tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::super::read;
use super::super::tree::{Findings, Node, Seen};
use super::super::{document, parse};
use super::description::{Kind, Object, keys, objects};
use super::filling::whole;
use super::{filled, json, text};

fn files(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for folder in folders {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    assert!(!files.is_empty());
    files
}

const VALID: &[&str] = &["tests/edge/config/valid", "conf"];

/// What the reader has seen: in each file, the keys and the words that it accepts at a place.
fn seen(tree: &Value) -> Vec<Seen> {
    let findings = Findings::default();
    read::config(&Node::top(tree, &findings));
    findings.seen()
}

/// What the description has at a place of a file.
fn at(path: &str) -> Option<Kind> {
    let mut kind = Kind::Object(Object::FILE);
    for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
        kind = match kind {
            Kind::List(item) if part.ends_with(']') => Kind::of(item),
            Kind::Object(object) if object.may_be_wrapped && part == "properties" => kind,
            Kind::Object(object) => {
                keys(object.name)
                    .into_iter()
                    .find(|key| key.name == part)?
                    .kind
            }
            _ => return None,
        };
    }
    Some(kind)
}

#[test]
fn the_description_has_the_keys_and_the_words_of_the_reader() {
    let mut met = BTreeSet::new();
    for (path, text) in files(&[VALID, &["tests/edge/config/invalid"]].concat()) {
        let Ok(tree) = document::parse(&text) else {
            continue;
        };
        for Seen {
            place,
            keys,
            is_words,
        } in seen(&tree)
        {
            let described = match at(&place) {
                Some(Kind::Object(object)) if !is_words => {
                    met.insert(object.name);
                    object.keys().iter().map(|key| key.name).collect()
                }
                Some(kind) if is_words => kind.words(),
                // A mapping whose keys are names of the file's own.
                Some(Kind::Mapping(_)) => continue,
                other => panic!("{}: {place}: {other:?}", path.display()),
            };
            let described: BTreeSet<_> = described.into_iter().collect();
            let read: BTreeSet<_> = keys.iter().map(String::as_str).collect();
            if read != BTreeSet::from(["properties"]) {
                assert_eq!(described, read, "{}: {place}", path.display());
            }
        }
    }
    let all: BTreeSet<_> = objects().collect();
    assert_eq!(all.difference(&met).collect::<Vec<_>>(), [&""; 0]);
}

#[test]
fn a_file_with_its_defaults_says_the_same() {
    for (path, text) in files(VALID) {
        let tree = document::parse(&text).unwrap();
        let (before, after) = (
            parse("file", &text),
            parse("file", &whole(tree).to_string()),
        );
        let shown = |mut loaded: super::super::Loaded| {
            // The text as it was, for the API's own messages.
            if let Some(api) = &mut loaded.config.api {
                api.written = Arc::default();
            }
            // One that stands in is made anew each time.
            let certificates = &mut loaded.config.certificates;
            let acme: Vec<_> = certificates.iter().map(|one| one.acme.clone()).collect();
            certificates.retain(|one| !one.stands_in);
            format!("{:#?} {acme:#?}", loaded.config)
        };
        let after = after.unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        assert_eq!(shown(before.unwrap()), shown(after), "{}", path.display());
    }
}

#[test]
fn no_secret_is_in_a_file_with_its_defaults() {
    let tree = document::parse(
        "targetGroups: [{name: a, healthCheck: {type: HTTP, headers: {Authorization: x1, A: x2}}}]",
    );
    let shown = filled(tree.unwrap()).to_string();
    assert!(!shown.contains("x1") && shown.contains("x2"), "{shown}");
}

#[test]
fn the_schema_takes_every_valid_file() {
    let validator = jsonschema::validator_for(&json::schema()).unwrap();
    for (path, text) in files(VALID) {
        let tree = document::parse(&text).unwrap();
        let errors = validator.iter_errors(&tree);
        let errors: Vec<_> = errors
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert_eq!(errors, [""; 0], "{}", path.display());
    }
}

/// Problems of form, which a schema can tell.
const OF_FORM: &[&str] = &[
    "unknown key",
    "must be a mapping, not",
    "must be a list, not",
    "must be true or false, not",
    "must be a string",
    "must be an integer from",
    "is only valid for",
];

#[test]
fn the_schema_refuses_what_is_wrong_in_form() {
    let validator = jsonschema::validator_for(&json::schema()).unwrap();
    let (mut refused, mut missed) = (0, Vec::new());
    for (path, text) in files(&["tests/edge/config/invalid"]) {
        let announced = text
            .lines()
            .map_while(|line| line.strip_prefix("# problem: "));
        // What depends on other keys goes on after it.
        let is_of_form = |line: &str| {
            let message = line.rsplit(": ").next().unwrap_or_default();
            let begins = OF_FORM.iter().any(|words| message.starts_with(words));
            message == "is required" || begins
        };
        let Ok(tree) = document::parse(&text) else {
            continue;
        };
        let of_form = announced.filter(|line| is_of_form(line)).count();
        match validator.is_valid(&tree) {
            false => refused += 1,
            true if of_form > 0 => missed.push(path),
            true => {}
        }
    }
    assert!(refused > 10, "{refused}");
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn the_committed_schema_is_the_one_that_is_printed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/culvert.schema.json");
    let committed = fs::read_to_string(path).unwrap();
    assert!(
        committed == format!("{}\n", text()),
        "culvert schema > conf/culvert.schema.json"
    );
}
