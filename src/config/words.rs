//! The words of a message: a value, some text, a list of names, the key that was probably meant.
//!
//! Everything here is one line and not too long, whatever the file holds.

use serde_json::Value;

/// A value as a message shows it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => quoted(value),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

/// Text as a message shows it: quoted, on one line, not too long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}

/// Whether a text has the name of a variable of the environment, `${NAME}`, as if it stood for its
/// value.
pub(super) fn looks_expanded(text: &str) -> bool {
    let is_name = |name: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !name.is_empty() && name.bytes().all(is_part)
    };
    let mut parts = text.split("${").skip(1);
    parts.any(|part| part.split_once('}').is_some_and(|(name, _)| is_name(name)))
}

/// The known key that an unknown one was probably meant to be.
pub(super) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let key = key.to_ascii_lowercase();
    let distances = known
        .iter()
        .map(|known| (distance(&key, &known.to_ascii_lowercase()), *known));
    let (distance, nearest) = distances.min()?;
    (distance <= (nearest.len() / 3).min(2)).then_some(nearest)
}

/// How many bytes must be put in, left out, changed or swapped with their neighbour to make one of
/// the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = vec![i + 1];
        for j in 0..b.len() {
            let changed = row[j] + usize::from(a[i] != b[j]);
            let mut least = changed.min(next[j] + 1).min(row[j + 1] + 1);
            if i > 0 && j > 0 && (a[i], a[i - 1]) == (b[j - 1], b[j]) {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

/// "no WHAT named NAME", with the known name that was probably meant.
pub(super) fn none_named<'k>(
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> String {
    let known: Vec<_> = known.into_iter().collect();
    let near = nearest(name, &known).map(|near| format!("; did you mean {}?", quoted(near)));
    format!(
        "no {what} named {}{}",
        quoted(name),
        near.unwrap_or_default()
    )
}

/// "A", "A or B", "A, B or C".
pub(super) fn listed(words: &[&str], conjunction: &str) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [words @ .., last] => format!("{} {conjunction} {last}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let table = [
            ("", "", 0),
            ("", "ab", 2),
            ("weight", "weight", 0),
            ("wieght", "weight", 1),
            ("weigth", "weigh", 1),
            ("targets", "target", 1),
            ("conditon", "condition", 1),
            ("chat", "chta", 1),
            ("chat", "tahc", 3),
        ];
        for (a, b, expected) in table {
            assert_eq!(
                (distance(a, b), distance(b, a)),
                (expected, expected),
                "{a} {b}"
            );
        }
    }

    #[test]
    fn names_of_variables() {
        for (text, expected) in [
            ("${PORT}", true),
            ("a-${MY_HOST2}:80", true),
            ("${{A}", false),
            ("$PORT", false),
            ("${a b}", false),
            ("${}", false),
            ("${A", false),
        ] {
            assert_eq!(looks_expanded(text), expected, "{text}");
        }
    }

    #[test]
    fn lists_of_words() {
        assert_eq!(listed(&["A"], "or"), "A");
        assert_eq!(listed(&["A", "B"], "or"), "A or B");
        assert_eq!(listed(&["A", "B", "C"], "and"), "A, B and C");
    }
}
