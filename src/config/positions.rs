//! Where in a text the paths of problems are: line and column, and the names of what is on the way.
//!
//! A second parser goes through the text, event by event, and keeps nothing but what is asked for;
//! it runs only where there is something to say. What is not in the text (a key that is missing,
//! what an alias stands for) is where the nearest thing above it is.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, Span};

use super::model::Parts;
use super::problem::{Position, Problem};
use super::words::quoted;

/// A text, and what messages call its file.
pub(super) struct Text {
    pub(super) name: Arc<str>,
    pub(super) text: String,
}

impl Text {
    pub(super) fn named(name: &str, text: String) -> Self {
        let name = name.into();
        Text { name, text }
    }
}

/// Gives problems their positions and names. The first text is the one that includes the others;
/// what these have been put in is told by `parts`.
pub(super) fn locate(problems: &mut [Problem], texts: &[Text], parts: &Parts) {
    let of_file = |file: &Arc<str>| texts.iter().position(|text| text.name == *file);
    let own = |path: &str| match parts.own(path) {
        Some((file, path)) => of_file(file).map(|text| (text, path)),
        None => Some((0, path.to_owned())),
    };
    let places: Vec<_> = problems
        .iter()
        .map(|problem| match &problem.file {
            Some(file) => (of_file(file).map(|text| (text, problem.path.clone())), None),
            None => (own(&problem.path), problem.other.as_deref().and_then(own)),
        })
        .collect();
    let mut wanted: Vec<_> = texts.iter().map(|_| Wanted::new()).collect();
    for (text, path) in places
        .iter()
        .flat_map(|(place, other)| place.iter().chain(other))
    {
        wanted[*text].add(path);
    }
    for (wanted, text) in wanted.iter_mut().zip(texts) {
        wanted.find_in(&text.text);
    }
    for (problem, (place, other)) in problems.iter_mut().zip(places) {
        let Some((text, path)) = place else {
            continue;
        };
        let (shown, position) = wanted[text].found(&path, problem.is_of_key);
        problem.path = shown;
        problem.position = problem.position.or(position);
        problem.file = (text > 0).then(|| Arc::clone(&texts[text].name));
        if let Some((other, path)) = other {
            let (shown, position) = wanted[other].found(&path, false);
            let file = (other != text).then(|| &*texts[other].name);
            problem.end_with(&shown, file, position);
        }
    }
}

/// Where a text's second document begins.
pub(super) fn second_document(text: &str) -> Option<Position> {
    let starts = Parser::new_from_str(text).map_while(Result::ok);
    let mut starts = starts.filter(|(event, _)| matches!(event, Event::DocumentStart(..)));
    starts.nth(1).map(|(_, span)| position(&span))
}

/// A step of a path, as the path has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    /// A key; one that is not plain is in brackets and quotes: `["a b"]`.
    Key(String),
    Index(usize),
}

/// Keys and indices that are looked for, as a tree.
struct Wanted(Vec<Place>);

#[derive(Default)]
struct Place {
    above: usize,
    below: HashMap<Step, usize>,
    is_entry: bool,
    name: Option<String>,
    key: Option<Position>,
    value: Option<Position>,
}

/// A list or mapping that has not ended yet, with its place if it is wanted.
struct Frame {
    place: Option<usize>,
    next: Next,
}

/// What comes next in it.
enum Next {
    Entry(usize),
    Key,
    Value { place: Option<usize>, is_name: bool },
}

impl Wanted {
    fn new() -> Self {
        Wanted(vec![Place::default()])
    }

    fn add(&mut self, path: &str) {
        let last = steps(path)
            .into_iter()
            .fold(0, |at, (step, _)| self.below(at, step));
        debug_assert!(last < self.0.len());
    }

    /// The place of a step, which is wanted from now on.
    fn below(&mut self, above: usize, step: Step) -> usize {
        let new = self.0.len();
        let is_entry = matches!(step, Step::Index(_));
        let place = *self.0[above].below.entry(step).or_insert(new);
        if place == new {
            let place = Place {
                above,
                is_entry,
                ..Place::default()
            };
            self.0.push(place);
        }
        place
    }

