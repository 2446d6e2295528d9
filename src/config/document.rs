//! From text to a value tree: the only place that knows YAML.
//!
//! JSON is YAML, so both are read here. What a tree cannot say is refused on the spot, with line
//! and column: a key that occurs twice in its mapping, a tag, a number that is not finite, several
//! documents. Keys are taken as they are written, even where they look like numbers. Aliases and
//! merge keys (`<<: *base`) are expanded, within a limit on the tree's size.

use std::cell::Cell;
use std::fmt;
use std::net::Ipv6Addr;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::positions;
use super::problem::{Position, Problem};
use super::words::looks_expanded;

/// The key whose mappings are put in the place of it.
const MERGE: &str = "<<";

/// How large a tree may get: every value costs its bytes of text and this much.
const COST_OF_A_VALUE: usize = 16;
/// Far more than a file of the permitted size needs that says something.
const LARGEST_TREE: usize = 128 << 20;

/// The tree of a text that holds one YAML document; null if it is empty. The error is one line.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    read(text).map_err(|error| error.to_string().replace('\n', " "))
}

/// The same, with a problem at its place instead.
pub(super) fn tree(text: &str) -> Result<Value, Problem> {
    read(text).map_err(|error| problem(text, &error))
}

fn read(text: &str) -> serde_yaml::Result<Value> {
    let left = Cell::new(LARGEST_TREE);
    Tree { left: &left }.deserialize(serde_yaml::Deserializer::from_str(text))
}

fn problem(text: &str, error: &serde_yaml::Error) -> Problem {
    const SEVERAL: &str = "more than one document";
    let told = error.to_string().replace('\n', " ");
    if told.contains(SEVERAL) {
        let mut problem = Problem::new("", "has more than one document: --- begins another");
        problem.position = positions::second_document(text);
        return problem;
    }
    let position = error.location().map(|at| Position {
        line: at.line(),
        column: at.column(),
    });
    let at = position.map(|Position { line, column }| format!(" at line {line} column {column}"));
    let told = at.map_or(told.clone(), |at| told.replacen(&at, "", 1));
    let (path, message) = match told.split_once(": ") {
        Some((path, message)) if !path.contains([' ', '"']) => (path, message),
        _ => ("", told.as_str()),
    };
    let line = position.and_then(|at| text.lines().nth(at.line.saturating_sub(1)));
    let hint = line.map_or_else(String::new, hint);
    let mut problem = Problem::new(path, format!("{message}{hint}"));
    problem.position = position;
    problem
}

/// What may be wrong with a line that is no YAML.
fn hint(line: &str) -> String {
    match unquoted_address(line) {
        Some(address) => format!("; an IPv6 address needs quotes: \"{address}\""),
        None if looks_expanded(line) => "; nothing is expanded here: ${…} needs quotes".to_owned(),
        None => String::new(),
    }
}

/// An IPv6 address that stands in a line without quotes: some are no YAML.
fn unquoted_address(line: &str) -> Option<&str> {
    let mut words = line.split(|letter: char| letter.is_whitespace() || "{}[],".contains(letter));
    words.find(|word| word.parse::<Ipv6Addr>().is_ok())
}

/// Reads one value and all below it, spending what is left of the tree's size.
#[derive(Clone, Copy)]
struct Tree<'a> {
    left: &'a Cell<usize>,
}

