//! Values of an object, taken field by field: what is not what it should be is noted with its path,
//! and the reading goes on. A field that is null is a field that is not there.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// What is wrong with an object, or with a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Where in the object: `spec.rules[0].matches[1].path.value`.
    pub path: String,
    /// What: one line.
    pub message: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// What is wrong with what is being read.
#[derive(Debug, Default)]
pub(super) struct Flaws(RefCell<Vec<Flaw>>);

impl Flaws {
    /// As many as say enough.
    const MOST: usize = 20;

    pub(super) fn note(&self, path: &str, message: impl Into<String>) {
        let mut flaws = self.0.borrow_mut();
        if flaws.len() < Self::MOST {
            flaws.push(Flaw {
                path: path.to_owned(),
                message: message.into(),
            });
        }
    }

    pub(super) fn take(&self) -> Vec<Flaw> {
        self.0.take()
    }
}

/// A value and its path.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub(super) value: &'a Value,
    pub(super) path: String,
    pub(super) flaws: &'a Flaws,
}

/// A mapping and its path.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    map: Option<&'a Map<String, Value>>,
    pub(super) path: String,
    pub(super) flaws: &'a Flaws,
}

impl<'a> Node<'a> {
    pub(super) fn flaw<T>(&self, message: impl Into<String>) -> Option<T> {
        self.flaws.note(&self.path, message);
        None
    }

    /// As a mapping; an empty one where it is something else.
    pub(super) fn fields(self) -> Fields<'a> {
        let map = match self.value {
            Value::Object(map) => Some(map),
            _ => self.flaw("must be a mapping"),
        };
        Fields {
            map,
            path: self.path,
            flaws: self.flaws,
        }
    }

    /// As a mapping whose flaws are noted elsewhere.
    pub(super) fn apart(self, flaws: &'a Flaws) -> Fields<'a> {
        Node { flaws, ..self }.fields()
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        match self.value {
            Value::String(text) => Some(text),
            _ => self.flaw("must be a string"),
        }
    }

    pub(super) fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let (least, most) = (*range.start(), *range.end());
        match self.value.as_i64() {
            Some(number) if range.contains(&number) => Some(number),
            _ => self.flaw(format!("must be an integer from {least} to {most}")),
        }
    }

    pub(super) fn port(&self) -> Option<u16> {
        let number = self.integer(1..=65_535)?;
        u16::try_from(number).ok()
    }
}

impl<'a> Fields<'a> {
    /// Those of a whole object.
    pub(super) fn of(value: &'a Value, flaws: &'a Flaws) -> Self {
        Fields {
            map: value.as_object(),
            path: String::new(),
            flaws,
        }
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    pub(super) fn flaw<T>(&self, key: &str, message: impl Into<String>) -> Option<T> {
        self.flaws.note(&self.path_of(key), message);
        None
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.map?.get(key).filter(|value| !value.is_null())
    }

    /// What is there, whatever it is.
    pub(super) fn raw(&self, key: &str) -> Option<&'a Value> {
        self.value(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// The keys of the fields that are there.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> {
        let entries = self.map.into_iter().flatten();
        let there = entries.filter(|(_, value)| !value.is_null());
        there.map(|(key, _)| key.as_str())
    }

    pub(super) fn node(&self, key: &str) -> Option<Node<'a>> {
        Some(Node {
            value: self.value(key)?,
            path: self.path_of(key),
            flaws: self.flaws,
        })
    }

    /// A mapping in this one, if it is there.
    pub(super) fn fields(&self, key: &str) -> Option<Fields<'a>> {
        self.node(key).map(Node::fields)
    }

    /// A mapping in this one that has to be there; an empty one where it is not.
    pub(super) fn required_fields(&self, key: &str) -> Fields<'a> {
        self.fields(key).unwrap_or_else(|| {
            self.flaws.note(&self.path_of(key), "is required");
            Fields {
                map: None,
                path: self.path_of(key),
                flaws: self.flaws,
            }
        })
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.node(key)?.text()
    }

    pub(super) fn required_text(&self, key: &str) -> Option<&'a str> {
        match self.node(key) {
            Some(node) => node.text(),
            None => self.flaw(key, "is required"),
        }
    }

    pub(super) fn integer(&self, key: &str, range: RangeInclusive<i64>) -> Option<i64> {
        self.node(key)?.integer(range)
    }

    pub(super) fn port(&self, key: &str) -> Option<u16> {
        self.node(key)?.port()
    }

    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        let node = self.node(key)?;
        match node.value {
            Value::Bool(value) => Some(*value),
            _ => node.flaw("must be true or false"),
        }
    }

    /// The entries of a list of at most so many; none where there is no list.
    pub(super) fn list(&self, key: &str, most: usize) -> Vec<Node<'a>> {
        let Some(node) = self.node(key) else {
            return Vec::new();
        };
        let Value::Array(entries) = node.value else {
            node.flaws.note(&node.path, "must be a list");
            return Vec::new();
        };
        if entries.len() > most {
            let message = format!("has {} entries; there may be {most}", entries.len());
            node.flaws.note(&node.path, message);
        }
        let entries = entries.iter().take(most).enumerate();
        let nodes = entries.map(|(place, value)| Node {
            value,
            path: format!("{}[{place}]", node.path),
            flaws: self.flaws,
        });
        nodes.collect()
    }

    /// The strings of a list.
    pub(super) fn texts(&self, key: &str, most: usize) -> Vec<&'a str> {
        let entries = self.list(key, most).into_iter();
        entries.filter_map(|node| node.text()).collect()
    }

    /// A mapping of strings.
    pub(super) fn text_map(&self, key: &str) -> Vec<(&'a str, &'a str)> {
        let Some(fields) = self.fields(key) else {
            return Vec::new();
        };
        let keys = fields.keys();
        keys.filter_map(|key| Some((key, fields.text(key)?)))
            .collect()
    }
}
