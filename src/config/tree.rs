//! A value tree read key by key, where what is wrong is noted with its path and the reading goes
//! on.
//!
//! A reader returns `None` only after it has noted a problem, so a caller reads all its keys first
//! and only then combines them with `?`: that is how a file's problems are all reported together. A
//! key whose value is null counts as absent. What a single value may be (a port, a name, a
//! duration) is in `scalar`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::model::Blocks;
use super::problem::Problem;
use super::words::{looks_expanded, nearest, quoted, shown};

/// What has been noted so far, in the order of reading.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    /// What files have that may be named more than once.
    blocks: RefCell<HashMap<PathBuf, Arc<Blocks>>>,
    seen: RefCell<Vec<Seen>>,
}

/// What is accepted at a place, keys or words; noted in tests alone.
#[derive(Debug, Clone)]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests ask for it"))]
pub(super) struct Seen {
    pub(super) place: String,
    pub(super) keys: Vec<String>,
    pub(super) is_words: bool,
}

impl Findings {
    /// The problems and the warnings.
    pub(super) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.problems.into_inner(), self.warnings.into_inner())
    }
}

/// A value and its place.
pub(super) struct Node<'a> {
    pub(super) value: &'a Value,
    path: String,
    findings: &'a Findings,
}

impl<'a> Node<'a> {
    /// The top of a file.
    pub(super) fn top(value: &'a Value, findings: &'a Findings) -> Self {
        Node::at(value, "", findings)
    }

    /// A value of this place.
    pub(super) fn at(value: &'a Value, place: &str, findings: &'a Findings) -> Self {
        Node {
            value,
            path: place.to_owned(),
            findings,
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Notes a problem with this value. Always `None`, to be returned.
    pub(super) fn problem<T>(&self, message: impl Into<String>) -> Option<T> {
        note(&self.findings.problems, &self.path, message.into());
        None
    }

    /// The same, with a message that ends with the path of another place.
    pub(super) fn problem_beside<T>(&self, message: &str, other: &str) -> Option<T> {
        note_beside(self.findings, &self.path, message, other);
        None
    }

    /// Notes that this value is not what it must be.
    pub(super) fn wrong<T>(&self, expected: &str) -> Option<T> {
        self.wrong_but(expected, "")
    }

    /// The same, with what may have been meant.
    pub(super) fn wrong_but<T>(&self, expected: &str, hint: &str) -> Option<T> {
        let hint = match self.value.as_str().is_some_and(looks_expanded) {
            true => "; nothing is expanded here, write the value itself",
            false => hint,
        };
        self.problem(format!(
            "must be {expected}, not {}{hint}",
            shown(self.value)
        ))
    }

    /// Notes something that is allowed but hardly meant.
    pub(super) fn warning(&self, message: impl Into<String>) {
        note(&self.findings.warnings, &self.path, message.into());
    }

    /// Notes something that is hardly meant of a key of this mapping.
    pub(super) fn warning_of(&self, key: &str, message: impl Into<String>) {
        let path = format!("{}.{key}", self.path);
        note(&self.findings.warnings, &path, message.into());
    }

    /// The blocks of a file: what was read of it before, if it was.
    pub(super) fn in_common(
        &self,
        file: &Path,
        read: impl FnOnce() -> Option<Arc<Blocks>>,
    ) -> Option<Arc<Blocks>> {
        let known = self.findings.blocks.borrow().get(file).cloned();
        let blocks = known.or_else(read)?;
        let mut all = self.findings.blocks.borrow_mut();
        all.insert(file.to_owned(), Arc::clone(&blocks));
        Some(blocks)
    }

    /// Notes what is accepted here, in tests.
    pub(super) fn accepts<'k>(&self, keys: impl FnOnce() -> Vec<&'k str>, is_words: bool) {
        if cfg!(test) {
            self.findings.seen.borrow_mut().push(Seen {
                place: self.path.clone(),
                keys: keys().into_iter().map(str::to_owned).collect(),
                is_words,
            });
        }
    }

    /// A mapping with some of the keys `known`.
    pub(super) fn mapping(&self, known: &[&str]) -> Option<Mapping<'a>> {
        let Value::Object(entries) = self.value else {
            return self.wrong("a mapping");
        };
        let mapping = Mapping {
            entries: Some(entries),
            path: self.path.clone(),
            findings: self.findings,
        };
        self.accepts(|| known.to_vec(), false);
        mapping.refuse_unknown(known);
        Some(mapping)
    }