impl Tree<'_> {
    fn spend<E: Error>(self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(COST_OF_A_VALUE + bytes);
        self.left
            .set(left.ok_or_else(|| E::custom("too many values, with all aliases expanded"))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.spend(0)?;
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.spend(0)?;
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.spend(0)?;
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.spend(0)?;
        Ok(value.into())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.spend(0)?;
        let number = serde_json::Number::from_f64(value);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.spend(value.len())?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.spend(0)?;
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element_seed(self)? {
            list.push(entry);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.spend(0)?;
        let mut mapping = Map::new();
        while let Some(key) = entries.next_key_seed(NewKey { mapping: &mapping })? {
            self.spend(key.len())?;
            let value = entries.next_value_seed(self)?;
            mapping.insert(key, value);
        }
        if let Some(merged) = mapping.shift_remove(MERGE) {
            merge(merged, &mut mapping).map_err(A::Error::custom)?;
        }
        Ok(Value::Object(mapping))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(A::Error::custom("tags are not supported"))
    }
}

/// Adds the keys of a mapping, or of those of a list, that are not there yet.
fn merge(merged: Value, into: &mut Map<String, Value>) -> Result<(), &'static str> {
    const WRONG: &str = "<<: must be a mapping, or a list of mappings";
    let all = match merged {
        Value::Array(all) => all,
        one => vec![one],
    };
    for one in all {
        let Value::Object(one) = one else {
            return Err(WRONG);
        };
        for (key, value) in one {
            into.entry(key).or_insert(value);
        }
    }
    Ok(())
}

/// Reads a key that the mapping does not have yet.
struct NewKey<'a> {
    mapping: &'a Map<String, Value>,
}

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewKey<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string as key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        if self.mapping.contains_key(key) {
            return Err(E::custom(format_args!("duplicate key {key:?}")));
        }
        Ok(key.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_and_json_become_the_same_tree() {
        let table = [
            ("", json!(null)),
            ("# nothing\n", json!(null)),
            ("~", json!(null)),
            ("\u{feff}a: 1", json!({"a": 1})),
            (
                "{\"a\":\t[1, \"b\", null],\r\n\t\"c\": false}",
                json!({"a": [1, "b", null], "c": false}),
            ),
            (
                "a:\n- 1\n- b\n-\nc: false",
                json!({"a": [1, "b", null], "c": false}),
            ),
            (
                "1: x\n~: y\ntrue: z",
                json!({"1": "x", "~": "y", "true": "z"}),
            ),
            ("a: &a [1]\nb: *a", json!({"a": [1], "b": [1]})),
            (
                "a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a, z: 4}",
                json!({"a": {"x": 1, "y": 2}, "b": {"y": 3, "z": 4, "x": 1}}),
            ),
            (
                "b: {<<: [{x: 1}, {x: 2, y: 3}]}",
                json!({"b": {"x": 1, "y": 3}}),
            ),
            ("!!str 1", json!("1")),
            (
                "123456789012345678901234567890",
                json!(123456789012345678901234567890_f64),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_a_tree_cannot_say_is_refused_with_its_place() {
        let table = [
            (
                "a: 1\nb: {c: 1, c: 2}",
                "b: duplicate key \"c\" at line 2 column 11",
            ),
            ("1: x\n\"1\": y", "duplicate key \"1\" at line 2 column 1"),
            ("a: .nan", "a: a number must be finite at line 1 column 4"),
            ("a: -.inf", "a: a number must be finite at line 1 column 4"),
            ("a: !x 1", "a: tags are not supported at line 1 column 4"),
            (
                "? [1]\n: 2",
                "invalid type: sequence, expected a string as key at line 1 column 3",
            ),
            (
                "? {a: 1}\n: 2",
                "invalid type: map, expected a string as key at line 1 column 3",
            ),
            ("a: *b", "unknown anchor at line 1 column 4"),
            ("a: &a [*a]", "recursion limit exceeded at line 1 column 4"),
            (
                "a: b: c",
                "mapping values are not allowed in this context at line 1 column 5",
            ),
            ("a: \0", "control characters are not allowed at position 3"),
            (
                "a: 1\n---\nb: 1",
                "deserializing from YAML containing more than one document is not supported",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn aliases_cannot_fill_the_memory() {
        let long = "x".repeat(1 << 20);
        let text = format!("a: &a {long}\nb: [{}]", "*a, ".repeat(1000));
        let error = parse(&text).unwrap_err();
        assert!(
            error.contains("too many values, with all aliases expanded"),
            "{error}"
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let error = parse(&"[".repeat(1000)).unwrap_err();
        assert!(!error.is_empty());
        let text = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        assert!(
            parse(&text)
                .unwrap_err()
                .starts_with("recursion limit exceeded")
        );
    }
}
