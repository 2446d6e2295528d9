//! `METHOD`: the method is the one value.

use super::values::Values;
use crate::rules::comparison::Comparison;
use crate::rules::request::Request;

/// The method.
#[derive(Debug)]
pub(super) struct Method(pub(super) Comparison);

impl Values for Method {
    const WORD: &'static str = "METHOD";

    fn comparison(&self) -> &Comparison {
        &self.0
    }

    fn values<'r>(&self, request: &Request<'r>) -> impl Iterator<Item = &'r [u8]> {
        std::iter::once(request.method().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{all_hold, matches, none_holds};
    use crate::config::model::Comparison::{Contains, EndsWith, Equals, Exists, StartsWith};
    use crate::config::model::Subject::Method;

    #[test]
    fn the_method_is_compared_with_case() {
        all_hold([
            Method(Exists),
            Method(Contains("E".into())),
            Method(Equals("GET".into())),
            Method(matches("^(GET|HEAD)$")),
            Method(StartsWith("G".into())),
            Method(EndsWith("T".into())),
        ]);
        none_holds([
            Method(Contains("e".into())),
            Method(Equals("get".into())),
            Method(matches("POST")),
            Method(StartsWith("P".into())),
            Method(EndsWith("t".into())),
        ]);
    }
}
