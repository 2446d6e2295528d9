//! `SERVER_NAME`: the name that the client has asked for in the TLS handshake is the one value.
//! There is none without TLS, and where the client named nobody.

use super::values::Values;
use crate::rules::comparison::Comparison;
use crate::rules::request::Request;

/// The server's name (SNI).
#[derive(Debug)]
pub(super) struct ServerName(pub(super) Comparison);

impl Values for ServerName {
    const WORD: &'static str = "SERVER_NAME";

    fn comparison(&self) -> &Comparison {
        &self.0
    }

    fn values<'r>(&self, request: &Request<'r>) -> impl Iterator<Item = &'r [u8]> {
        request.server_name().into_iter().map(str::as_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::request::tests::headers;
    use super::super::tests::CLIENT;
    use super::super::{Condition, Request};
    use crate::config::model;
    use crate::config::model::Comparison::{EndsWith, Equals, Exists};
    use crate::config::model::Subject::ServerName;

    #[test]
    fn the_name_in_the_handshake_is_compared_and_not_the_host() {
        let headers = headers(&[("Host", "b.example")]);
        let request = Request::new("GET", b"/", &headers, CLIENT.parse().unwrap());
        for (comparison, holds) in [
            (Exists, true),
            (Equals("A.example.".into()), true),
            (EndsWith(".EXAMPLE".into()), true),
            (Equals("b.example".into()), false),
        ] {
            let condition = model::Condition {
                subject: ServerName(comparison),
                negate: false,
            };
            let built = Condition::build(&condition).unwrap();
            let asked = request.in_tls_for(Some("a.example"));
            assert_eq!(built.holds(&asked), holds, "{condition:?}");
            assert!(!built.holds(&request.in_tls_for(None)), "{condition:?}");
        }
    }
}
