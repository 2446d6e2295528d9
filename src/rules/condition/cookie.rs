//! `COOKIE`: each cookie of this name has a value, over all Cookie lines.

use super::values::Values;
use crate::rules::comparison::Comparison;
use crate::rules::request::Request;

/// A cookie.
#[derive(Debug)]
pub(super) struct Cookie {
    key: Box<[u8]>,
    comparison: Comparison,
}

impl Cookie {
    /// The one of this name.
    pub(super) fn new(key: &str, comparison: Comparison) -> Self {
        let key = key.as_bytes().into();
        Cookie { key, comparison }
    }
}

impl Values for Cookie {
    const WORD: &'static str = "COOKIE";

    fn key(&self) -> Option<String> {
        Some(String::from_utf8_lossy(&self.key).into_owned())
    }

    fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    fn values<'r>(&self, request: &Request<'r>) -> impl Iterator<Item = &'r [u8]> {
        request.cookies(&self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{all_hold, matches, none_holds};
    use crate::config::model::Comparison::{Contains, EndsWith, Equals, Exists, StartsWith};
    use crate::config::model::Subject::Cookie;

    #[test]
    fn a_cookie_is_compared_raw_over_all_lines() {
        let id = |comparison| Cookie("id".into(), comparison);
        all_hold([
            id(Exists),
            id(Contains("c1".into())),
            id(Equals("abc123".into())),
            id(Equals("xyz789".into())),
            id(matches("^[a-c]+[0-9]+$")),
            id(StartsWith("xyz".into())),
            id(EndsWith("789".into())),
        ]);
        none_holds([
            Cookie("ID".into(), Exists),
            id(Contains("theme".into())),
            id(Equals("ABC123".into())),
            id(matches(";")),
            id(StartsWith("id".into())),
            id(EndsWith("Dark".into())),
        ]);
    }
}