    /// Goes through the text, up to where it is no YAML.
    fn find_in(&mut self, text: &str) {
        let mut frames: Vec<Frame> = Vec::new();
        for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
            match event {
                Event::Scalar(scalar, ..) => self.scalar(&mut frames, &scalar, &span),
                Event::Alias(_) => self.scalar(&mut frames, "", &span),
                Event::SequenceStart(..) => self.begin(&mut frames, Next::Entry(0), &span),
                Event::MappingStart(..) => self.begin(&mut frames, Next::Key, &span),
                Event::SequenceEnd | Event::MappingEnd => {
                    frames.pop();
                    if let Some(Frame { next, .. }) = frames.last_mut() {
                        *next = next.after(None);
                    }
                }
                // Another document is none of ours.
                Event::DocumentEnd => return,
                _ => {}
            }
        }
    }

    fn begin(&mut self, frames: &mut Vec<Frame>, next: Next, span: &Span) {
        let place = match frames.last() {
            None => Some(0),
            Some(frame) => self.of_value(frame),
        };
        // Something below a key is looked for there, what is in a list where its entry begins.
        if let Some(place) = place
            .map(|place| &mut self.0[place])
            .filter(|place| place.is_entry)
        {
            place.value = Some(position(span));
        }
        frames.push(Frame { place, next });
    }

    fn scalar(&mut self, frames: &mut [Frame], text: &str, span: &Span) {
        let Some(frame) = frames.last_mut() else {
            return;
        };
        if matches!(frame.next, Next::Key) {
            let place = frame.place.and_then(|above| self.of_key(above, text));
            if let Some(place) = place {
                self.0[place].key = Some(position(span));
            }
            let is_name = text == "name";
            frame.next = Next::Value { place, is_name };
            return;
        }
        let is_empty = span.is_empty();
        if let Some(place) = self.of_value(frame).filter(|_| !is_empty) {
            self.0[place].value = Some(position(span));
        }
        if let (Some(place), Next::Value { is_name: true, .. }) = (frame.place, &frame.next) {
            self.call(place, text);
        }
        frame.next = frame.next.after(None);
    }

    /// What an entry of a list, or what is wrapped in it as `properties`, is called.
    fn call(&mut self, place: usize, name: &str) {
        let above = self.0[place].above;
        let wrapped = Step::Key("properties".to_owned());
        let is_wrapped = self.0[above].below.get(&wrapped) == Some(&place);
        let entry = if is_wrapped { above } else { place };
        let entry = &mut self.0[entry];
        if entry.is_entry && entry.name.is_none() {
            entry.name = Some(name.to_owned());
        }
    }

    fn of_key(&mut self, above: usize, key: &str) -> Option<usize> {
        if key == "properties" && self.0[above].is_entry {
            // Its name is in there.
            return Some(self.below(above, Step::Key(key.to_owned())));
        }
        let below = &self.0[above].below;
        let found = below.get(&Step::Key(key.to_owned()));
        let found = found.or_else(|| below.get(&Step::Key(format!("[{}]", quoted(key)))));
        found.copied()
    }

    fn of_value(&self, frame: &Frame) -> Option<usize> {
        match &frame.next {
            Next::Entry(index) => self.0[frame.place?]
                .below
                .get(&Step::Index(*index))
                .copied(),
            Next::Value { place, .. } => *place,
            Next::Key => None,
        }
    }

    /// How a path is shown, and where it is.
    fn found(&self, path: &str, is_of_key: bool) -> (String, Option<Position>) {
        let (mut shown, mut nearest, mut at) = (String::new(), None, Some(0));
        let mut has_name = false;
        for (step, text) in steps(path) {
            let place = at.and_then(|at| self.0[at].below.get(&step).copied());
            at = place;
            shown.push_str(match &step {
                _ if has_name => ": ",
                Step::Key(key) if !key.starts_with('[') && !shown.is_empty() => ".",
                Step::Key(_) | Step::Index(_) => "",
            });
            shown.push_str(text);
            let Some(place) = place.map(|place| &self.0[place]) else {
                continue;
            };
            has_name = place.name.is_some();
            if let Some(name) = &place.name {
                shown.push_str(&format!(" {}", quoted(name)));
            }
            let here = if is_of_key {
                place.key.or(place.value)
            } else {
                place.value.or(place.key)
            };
            nearest = here.or(nearest);
        }
        (shown, nearest)
    }
}

impl Next {
    /// What comes after this.
    fn after(&self, place: Option<usize>) -> Self {
        match self {
            Next::Entry(index) => Next::Entry(index + 1),
            // The key was a list or a mapping.
            Next::Key => Next::Value {
                place,
                is_name: false,
            },
            Next::Value { .. } => Next::Key,
        }
    }
}

