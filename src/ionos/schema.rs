//! What properties an object may have: what is missing is filled in, what is wrong is noted with
//! its path. What a value of Culvert's own may be is checked as in the file, and not here.

use serde_json::{Map, Value, json};

use super::error::Problem;

/// How many characters a name may have.
pub(super) const LONGEST_NAME: usize = 255;

/// A property of an object.
#[derive(Debug)]
pub(super) struct Property {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub shape: Shape,
    /// What becomes of an object without it.
    pub need: Need,
}

/// The properties of a kind of objects, and whether it may have others.
#[derive(Debug)]
pub(super) struct Schema {
    /// Those that are known, in the order in which they are shown.
    pub properties: &'static [Property],
    /// Whether others are passed over: else they are a mistake.
    pub is_open: bool,
}

/// What a property may be.
#[derive(Debug)]
pub(super) enum Shape {
    /// A text.
    Text,
    /// A text of one line that is neither blank nor long: see `LONGEST_NAME`.
    Name,
    /// A whole number of 32 bits.
    Integer,
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    Texts,
    /// An object.
    Object(&'static Schema),
    /// A list of objects.
    Objects(&'static Schema),
    /// One of Culvert's own: checked where it is used.
    Own,
}

/// What becomes of an object without a property.
#[derive(Debug)]
pub(super) enum Need {
    /// It is not valid.
    Required,
    /// Nothing.
    Optional,
    /// It has this text.
    Text(&'static str),
    /// It has this number.
    Number(i32),
    /// It has this flag.
    Flag(bool),
    /// It has an empty list.
    Empty,
    /// It has an object of defaults.
    Defaults,
}

impl Property {
    /// One that must be there.
    pub(super) const fn required(name: &'static str, shape: Shape) -> Self {
        let need = Need::Required;
        Property { name, shape, need }
    }

    /// One that may be absent.
    pub(super) const fn optional(name: &'static str, shape: Shape) -> Self {
        let need = Need::Optional;
        Property { name, shape, need }
    }

    /// A text with a default.
    pub(super) const fn text(name: &'static str, default: &'static str) -> Self {
        let (shape, need) = (Shape::Text, Need::Text(default));
        Property { name, shape, need }
    }

    /// A number with a default.
    pub(super) const fn number(name: &'static str, default: i32) -> Self {
        let (shape, need) = (Shape::Integer, Need::Number(default));
        Property { name, shape, need }
    }

    /// A flag with a default.
    pub(super) const fn flag(name: &'static str, default: bool) -> Self {
        let (shape, need) = (Shape::Flag, Need::Flag(default));
        Property { name, shape, need }
    }

    /// A list of objects that is empty where nothing is said.
    pub(super) const fn list(name: &'static str, schema: &'static Schema) -> Self {
        let (shape, need) = (Shape::Objects(schema), Need::Empty);
        Property { name, shape, need }
    }

    /// One of Culvert's own.
    pub(super) const fn own(name: &'static str) -> Self {
        Property::optional(name, Shape::Own)
    }

    fn default(&self) -> Option<Value> {
        match self.need {
            Need::Required | Need::Optional => None,
            Need::Text(text) => Some(json!(text)),
            Need::Number(number) => Some(json!(number)),
            Need::Flag(flag) => Some(json!(flag)),
            Need::Empty => Some(json!([])),
            Need::Defaults => Some(json!({})),
        }
    }
}

impl Schema {
    /// The property of this name.
    pub(super) fn property(&self, name: &str) -> Option<&'static Property> {
        self.properties
            .iter()
            .find(|property| property.name == name)
    }

    /// An object of this schema, with its defaults and without what is null. What is wrong is noted
    /// below `path`.
    pub(super) fn fill(
        &self,
        given: &Map<String, Value>,
        path: &str,
        problems: &mut Vec<Problem>,
    ) -> Map<String, Value> {
        let mut filled = Map::new();
        for property in self.properties {
            let path = format!("{path}.{}", property.name);
            let given = given.get(property.name).filter(|value| !value.is_null());
            let value = given.cloned().or_else(|| property.default());
            match value {
                Some(value) => {
                    let value = property.shape.fill(value, &path, problems);
                    filled.insert(property.name.to_owned(), value);
                }
                None if matches!(property.need, Need::Required) => {
                    problems.push(Problem::new(path, "is required"));
                }
                None => {}
            }
        }
        if !self.is_open {
            self.refuse_unknown(given, path, problems);
        }
        filled
    }

    fn refuse_unknown(&self, given: &Map<String, Value>, path: &str, problems: &mut Vec<Problem>) {
        for name in given.keys() {
            if self.property(name).is_none() {
                problems.push(Problem::new(format!("{path}.{name}"), "is not known"));
            }
        }
    }
}

impl Shape {
    fn fill(&self, value: Value, path: &str, problems: &mut Vec<Problem>) -> Value {
        let mut wrong = |value: Value, what: &str| {
            problems.push(Problem::new(
                path,
                format!("must be {what}, not {}", shown(&value)),
            ));
            value
        };
        match (self, value) {
            (Shape::Own, value) => value,
            (Shape::Text, Value::String(text)) => text.into(),
            (Shape::Text, value) => wrong(value, "a text"),
            (Shape::Name, Value::String(name)) if is_name(&name) => name.into(),
            (Shape::Name, value) => wrong(
                value,
                "a name of at most 255 characters that is not blank, without control characters",
            ),
            (Shape::Integer, value) => match value.as_i64().map(i32::try_from) {
                Some(Ok(_)) => value,
                Some(Err(_)) | None => wrong(value, "a whole number of 32 bits"),
            },
            (Shape::Flag, Value::Bool(flag)) => flag.into(),
            (Shape::Flag, value) => wrong(value, "true or false"),
            (Shape::Texts, Value::Array(list)) if list.iter().all(Value::is_string) => list.into(),
            (Shape::Texts, value) => wrong(value, "a list of texts"),
            (Shape::Object(schema), Value::Object(object)) => {
                schema.fill(&object, path, problems).into()
            }
            (Shape::Object(_), value) => wrong(value, "an object"),
            (Shape::Objects(schema), Value::Array(list)) => {
                let fill = |(place, value)| {
                    let path = format!("{path}[{place}]");
                    Shape::Object(schema).fill(value, &path, problems)
                };
                Value::Array(list.into_iter().enumerate().map(fill).collect())
            }
            (Shape::Objects(_), value) => wrong(value, "a list of objects"),
        }
    }
}

/// Log, metrics and a terminal show names.
fn is_name(text: &str) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= LONGEST_NAME
        && !text.chars().any(char::is_control)
}

/// A value in few words.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.chars().count() > 60 => {
            let begin: String = text.chars().take(60).collect();
            format!("{:?}…", begin)
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static INNER: Schema = Schema {
        properties: &[
            Property::required("port", Shape::Integer),
            Property::flag("on", true),
            Property::own("extra"),
        ],
        is_open: false,
    };
    static OUTER: Schema = Schema {
        properties: &[
            Property::required("name", Shape::Name),
            Property::text("word", "none"),
            Property::list("inner", &INNER),
            Property::optional("texts", Shape::Texts),
            Property {
                name: "check",
                shape: Shape::Object(&INNER),
                need: Need::Optional,
            },
        ],
        is_open: false,
    };

