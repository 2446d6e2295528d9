//! `HOST`: the host is the one value, unless it is empty: that is none.

use super::values::Values;
use crate::config::model;
use crate::rules::comparison::Comparison;
use crate::rules::request::Request;

/// The host, without its port and a dot at its end.
#[derive(Debug)]
pub(super) struct Host(pub(super) Comparison);

impl Values for Host {
    const WORD: &'static str = "HOST";

    fn comparison(&self) -> &Comparison {
        &self.0
    }

    fn values<'r>(&self, request: &Request<'r>) -> impl Iterator<Item = &'r [u8]> {
        Some(request.host())
            .into_iter()
            .filter(|host| !host.is_empty())
    }
}

/// What hosts end with is compared without a dot, as theirs is left out.
pub(super) fn without_last_dot(comparison: &model::Comparison) -> model::Comparison {
    let bare = |text: &String| {
        let name = text.strip_suffix('.').filter(|name| !name.is_empty());
        name.unwrap_or(text).to_owned()
    };
    match comparison {
        model::Comparison::Equals(text) => model::Comparison::Equals(bare(text)),
        model::Comparison::EndsWith(text) => model::Comparison::EndsWith(bare(text)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::request::tests::headers;
    use super::super::tests::{CLIENT, all_hold, matches, matches_ignoring_case, none_holds};
    use super::super::{Condition, Request};
    use crate::config::model;
    use crate::config::model::Comparison::{Contains, EndsWith, Equals, Exists, StartsWith};
    use crate::config::model::Subject::Host;

    #[test]
    fn the_host_is_compared_without_port_and_case() {
        all_hold([
            Host(Exists),
            Host(Contains("EXAMPLE".into())),
            Host(Equals("chat.example.COM".into())),
            Host(matches_ignoring_case(r"^chat\.")),
            Host(StartsWith("cHat".into())),
            Host(EndsWith(".Com".into())),
        ]);
        none_holds([
            Host(Contains(":".into())),
            Host(Equals("chat.example.com:8080".into())),
            Host(matches_ignoring_case("8080$")),
            Host(StartsWith("example".into())),
            Host(EndsWith("8080".into())),
        ]);
    }

    #[test]
    fn a_dot_at_the_end_of_a_host_does_not_count() {
        let conditions = [
            Equals("a.example".into()),
            Equals("A.example.".into()),
            EndsWith(".example".into()),
            EndsWith(".example.".into()),
            matches_ignoring_case("^a\\.example$"),
        ];
        for host in ["a.example", "a.example.", "A.Example.:80"] {
            let headers = headers(&[("Host", host)]);
            let request = Request::new("GET", b"/", &headers, CLIENT.parse().unwrap());
            for comparison in conditions.clone() {
                let condition = model::Condition {
                    subject: Host(comparison),
                    negate: false,
                };
                let built = Condition::build(&condition).unwrap();
                assert!(built.holds(&request), "{condition:?} {host}");
            }
        }
    }

    #[test]
    fn nothing_holds_for_an_empty_host() {
        let headers = headers(&[("Host", "")]);
        let request = Request::new("GET", b"/", &headers, CLIENT.parse().unwrap());
        for comparison in [Exists, Equals(String::new()), matches("")] {
            let condition = model::Condition {
                subject: Host(comparison),
                negate: false,
            };
            assert!(!Condition::build(&condition).unwrap().holds(&request));
        }
    }
}
