//! `HEADER`: each line of a header of this name is a value. `Connection` and `Upgrade` are lists of
//! tokens, which browsers fill differently: each token is a value of its own.

use http::HeaderName;

use super::values::Values;
use crate::rules::comparison::Comparison;
use crate::rules::request::Request;

/// A header.
#[derive(Debug)]
pub(super) struct Header(HeaderName, Comparison);

/// A header whose value is a list.
#[derive(Debug)]
pub(super) struct TokenList(HeaderName, Comparison);

impl Header {
    /// An error is a key that cannot be a header's name.
    pub(super) fn build(key: &str, comparison: Comparison) -> Result<Self, String> {
        Ok(Header(header_name(key)?, comparison))
    }
}

impl TokenList {
    /// An error is a key that cannot be a header's name.
    pub(super) fn build(key: &str, comparison: Comparison) -> Result<Self, String> {
        Ok(TokenList(header_name(key)?, comparison))
    }
}

fn header_name(key: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(key.as_bytes()).map_err(|_| key.to_owned())
}

impl Values for Header {
    const WORD: &'static str = "HEADER";

    fn key(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn comparison(&self) -> &Comparison {
        &self.1
    }

    fn values<'r>(&self, request: &Request<'r>) -> impl Iterator<Item = &'r [u8]> {
        request.header_lines(&self.0)
    }
}

impl Values for TokenList {
    const WORD: &'static str = "HEADER";

    fn key(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn comparison(&self) -> &Comparison {
        &self.1
    }

    fn values<'r>(&self, request: &Request<'r>) -> impl Iterator<Item = &'r [u8]> {
        request.header_tokens(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{all_hold, matches, matches_ignoring_case, none_holds};
    use crate::config::model::Comparison::{Contains, EndsWith, Equals, Exists, StartsWith};
    use crate::config::model::Subject::Header;

    #[test]
    fn a_header_is_compared_line_by_line_with_case() {
        let room = |comparison| Header("X-ROOM".into(), comparison);
        all_hold([
            room(Exists),
            room(Contains("lu".into())),
            room(Equals("blue".into())),
            room(Equals("green, Red".into())),
            room(matches("^gr.*d$")),
            room(StartsWith("green".into())),
            room(EndsWith("Red".into())),
            Header("X-Empty".into(), Exists),
            Header("X-Empty".into(), Equals(String::new())),
        ]);
        none_holds([
            Header("X-Missing".into(), Exists),
            Header("X-Missing".into(), Equals(String::new())),
            room(Contains("LU".into())),
            room(Equals("green".into())),
            room(matches("^Gr")),
            room(StartsWith("Red".into())),
            room(EndsWith("red".into())),
        ]);
    }

    #[test]
    fn connection_is_compared_token_by_token_without_case() {
        let connection = |comparison| Header("Connection".into(), comparison);
        all_hold([
            connection(Exists),
            connection(Contains("GRAD".into())),
            connection(Equals("upgrade".into())),
            connection(Equals("KEEP-alive".into())),
            connection(Equals("x-other".into())),
            connection(matches_ignoring_case("^up.*e$")),
            connection(StartsWith("UP".into())),
            connection(EndsWith("Alive".into())),
        ]);
        none_holds([
            Header("Upgrade".into(), Exists),
            Header("Upgrade".into(), Equals(String::new())),
            connection(Contains("alive, up".into())),
            connection(Equals("close".into())),
            connection(matches_ignoring_case("alive.*upgrade")),
            connection(StartsWith("alive".into())),
            connection(EndsWith("keep".into())),
        ]);
    }
}
