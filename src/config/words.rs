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

/// The known key that an unknown one was probably meant to be.
pub(super) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let key = key.to_ascii_lowercase();
    let distances = known
        .iter()
        .map(|known| (distance(&key, &known.to_ascii_lowercase()), *known));
    let (distance, nearest) = distances.min()?;
    (distance <= (nearest.len() / 3).min(2)).then_some(nearest)
}

/// How many bytes must be put in, left out or changed to make one of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
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
            ("wieght", "weight", 2),
            ("weigth", "weigh", 1),
            ("targets", "target", 1),
            ("conditon", "condition", 1),
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
    fn lists_of_words() {
        assert_eq!(listed(&["A"], "or"), "A");
        assert_eq!(listed(&["A", "B"], "or"), "A or B");
        assert_eq!(listed(&["A", "B", "C"], "and"), "A, B and C");
    }
}