    /// The entries of a list.
    pub(super) fn entries(&self) -> Option<Vec<Node<'a>>> {
        let Value::Array(entries) = self.value else {
            return self.wrong("a list");
        };
        let node = |(index, value)| Node {
            value,
            path: format!("{}[{index}]", self.path),
            findings: self.findings,
        };
        Some(entries.iter().enumerate().map(node).collect())
    }

    /// The values of a mapping whose keys are names of the file's own, with these.
    pub(super) fn named_entries(&self) -> Option<Vec<(&'a str, Node<'a>)>> {
        let Value::Object(entries) = self.value else {
            return self.wrong("a mapping");
        };
        let node = |(name, value): (&'a String, &'a Value)| {
            let path = format!("{}[{}]", self.path, quoted(name));
            let findings = self.findings;
            let node = Node {
                value,
                path,
                findings,
            };
            (name.as_str(), node)
        };
        Some(entries.iter().map(node).collect())
    }

    /// A list, each entry read by `read`: all of them, even when one has problems.
    pub(super) fn each<T>(&self, read: impl FnMut(Node<'a>) -> Option<T>) -> Option<Vec<T>> {
        let entries: Vec<Option<T>> = self.entries()?.into_iter().map(read).collect();
        entries.into_iter().collect()
    }

    /// A mapping whose keys may be any words, each entry read by `read`: all of them, even when one
    /// has problems.
    pub(super) fn each_key<T>(
        &self,
        mut read: impl FnMut(&str, Node<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::Object(entries) = self.value else {
            return self.wrong("a mapping");
        };
        let keys: Vec<&str> = entries.keys().map(String::as_str).collect();
        let mapping = self.mapping(&keys)?;
        let node = |(key, value)| Node {
            value,
            path: mapping.path_of(key),
            findings: self.findings,
        };
        let entries = entries.iter();
        let read: Vec<Option<T>> = entries
            .map(|(key, value)| read(key, node((key, value))))
            .collect();
        read.into_iter().collect()
    }

    /// An entry that may be wrapped in the key `properties`, as in IONOS' API.
    pub(super) fn unwrapped(self) -> Option<Node<'a>> {
        match self.value.get("properties") {
            Some(value) => {
                let path = self.mapping(&["properties"])?.path_of("properties");
                Some(Node {
                    value,
                    path,
                    ..self
                })
            }
            None => Some(self),
        }
    }
}

/// A mapping and its place. One that is absent has no keys.
pub(super) struct Mapping<'a> {
    entries: Option<&'a Map<String, Value>>,
    path: String,
    findings: &'a Findings,
}

