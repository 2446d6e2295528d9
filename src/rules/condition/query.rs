//! `QUERY`: each parameter of this name in the query has a value.

use super::values::Values;
use crate::rules::comparison::Comparison;
use crate::rules::request::Request;

/// A parameter of the query.
#[derive(Debug)]
pub(super) struct Query {
    key: Box<[u8]>,
    comparison: Comparison,
}

impl Query {
    /// The one of this name.
    pub(super) fn new(key: &str, comparison: Comparison) -> Self {
        let key = key.as_bytes().into();
        Query { key, comparison }
    }
}

impl Values for Query {
    const WORD: &'static str = "QUERY";

    fn key(&self) -> Option<String> {
        Some(String::from_utf8_lossy(&self.key).into_owned())
    }

    fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    fn values<'r>(&self, request: &Request<'r>) -> impl Iterator<Item = &'r [u8]> {
        request.parameters(&self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{all_hold, matches, none_holds};
    use crate::config::model::Comparison::{Contains, EndsWith, Equals, Exists, StartsWith};
    use crate::config::model::Subject::Query;

    #[test]
    fn a_parameter_is_compared_raw_at_every_occurrence() {
        let room = |comparison| Query("room".into(), comparison);
        all_hold([
            room(Exists),
            room(Contains("ree".into())),
            room(Equals("blue".into())),
            room(Equals("Green".into())),
            room(matches("^[a-z]+$")),
            room(StartsWith("Gr".into())),
            room(EndsWith("ue".into())),
            Query("token".into(), Equals(String::new())),
            Query("flag".into(), Equals(String::new())),
        ]);
        none_holds([
            Query("Room".into(), Exists),
            room(Contains("blue&".into())),
            room(Equals("green".into())),
            room(matches("[0-9]")),
            room(StartsWith("gr".into())),
            room(EndsWith("UE".into())),
        ]);
    }
}
