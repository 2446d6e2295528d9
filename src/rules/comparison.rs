//! How one value compares with what the configuration says: one kind, one line.
//!
//! Where the values come from is the work of `condition`. Whether case counts belongs to the
//! subject, so it is settled when a comparison is built.

use regex::bytes::Regex;

use crate::config::model;

/// A comparison, ready to be held against values.
#[derive(Debug)]
pub(super) enum Comparison {
    Exists,
    Contains(Text),
    Equals(Text),
    Matches(Regex),
    StartsWith(Text),
    EndsWith(Text),
    Under(Text),
}

/// What is known in advance of the values for which a comparison holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fixed<T> {
    /// It is this.
    Whole(T),
    /// It begins with this, or ends with it.
    Part(T),
    Nothing,
}

/// A configured text.
#[derive(Debug)]
pub(super) struct Text {
    bytes: Box<[u8]>,
    ignores_case: bool,
}

impl Comparison {
    /// An expression already ignores case where it should: the configuration compiled it so.
    pub(super) fn build(comparison: &model::Comparison, ignores_case: bool) -> Self {
        let text = |value: &String| Text {
            bytes: value.as_bytes().into(),
            ignores_case,
        };
        match comparison {
            model::Comparison::Exists => Self::Exists,
            model::Comparison::Contains(value) => Self::Contains(text(value)),
            model::Comparison::Equals(value) => Self::Equals(text(value)),
            model::Comparison::Matches(expression) => Self::Matches(expression.clone()),
            model::Comparison::StartsWith(value) => Self::StartsWith(text(value)),
            model::Comparison::EndsWith(value) => Self::EndsWith(text(value)),
            model::Comparison::Under(value) => Self::Under(Text {
                bytes: model::without_last_slash(value).as_bytes().into(),
                ignores_case,
            }),
        }
    }

    /// Its word in the configuration.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Exists => "EXISTS",
            Self::Contains(_) => "CONTAINS",
            Self::Equals(_) => "EQUALS",
            Self::Matches(_) => "MATCHES",
            Self::StartsWith(_) => "STARTS_WITH",
            Self::EndsWith(_) => "ENDS_WITH",
            Self::Under(_) => "UNDER",
        }
    }

    /// What values are compared with.
    pub(super) fn value(&self) -> Option<String> {
        match self {
            Self::Exists => None,
            Self::Matches(expression) => Some(expression.to_string()),
            Self::Contains(text)
            | Self::Equals(text)
            | Self::StartsWith(text)
            | Self::EndsWith(text) => Some(String::from_utf8_lossy(&text.bytes).into_owned()),
            Self::Under(text) if text.bytes.is_empty() => Some("/".to_owned()),
            Self::Under(text) => Some(String::from_utf8_lossy(&text.bytes).into_owned()),
        }
    }

    /// Whether the comparison holds for a value that is there.
    pub(super) fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Exists => true,
            Self::Contains(text) => text.is_within(value),
            Self::Equals(text) => text.is(value),
            Self::Matches(expression) => expression.is_match(value),
            Self::StartsWith(text) => text.begins(value),
            Self::EndsWith(text) => text.ends(value),
            Self::Under(text) => text.is_above(value),
        }
    }

    /// With what every value begins for which it holds.
    pub(super) fn start(&self) -> Fixed<&[u8]> {
        match self {
            Self::Equals(text) => Fixed::Whole(&text.bytes),
            Self::StartsWith(text) | Self::Under(text) => Fixed::Part(&text.bytes),
            Self::Exists | Self::Contains(_) | Self::Matches(_) | Self::EndsWith(_) => {
                Fixed::Nothing
            }
        }
    }

    /// With what every value ends for which it holds.
    pub(super) fn end(&self) -> Fixed<&[u8]> {
        match self {
            Self::Equals(text) => Fixed::Whole(&text.bytes),
            Self::EndsWith(text) => Fixed::Part(&text.bytes),
            Self::Exists
            | Self::Contains(_)
            | Self::Matches(_)
            | Self::StartsWith(_)
            | Self::Under(_) => Fixed::Nothing,
        }
    }
}

impl<T> Fixed<T> {
    /// With what is made of the text.
    pub(super) fn map<U>(self, make: impl FnOnce(T) -> U) -> Fixed<U> {
        match self {
            Self::Whole(text) => Fixed::Whole(make(text)),
            Self::Part(text) => Fixed::Part(make(text)),
            Self::Nothing => Fixed::Nothing,
        }
    }
}

impl Fixed<&[u8]> {
    /// How many bytes are known.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Whole(text) | Self::Part(text) => text.len(),
            Self::Nothing => 0,
        }
    }
}