impl<'a> Mapping<'a> {
    /// The value of a key, unless it is null or absent.
    pub(super) fn get(&self, key: &str) -> Option<Node<'a>> {
        let value = self.entries?.get(key).filter(|value| !value.is_null())?;
        Some(Node {
            value,
            path: self.path_of(key),
            findings: self.findings,
        })
    }

    /// Its place.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// A key that must be there.
    pub(super) fn required<T>(
        &self,
        key: &str,
        read: impl FnOnce(&Node<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.get(key) {
            Some(node) => read(&node),
            None => self.problem(key, "is required"),
        }
    }

    /// A key with a default.
    pub(super) fn or<T>(
        &self,
        key: &str,
        default: T,
        read: impl FnOnce(&Node<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.get(key) {
            Some(node) => read(&node),
            None => Some(default),
        }
    }

    /// A key with a mapping whose keys all have defaults.
    pub(super) fn section(&self, key: &str, known: &[&str]) -> Option<Mapping<'a>> {
        let absent = Mapping {
            entries: None,
            path: self.path_of(key),
            findings: self.findings,
        };
        self.or(key, absent, |node| node.mapping(known))
    }

    /// A key that must not be there.
    pub(super) fn forbidden(&self, key: &str, why: &str) {
        if let Some(node) = self.get(key) {
            node.problem::<()>(why);
        }
    }

    /// Notes a problem with a key, there or not. Always `None`, to be returned.
    pub(super) fn problem<T>(&self, key: &str, message: impl Into<String>) -> Option<T> {
        note(&self.findings.problems, &self.path_of(key), message.into());
        None
    }

    /// The same, with a message that ends with the path of another place.
    pub(super) fn problem_beside<T>(&self, key: &str, message: &str, other: &str) -> Option<T> {
        note_beside(self.findings, &self.path_of(key), message, other);
        None
    }

    /// Notes a warning about a key, there or not.
    pub(super) fn warning(&self, key: &str, message: impl Into<String>) {
        note(&self.findings.warnings, &self.path_of(key), message.into());
    }

    fn refuse_unknown(&self, known: &[&str]) {
        for key in self.entries.iter().flat_map(|entries| entries.keys()) {
            if known.contains(&key.as_str()) {
                continue;
            }
            let hint = nearest(key, known).map(|near| format!(" (did you mean {near:?}?)"));
            let message = format!("unknown key{}", hint.unwrap_or_default());
            let mut problem = Problem::new(self.path_of(key), message);
            problem.is_of_key = true;
            self.findings.problems.borrow_mut().push(problem);
        }
    }

    fn path_of(&self, key: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        match (
            key.is_empty() || !key.chars().all(plain),
            self.path.is_empty(),
        ) {
            (true, _) => format!("{}[{}]", self.path, quoted(key)),
            (false, true) => key.to_owned(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }
}

fn note(list: &RefCell<Vec<Problem>>, path: &str, message: String) {
    list.borrow_mut().push(Problem::new(path, message));
}

fn note_beside(findings: &Findings, path: &str, message: &str, other: &str) {
    let mut problem = Problem::new(path, format!("{message} {other}"));
    problem.other = Some(other.to_owned());
    findings.problems.borrow_mut().push(problem);
}

#[cfg(test)]
impl Findings {
    /// What is accepted where.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(value: Value, read: impl FnOnce(&Node)) -> Vec<String> {
        let findings = Findings::default();
        read(&Node::top(&value, &findings));
        let (problems, _) = findings.into_parts();
        problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn unknown_keys_are_named_with_the_nearest_known_one() {
        let value = json!({"listener_ip": 1, "Name": 1, "ip": 1, "": 1, "a\nb": 1, "1.5": 1});
        let found = problems(value, |node| {
            node.mapping(&["listenerIp", "name", "port"]);
        });
        let expected = [
            "listener_ip: unknown key (did you mean \"listenerIp\"?)",
            "Name: unknown key (did you mean \"name\"?)",
            "ip: unknown key",
            "[\"\"]: unknown key",
            "[\"a\\nb\"]: unknown key",
            "[\"1.5\"]: unknown key",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_wrong_kind_is_shown_on_one_short_line() {
        let table = [
            (json!(null), "must be a mapping, not null"),
            (json!(true), "must be a mapping, not true"),
            (json!(-1.5), "must be a mapping, not -1.5"),
            (
                json!("a\n\"b\""),
                "must be a mapping, not \"a\\n\\\"b\\\"\"",
            ),
            (json!([1]), "must be a mapping, not a list"),
        ];
        for (value, expected) in table {
            assert_eq!(problems(value, |node| drop(node.mapping(&[]))), [expected]);
        }
        let long = json!("ä".repeat(1000));
        let found = problems(long, |node| drop(node.mapping(&[])));
        assert!(found[0].chars().count() < 100, "{found:?}");
    }

    #[test]
    fn every_entry_of_a_list_is_read() {
        let found = problems(json!([1, {}, null, [], {}]), |node| {
            assert!(node.each(|entry| entry.mapping(&[])).is_none());
        });
        let expected = [
            "[0]: must be a mapping, not 1",
            "[2]: must be a mapping, not null",
            "[3]: must be a mapping, not a list",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn null_counts_as_absent() {
        let found = problems(json!({"a": null}), |node| {
            let mapping = node.mapping(&["a"]).unwrap();
            assert!(mapping.get("a").is_none());
            assert_eq!(mapping.or("a", 1, |_| None), Some(1));
            mapping.forbidden("a", "must not be there");
            mapping.required("a", |_| Some(()));
        });
        assert_eq!(found, ["a: is required"]);
    }
}
