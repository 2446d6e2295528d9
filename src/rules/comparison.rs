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