    fn filled(given: Value) -> (Value, Vec<String>) {
        let mut problems = Vec::new();
        let filled = OUTER.fill(given.as_object().unwrap(), "properties", &mut problems);
        let text = |problem: Problem| format!("{}: {}", problem.path, problem.message);
        (filled.into(), problems.into_iter().map(text).collect())
    }

    #[test]
    fn what_is_missing_or_null_has_its_default() {
        let (filled, problems) = filled(json!({
            "inner": [{"port": 1, "extra": [7]}], "name": "a", "word": null, "texts": null,
        }));
        assert_eq!(problems, [""; 0]);
        let inner = json!([{"port": 1, "on": true, "extra": [7]}]);
        assert_eq!(filled, json!({"name": "a", "word": "none", "inner": inner}));
    }

    #[test]
    fn a_name_is_one_line_and_neither_blank_nor_long() {
        let long = "n".repeat(LONGEST_NAME);
        for (name, is_one) in [
            ("a".to_owned(), true),
            ("größe 1".to_owned(), true),
            (long.clone(), true),
            (long + "n", false),
            ("\t".to_owned(), false),
            ("a\nb".to_owned(), false),
            ("a\u{1b}[2J".to_owned(), false),
            ("a\0".to_owned(), false),
            (String::new(), false),
        ] {
            let (_, problems) = filled(json!({"name": name}));
            assert_eq!(problems.is_empty(), is_one, "{name:?}");
        }
    }

    #[test]
    fn whatever_is_wrong_is_told_with_its_path() {
        let (_, problems) = filled(json!({
            "name": " ", "word": 1, "texts": ["a", 1], "check": [], "Name": 1,
            "inner": [{"port": 80.5}, {"on": "yes", "port": 4_294_967_296_i64}, 3],
        }));
        let expected = [
            "properties.name: must be a name of at most 255 characters that is not blank, without \
             control characters, not \" \"",
            "properties.word: must be a text, not 1",
            "properties.inner[0].port: must be a whole number of 32 bits, not 80.5",
            "properties.inner[1].port: must be a whole number of 32 bits, not 4294967296",
            "properties.inner[1].on: must be true or false, not \"yes\"",
            "properties.inner[2]: must be an object, not 3",
            "properties.texts: must be a list of texts, not a list",
            "properties.check: must be an object, not a list",
            "properties.Name: is not known",
        ];
        assert_eq!(problems, expected);
        let (_, problems) = filled(json!({"inner": [{}]}));
        let expected = [
            "properties.name: is required",
            "properties.inner[0].port: is required",
        ];
        assert_eq!(problems, expected);
    }
}