fn position(span: &Span) -> Position {
    Position {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

/// The steps of a path, each with its text.
fn steps(path: &str) -> Vec<(Step, &str)> {
    let (mut steps, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        let end = match rest.strip_prefix('[') {
            Some(inner) if inner.starts_with('"') => end_of_quoted(inner) + 2,
            Some(inner) => inner.find(']').map_or(rest.len(), |end| end + 2),
            None => rest.find(['.', '[']).unwrap_or(rest.len()),
        };
        let (text, after) = rest.split_at(end.min(rest.len()));
        let inner = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let index = inner.and_then(|inner| inner.parse().ok());
        let key = || Step::Key(text.to_owned());
        steps.push((index.map_or_else(key, Step::Index), text));
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    steps
}

/// How long a text in quotes is, with both.
fn end_of_quoted(text: &str) -> usize {
    let mut is_escaped = false;
    for (place, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, path: &str) -> (String, Option<Position>) {
        let mut wanted = Wanted::new();
        wanted.add(path);
        wanted.find_in(text);
        wanted.found(path, false)
    }

    const FILE: &str = "\u{feff}server: {threads: 2}   # ä
forwardingRules:
  - name: public
    listenerIp:
    httpRules:
      - {name: first, type: STATIC}
      - type: FORWARD
        \"a b\": 1
        targetGroup: chta
        name: chat
  - properties:
      httpRules: &rules
        - type: STATIC
      name: edge
  - *rules
certificates:
- [1, {name: inner}]
- ? [1]
  : 2
  name: odd
";

    #[test]
    fn a_path_is_found_with_the_names_on_its_way() {
        for (path, shown, position) in [
            ("server.threads", "server.threads", "1:19"),
            ("server", "server", "1:1"),
            ("forwardingRules", "forwardingRules", "2:1"),
            ("forwardingRules[0]", "forwardingRules[0] \"public\"", "3:5"),
            (
                "forwardingRules[0].listenerIp",
                "forwardingRules[0] \"public\": listenerIp",
                "4:5",
            ),
            (
                "forwardingRules[0].httpRules[1].targetGroup",
                "forwardingRules[0] \"public\": httpRules[1] \"chat\": targetGroup",
                "9:22",
            ),
            (
                "forwardingRules[0].httpRules[1][\"a b\"]",
                "forwardingRules[0] \"public\": httpRules[1] \"chat\": [\"a b\"]",
                "8:16",
            ),
            (
                "forwardingRules[0].httpRules[0].responseMessage",
                "forwardingRules[0] \"public\": httpRules[0] \"first\": responseMessage",
                "6:9",
            ),
            (
                "forwardingRules[1].properties.httpRules[0].name",
                "forwardingRules[1] \"edge\": properties.httpRules[0].name",
                "13:11",
            ),
            ("forwardingRules[1]", "forwardingRules[1] \"edge\"", "11:5"),
            ("forwardingRules[2].name", "forwardingRules[2].name", "15:5"),
            (
                "certificates[0][1].key",
                "certificates[0][1] \"inner\": key",
                "17:7",
            ),
            (
                "certificates[1].name",
                "certificates[1] \"odd\": name",
                "20:9",
            ),
            ("targetGroups[0].name", "targetGroups[0].name", ""),
        ] {
            let (text, position_found) = found(FILE, path);
            let found = position_found.map_or_else(String::new, |found| found.to_string());
            assert_eq!((text.as_str(), found.as_str()), (shown, position), "{path}");
        }
    }

    #[test]
    fn a_key_is_where_it_is_and_another_place_is_told_by_its_line() {
        let mut problem = Problem::new(
            "forwardingRules[0].httpRules[1].name",
            "duplicate name, also at forwardingRules[0].httpRules[0].name",
        );
        problem.is_of_key = true;
        problem.other = Some("forwardingRules[0].httpRules[0].name".to_owned());
        let (name, text) = ("a".into(), FILE.to_owned());
        locate(
            std::slice::from_mut(&mut problem),
            &[Text { name, text }],
            &Parts::default(),
        );
        assert_eq!(
            problem.line("a"),
            "a:10:9: forwardingRules[0] \"public\": httpRules[1] \"chat\": name: duplicate name, \
             also at forwardingRules[0] \"public\": httpRules[0] \"first\": name (line 6)"
        );
    }

    #[test]
    fn what_is_no_yaml_is_searched_up_to_there() {
        let (_, first) = found("a: 1\nb: ]\nc: 2", "a");
        assert_eq!(first.map(|first| first.line), Some(1));
        // There is a limit on how deep it looks.
        found(&"[".repeat(1 << 20), "[0][0]");
        for path in [
            "[",
            "]",
            "[\"",
            "[\"\\",
            "a[",
            "..",
            "a.[1",
            "[18446744073709551616]",
        ] {
            found("a: 1", path);
        }
    }

    #[test]
    fn a_second_document_is_found() {
        let found = second_document("a: 1\n---\nb: 1").map(|found| found.to_string());
        assert_eq!(found.as_deref(), Some("2:1"));
        assert_eq!(second_document("---\na: 1"), None);
    }
}
