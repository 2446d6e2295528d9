//! `PATH`: the path, as it was sent and without the query, is the one value.

use super::values::Values;
use crate::rules::comparison::Comparison;
use crate::rules::request::Request;

/// The path.
#[derive(Debug)]
pub(super) struct Path(pub(super) Comparison);

impl Values for Path {
    const WORD: &'static str = "PATH";

    fn comparison(&self) -> &Comparison {
        &self.0
    }

    fn values<'r>(&self, request: &Request<'r>) -> impl Iterator<Item = &'r [u8]> {
        std::iter::once(request.path())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{all_hold, matches, none_holds};
    use crate::config::model::Comparison::{Contains, EndsWith, Equals, Exists, StartsWith};
    use crate::config::model::Subject::Path;

    #[test]
    fn the_path_is_compared_raw_and_without_the_query() {
        all_hold([
            Path(Exists),
            Path(Contains("%20".into())),
            Path(Equals("/Rooms/blue%20room".into())),
            Path(matches("^/Rooms/[^/]+$")),
            Path(StartsWith("/Rooms/".into())),
            Path(EndsWith("room".into())),
        ]);
        none_holds([
            Path(Contains("blue room".into())),
            Path(Equals("/Rooms/blue%20room?room=blue".into())),
            Path(matches("Green")),
            Path(StartsWith("/rooms/".into())),
            Path(EndsWith("flag".into())),
        ]);
    }
}
