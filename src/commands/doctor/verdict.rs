//! What a check finds: a verdict, what was seen, and what to do about it.

use serde::Serialize;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It serves, but not for long, or not for many.
    Warning,
    /// Something does not work.
    Wrong,
    /// It cannot be told here.
    Unknown,
}

/// What a check has found.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    pub(super) check: &'static str,
    /// What was seen.
    pub(super) seen: String,
    /// What to do; empty where nothing is.
    pub(super) what_to_do: String,
}

impl Finding {
    pub(super) fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Finding::new(Verdict::Ok, check, seen, "")
    }

    pub(super) fn new(
        verdict: Verdict,
        check: &'static str,
        seen: impl Into<String>,
        what_to_do: impl Into<String>,
    ) -> Self {
        Finding {
            verdict,
            check,
            seen: seen.into(),
            what_to_do: what_to_do.into(),
        }
    }
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Wrong => "WRONG",
            Verdict::Unknown => "?",
        }
    }
}
