//! The regular expression of `MATCHES`, compiled while the file is read, and its errors on one
//! line.
//!
//! Expressions run in linear time (crate regex): no look-around, no back-references. They are
//! matched on bytes, with Unicode classes.

use regex::Error;
use regex::bytes::{Regex, RegexBuilder};

/// How much memory one compiled expression may take.
const LARGEST_PROGRAM: usize = 1 << 20;

/// The compiled expression, or what is wrong with it.
pub(super) fn compile(pattern: &str, ignores_case: bool) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .case_insensitive(ignores_case)
        .size_limit(LARGEST_PROGRAM)
        .build()
        .map_err(|error| match error {
            Error::Syntax(report) => on_one_line(&report),
            Error::CompiledTooBig(_) => "is too large: over 1 MiB when compiled".to_owned(),
            other => format!("is not an expression: {other}").replace('\n', " "),
        })
}

/// The reason and, for a pattern of one line, the place from the parser's report, which draws a
/// caret below the pattern.
fn on_one_line(report: &str) -> String {
    const INDENT: usize = 4;
    let reason = report.lines().find_map(|line| line.strip_prefix("error: "));
    let reason = reason.unwrap_or("no reason given");
    let caret = report
        .lines()
        .nth(2)
        .filter(|line| line.trim_start().starts_with('^'));
    match caret.and_then(|line| line.find('^')) {
        Some(column) => format!(
            "is not an expression: at character {}: {reason}",
            column + 1 - INDENT
        ),
        None => format!("is not an expression: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_the_place() {
        let table = [
            (
                "a(b",
                "is not an expression: at character 2: unclosed group",
            ),
            (
                "äö(b",
                "is not an expression: at character 3: unclosed group",
            ),
            (
                "[z-a]",
                "is not an expression: at character 2: \
                 invalid character class range, the start must be <= the end",
            ),
            (
                "(?=a)",
                "is not an expression: at character 1: \
                 look-around, including look-ahead and look-behind, is not supported",
            ),
            ("a\n(b", "is not an expression: unclosed group"),
            ("x{1000}{1000}", "is too large: over 1 MiB when compiled"),
        ];
        for (pattern, expected) in table {
            assert_eq!(compile(pattern, false).unwrap_err(), expected, "{pattern}");
        }
        let deep = compile(&"(".repeat(10_000), false).unwrap_err();
        assert!(
            !deep.contains('\n') && deep.starts_with("is not an expression: "),
            "{deep}"
        );
    }

    #[test]
    fn case_is_ignored_on_request() {
        assert!(compile("^web", true).unwrap().is_match(b"WebSocket"));
        assert!(!compile("^web", false).unwrap().is_match(b"WebSocket"));
    }
}
