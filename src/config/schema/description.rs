//! `keys.yaml`, read: the objects of a file and their keys.

use std::sync::LazyLock;

use serde_json::{Map, Value};

static OBJECTS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    // It is part of the program, and a test reads it.
    serde_yaml::from_str(include_str!("keys.yaml")).unwrap_or_default()
});

/// A key of an object.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// What its value is.
    pub(super) kind: Kind,
    default: &'static Value,
    /// What it means.
    pub(super) meaning: &'static str,
    /// With which types of its object it is valid; with all where there are none.
    pub(super) of_types: Vec<&'static str>,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of these, with `|` between them.
    Words(&'static str),
    /// A list of these.
    List(&'static str),
    /// A mapping with names of the file's own.
    Mapping(&'static str),
    Object(Object),
    /// An integer from, and to.
    Integer(&'static str, &'static str),
    /// Another word of `keys.yaml`.
    Plain(&'static str),
}

/// An object with keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) name: &'static str,
    /// Whether it may be wrapped in `properties`.
    pub(super) may_be_wrapped: bool,
    /// Whether what it does not say has the defaults.
    pub(super) has_defaults: bool,
}

impl Object {
    /// The whole file.
    pub(super) const FILE: Object = Object {
        name: "file",
        may_be_wrapped: false,
        has_defaults: true,
    };

    pub(super) fn keys(self) -> Vec<Key> {
        keys(self.name)
    }
}

/// The names of all objects.
pub(super) fn objects() -> impl Iterator<Item = &'static str> {
    OBJECTS.keys().map(String::as_str)
}

/// The keys of an object.
pub(super) fn keys(object: &str) -> Vec<Key> {
    let keys = OBJECTS.get(object).and_then(Value::as_object);
    let keys = keys.into_iter().flatten();
    keys.map(|(name, row)| {
        let text = |place: usize| row[place].as_str().unwrap_or_default();
        let types = text(3).split('|').filter(|word| !word.is_empty());
        Key {
            name,
            kind: Kind::of(text(0)),
            default: &row[1],
            meaning: text(2),
            of_types: types.collect(),
        }
    })
    .collect()
}

impl Key {
    pub(super) fn is_required(&self) -> bool {
        self.default == "required"
    }

    /// What holds where it is absent from an object of this type.
    pub(super) fn default_of(&self, of_type: Option<&str>) -> Option<&'static Value> {
        let is_by_type = !matches!(self.kind, Kind::Object(_) | Kind::Mapping(_));
        match self.default {
            Value::Null => None,
            Value::Object(by_type) if is_by_type => by_type.get(of_type?),
            _ if self.is_required() => None,
            default => Some(default),
        }
    }

    /// What holds in every object.
    pub(super) fn default(&self) -> Option<&'static Value> {
        self.default_of(None)
    }

    /// Whether it is valid in an object of this type.
    pub(super) fn is_valid_in(&self, of_type: Option<&str>) -> bool {
        self.of_types.is_empty() || of_type.is_some_and(|it| self.of_types.contains(&it))
    }
}

impl Kind {
    pub(super) fn of(text: &'static str) -> Self {
        let within = |open, close| text.strip_prefix(open)?.strip_suffix(close);
        let object = |sign, may_be_wrapped, has_defaults| {
            text.strip_prefix(sign).map(|name| Object {
                name,
                may_be_wrapped,
                has_defaults,
            })
        };
        let object = object('@', false, true)
            .or_else(|| object('%', true, true))
            .or_else(|| object('~', false, false));
        if let Some(object) = object {
            return Kind::Object(object);
        }
        if let Some(item) = within('[', ']') {
            return Kind::List(item);
        }
        if let Some(item) = within('{', '}') {
            return Kind::Mapping(item);
        }
        match text
            .strip_prefix("integer ")
            .and_then(|bounds| bounds.split_once(' '))
        {
            Some((low, high)) => Kind::Integer(low, high),
            None if text.contains('|') => Kind::Words(text),
            None => Kind::Plain(text),
        }
    }

    /// The words that it may be.
    pub(super) fn words(self) -> Vec<&'static str> {
        match self {
            Kind::Words(words) => words.split('|').collect(),
            _ => Vec::new(),
        }
    }
}
