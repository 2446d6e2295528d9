//! The documents of a text: YAML, JSON, several of them, lists of objects.

use serde_json::Value;

use crate::config::document;
use crate::gateway::objects::{NotRead, Object, Place};

/// A document and the line on which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Document<'a> {
    /// Where its text begins, from 1.
    pub(super) first_line: usize,
    /// Where something stands in it.
    pub(super) line: usize,
    pub(super) text: &'a str,
}

/// The documents of a text that say something. What begins a document begins a line with three
/// dashes, wherever it stands (YAML 1.2 section 9.1).
pub(super) fn documents(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut first_line, mut at) = (0, 1, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let is_mark = |mark: &str| {
            let rest = line.strip_prefix(mark);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        };
        if is_mark("---") && !is_bare(&text[start..at]) {
            documents.extend(document(&text[start..at], first_line));
            (start, first_line) = (at, number + 1);
        }
        at += line.len();
        if is_mark("...") {
            documents.extend(document(&text[start..at], first_line));
            (start, first_line) = (at, number + 2);
        }
    }
    documents.extend(document(&text[start..], first_line));
    documents
}

/// Whether nothing but comments, blanks and directives is there: they belong to what follows.
fn is_bare(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with('#') || line.starts_with('%'))
}

fn document(text: &str, first_line: usize) -> Option<Document<'_>> {
    let says = |line: &&str| {
        let line = line.trim();
        let line = line.strip_prefix("---").unwrap_or(line).trim();
        !line.is_empty() && !line.starts_with(['#', '%']) && line != "..."
    };
    let place = text.lines().position(|line| says(&line))?;
    Some(Document {
        first_line,
        line: first_line + place,
        text,
    })
}

/// An object, or why there is none; each with its place.
pub(super) enum Found {
    Object(Object),
    /// It is of a kind that is not read here.
    Other(Place, String),
    Problem(Place, String),
}

/// The objects of a document: one, or those of a list.
pub(super) fn objects(file: &str, document: &Document) -> Vec<Found> {
    let place = Place {
        file: file.into(),
        line: document.line,
        item: None,
    };
    match document::parse(document.text) {
        Ok(Value::Null) => Vec::new(),
        Ok(value) => match list(&value) {
            Some(items) => {
                let items = items.iter().enumerate();
                let of = |(item, value)| {
                    let item = Some(item);
                    object(
                        value,
                        Place {
                            item,
                            ..place.clone()
                        },
                    )
                };
                items.map(of).collect()
            }
            None => vec![object(&value, place)],
        },
        Err(error) => vec![Found::Problem(
            place,
            moved(&error, document.first_line - 1),
        )],
    }
}

/// The entries of a `List`, a `GatewayList` and the like.
fn list(value: &Value) -> Option<&Vec<Value>> {
    let is_list = value.get("kind")?.as_str()?.ends_with("List");
    value.get("items")?.as_array().filter(|_| is_list)
}

fn object(value: &Value, place: Place) -> Found {
    match Object::read(value, place.clone()) {
        Ok(object) => Found::Object(object),
        Err(NotRead::Other(kind)) => Found::Other(place, kind),
        Err(NotRead::Broken(flaw)) => Found::Problem(place, flaw.to_string()),
    }
}

/// An error whose line counts from the beginning of the file.
fn moved(error: &str, by: usize) -> String {
    const AT: &str = " at line ";
    let moved = error.rsplit_once(AT).and_then(|(before, after)| {
        let end = after.find(|letter: char| !letter.is_ascii_digit())?;
        let (line, rest) = after.split_at(end);
        let line: usize = line.parse().ok()?;
        Some(format!("{before}{AT}{}{rest}", line + by))
    });
    moved.unwrap_or_else(|| error.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let found = documents(text);
        let found = found
            .iter()
            .flat_map(|document| objects("a.yaml", document));
        let told = found.map(|found| match found {
            Found::Object(object) => {
                let meta = object.meta();
                format!("{}: {} {}", meta.place, object.kind().as_str(), meta.name)
            }
            Found::Other(place, kind) => format!("{place}: other {kind}"),
            Found::Problem(place, message) => format!("{place}: {message}"),
        });
        told.collect()
    }

    #[test]
    fn each_document_is_read_with_its_line() {
        let text = "# routes\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n\n\
                    # nothing\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: b\n...\n\
                    {\"apiVersion\": \"v1\", \"kind\": \"Service\",
                    \"metadata\": {\"name\": \"c\"}}\n";
        assert_eq!(
            told(text),
            [
                "a.yaml:3: Namespace a",
                "a.yaml:10: Namespace b",
                "a.yaml:15: Service default/c"
            ]
        );
    }

    #[test]
    fn a_list_is_its_items_and_what_is_no_object_hides_no_other() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, \
                    metadata: {name: a}}\n- {kind: Namespace}\n- 7\n- {apiVersion: apps/v1, kind: \
                    Deployment, metadata: {name: a}}\n- {apiVersion: v1, kind: Secret, metadata: \
                    {name: a, namespace: b}}\n";
        assert_eq!(
            told(text),
            [
                "a.yaml:1: items[0]: Namespace a",
                "a.yaml:1: items[1]: apiVersion: is required: a string",
                "a.yaml:1: items[2]: apiVersion: is required: a string",
                "a.yaml:1: items[3]: other apps/Deployment",
                "a.yaml:1: items[4]: Secret b/a",
            ]
        );
    }

    #[test]
    fn a_document_that_is_no_yaml_hides_no_other_and_its_error_has_the_line_of_the_file() {
        let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\na: b: c\n---\n\
                    apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n";
        assert_eq!(
            told(text),
            [
                "a.yaml:1: Namespace a",
                "a.yaml:5: mapping values are not allowed in this context at line 5 column 5",
                "a.yaml:7: Namespace b"
            ]
        );
    }

    #[test]
    fn three_dashes_within_a_line_begin_nothing() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  ca.crt: |\n    \
                    -----BEGIN\n    ---\n";
        assert_eq!(told(text), ["a.yaml:1: ConfigMap default/a"]);
    }
}