impl Text {
    fn is(&self, value: &[u8]) -> bool {
        if self.ignores_case {
            value.eq_ignore_ascii_case(&self.bytes)
        } else {
            value == &*self.bytes
        }
    }

    fn is_within(&self, value: &[u8]) -> bool {
        // There are no windows of no width.
        self.bytes.is_empty()
            || value
                .windows(self.bytes.len())
                .any(|window| self.is(window))
    }

    fn begins(&self, value: &[u8]) -> bool {
        value
            .get(..self.bytes.len())
            .is_some_and(|start| self.is(start))
    }

    /// Segment by segment.
    fn is_above(&self, path: &[u8]) -> bool {
        let rest = path.get(self.bytes.len()..).filter(|_| self.begins(path));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    fn ends(&self, value: &[u8]) -> bool {
        value
            .len()
            .checked_sub(self.bytes.len())
            .is_some_and(|rest| self.is(&value[rest..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE_COUNTS: bool = false;
    const IGNORING_CASE: bool = true;

    #[test]
    fn each_comparison_with_and_without_case() {
        use model::Comparison::{Contains, EndsWith, Equals, Exists, StartsWith};
        for (comparison, ignores_case, holds_for, not_for) in [
            (Exists, CASE_COUNTS, &["", "a"][..], &[][..]),
            (
                Contains("bc".into()),
                CASE_COUNTS,
                &["bc", "abcd", "bbc"],
                &["", "b", "aBCd", "b c"],
            ),
            (
                Contains("bC".into()),
                IGNORING_CASE,
                &["bc", "aBcd", "BBC"],
                &["", "b", "b c"],
            ),
            (
                Equals("ab".into()),
                CASE_COUNTS,
                &["ab"],
                &["", "a", "abc", "AB"],
            ),
            (
                Equals("aB".into()),
                IGNORING_CASE,
                &["ab", "AB"],
                &["", "a", "abc"],
            ),
            (
                StartsWith("ab".into()),
                CASE_COUNTS,
                &["ab", "abc"],
                &["", "a", "cab", "Abc"],
            ),
            (
                StartsWith("aB".into()),
                IGNORING_CASE,
                &["ab", "ABc"],
                &["", "a", "cab"],
            ),
            (
                EndsWith("ab".into()),
                CASE_COUNTS,
                &["ab", "cab"],
                &["", "b", "abc", "caB"],
            ),
            (
                EndsWith("aB".into()),
                IGNORING_CASE,
                &["ab", "cAb"],
                &["", "b", "abc"],
            ),
            (Contains("ö".into()), IGNORING_CASE, &["schön"], &["SCHÖN"]),
        ] {
            let built = Comparison::build(&comparison, ignores_case);
            for value in holds_for {
                assert!(built.holds(value.as_bytes()), "{comparison:?} {value:?}");
            }
            for value in not_for {
                assert!(!built.holds(value.as_bytes()), "{comparison:?} {value:?}");
            }
        }
    }

    #[test]
    fn under_a_path_is_what_has_its_segments() {
        let under =
            |value: &str| Comparison::build(&model::Comparison::Under(value.into()), CASE_COUNTS);
        for value in ["/abc", "/abc/"] {
            let built = under(value);
            assert_eq!(built.value().as_deref(), Some("/abc"));
            for path in ["/abc", "/abc/", "/abc/d", "/abc//"] {
                assert!(built.holds(path.as_bytes()), "{value} {path}");
            }
            for path in ["/", "/ab", "/abcd", "/ABC", "/d/abc", "*", ""] {
                assert!(!built.holds(path.as_bytes()), "{value} {path}");
            }
        }
        let root = under("/");
        assert!(root.holds(b"/") && root.holds(b"/a") && !root.holds(b"*"));
        assert_eq!(root.value().as_deref(), Some("/"));
    }

    #[test]
    fn an_expression_is_found_anywhere_in_bytes_that_need_not_be_text() {
        let expression = Regex::new("b+c$").unwrap();
        let built = Comparison::build(&model::Comparison::Matches(expression), CASE_COUNTS);
        assert!(built.holds(b"\xff abbc"));
        assert!(!built.holds(b"abbcd"));
    }

    #[test]
    fn the_empty_text_equals_only_itself_and_is_in_everything() {
        use model::Comparison::{Contains, EndsWith, Equals, StartsWith};
        for (comparison, holds) in [
            (Contains(String::new()), true),
            (StartsWith(String::new()), true),
            (EndsWith(String::new()), true),
            (Equals(String::new()), false),
        ] {
            let built = Comparison::build(&comparison, CASE_COUNTS);
            assert!(built.holds(b""), "{comparison:?}");
            assert_eq!(built.holds(b"a"), holds, "{comparison:?}");
        }
    }
}
