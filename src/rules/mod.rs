//! The HTTP rules of a forwarding rule: which of them a request meets, and what that one does.
//!
//! [`Rules`] are built once from the checked configuration and then only read. `find` allocates
//! nothing and knows no session: a [`Request`] borrows what conditions look at from the parsed
//! head. Carrying an action out is the work of `proxy`. `STATIC` and `REDIRECT` rules come before
//! all `FORWARD` rules, whatever order they were written in, unless their source has put all in
//! order.

mod action;
mod comparison;
mod condition;
mod cors;
mod index;
mod new_path;
mod origins;
mod redirect;
mod request;
mod rule;
mod subprotocols;

pub use self::action::{Action, Response, Static};
pub use self::condition::Explained;
pub use self::cors::{CORS_HEADERS, Cors, Told};
pub use self::new_path::NewPath;
pub use self::origins::Origins;
pub use self::redirect::Redirect;
pub use self::request::{Request, origin_form};
pub use self::rule::Rule;
pub use self::subprotocols::{Offer, Subprotocols};

use std::borrow::Borrow;

use self::index::Index;
use crate::config::model;

/// The HTTP rules of one forwarding rule, in the order of their evaluation; `G` is what `FORWARD`
/// leads to.
#[derive(Debug)]
pub struct Rules<G> {
    rules: Vec<Rule<G>>,
    /// Where to find one, where there are many.
    index: Option<Index>,
}

impl<G> Rules<G> {
    /// These rules in the order of their evaluation, as long as their source has put none.
    pub fn ordered<R: Borrow<model::HttpRule>>(rules: &[R]) -> Vec<&R> {
        let mut ordered: Vec<_> = rules.iter().collect();
        ordered.sort_by_key(|rule| matches!((*rule).borrow().action, model::Action::Forward(_)));
        ordered
    }

    /// Builds the rules; `group` is where a `FORWARD` rule leads to, if its target group is there.
    ///
    /// An error is the configured word that cannot be used: the name of an unknown target group, or
    /// text that has no place in a header. The configuration has been checked for these, so none is
    /// expected.
    pub fn build<R: Borrow<model::HttpRule>>(
        rules: &[R],
        group: impl Fn(&model::Forward) -> Option<G>,
    ) -> Result<Self, String> {
        let ordered = Self::ordered(rules).into_iter();
        Self::in_order(ordered.map(R::borrow), group)
    }

    /// As [`Rules::build`], of rules that are in the order of their evaluation.
    pub fn build_sorted<R: Borrow<model::HttpRule>>(
        rules: &[R],
        group: impl Fn(&model::Forward) -> Option<G>,
    ) -> Result<Self, String> {
        Self::in_order(rules.iter().map(R::borrow), group)
    }

    fn in_order<'r>(
        rules: impl IntoIterator<Item = &'r model::HttpRule>,
        group: impl Fn(&model::Forward) -> Option<G>,
    ) -> Result<Self, String> {
        let rules = rules.into_iter().enumerate();
        let rules = rules.map(|(index, rule)| Rule::build(index, rule, &group));
        let rules: Vec<_> = rules.collect::<Result<_, _>>()?;
        let index = Index::build(&rules);
        Ok(Self { rules, index })
    }

    /// The first rule whose conditions all hold.
    pub fn find(&self, request: &Request<'_>) -> Option<&Rule<G>> {
        let Some(index) = &self.index else {
            return self.rules.iter().find(|rule| rule.matches(request));
        };
        let place = index.find(request, |place| self.rules[place].matches(request));
        place.map(|place| &self.rules[place])
    }

    /// The rule at this place in the order of evaluation.
    pub fn at(&self, place: usize) -> Option<&Rule<G>> {
        self.rules.get(place)
    }

    /// All rules, in the order of their evaluation.
    pub fn iter(&self) -> impl Iterator<Item = &Rule<G>> {
        self.rules.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use http::HeaderMap;

    use super::request::tests::headers;
    use super::*;
    use crate::config::model::{Comparison, HttpRule, Subject};
    use crate::config::template::Template;

    const CHROME: &[(&str, &str)] = &[
        ("Host", "chat.example.com"),
        ("Connection", "Upgrade"),
        ("Pragma", "no-cache"),
        ("Cache-Control", "no-cache"),
        ("Upgrade", "websocket"),
        ("Origin", "https://chat.example.com"),
        ("Sec-WebSocket-Version", "13"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        (
            "Sec-WebSocket-Extensions",
            "permessage-deflate; client_max_window_bits",
        ),
    ];

    const FIREFOX: &[(&str, &str)] = &[
        ("Host", "chat.example.com"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Sec-WebSocket-Version", "13"),
        ("Origin", "https://chat.example.com"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Connection", "keep-alive, Upgrade"),
        ("Pragma", "no-cache"),
        ("Cache-Control", "no-cache"),
        ("Upgrade", "websocket"),
    ];

    fn forward(name: &str, subjects: Vec<Subject>) -> HttpRule {
        let action = model::Action::Forward(model::Forward::to("chat"));
        rule(name, subjects, action)
    }

    fn answer(name: &str, subjects: Vec<Subject>) -> HttpRule {
        let action = model::Action::Static {
            status_code: 200,
            response_message: String::new(),
            content_type: "text/plain".into(),
        };
        rule(name, subjects, action)
    }

    fn redirect(name: &str, subjects: Vec<Subject>) -> HttpRule {
        let action = model::Action::Redirect(model::Redirect {
            location: Template::parse_of_request("https://example.com/").unwrap(),
            status_code: 301,
            drop_query: false,
            path: None,
            cors: None,
        });
        rule(name, subjects, action)
    }

    fn rule(name: &str, subjects: Vec<Subject>, action: model::Action) -> HttpRule {
        let conditions = subjects
            .into_iter()
            .map(|subject| model::Condition {
                subject,
                negate: false,
            })
            .collect();
        HttpRule {
            name: name.to_owned(),
            conditions,
            action,
        }
    }

    fn equals(key: &str, value: &str) -> Subject {
        Subject::Header(key.into(), Comparison::Equals(value.into()))
    }

    fn path_starts_with(prefix: &str) -> Subject {
        Subject::Path(Comparison::StartsWith(prefix.into()))
    }

    fn build(rules: &[HttpRule]) -> Rules<&'static str> {
        Rules::build(rules, |forward| {
            forward.leads_to("chat").then_some("the chat group")
        })
        .unwrap()
    }

    fn found<'r>(rules: &'r Rules<&str>, target: &str, headers: &HeaderMap) -> Option<&'r str> {
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let request = Request::new("GET", target.as_bytes(), headers, client);
        rules.find(&request).map(|rule| &*rule.name)
    }

    #[test]
    fn the_handshakes_of_chrome_and_firefox_meet_the_connection_and_upgrade_rule() {
        let rules = build(&[forward(
            "forward",
            vec![
                equals("Connection", "upgrade"),
                equals("Upgrade", "websocket"),
            ],
        )]);
        let plain: &[_] = &[("Host", "chat.example.com"), ("Connection", "keep-alive")];
        let other: &[_] = &[
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", "h2c"),
        ];
        for (head, expected) in [
            (CHROME, Some("forward")),
            (FIREFOX, Some("forward")),
            (plain, None),
            (other, None),
        ] {
            assert_eq!(found(&rules, "/chat", &headers(head)), expected, "{head:?}");
        }
    }

    #[test]
    fn forward_rules_come_last_and_otherwise_the_order_is_as_written() {
        let rules = build(&[
            forward("forward 1", vec![]),
            answer("static", vec![]),
            forward("forward 2", vec![]),
            redirect("redirect", vec![]),
        ]);
        let order: Vec<_> = rules.iter().map(|rule| (rule.index, &*rule.name)).collect();
        let expected = [
            (0, "static"),
            (1, "redirect"),
            (2, "forward 1"),
            (3, "forward 2"),
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn rules_that_come_sorted_are_left_as_they_come() {
        let written = [forward("forward", vec![]), answer("static", vec![])];
        let rules = Rules::build_sorted(&written, |_| Some(())).unwrap();
        let order: Vec<_> = rules.iter().map(|rule| &*rule.name).collect();
        assert_eq!(order, ["forward", "static"]);
    }

    #[test]
    fn the_first_rule_whose_conditions_all_hold_is_found() {
        let rules = build(&[
            forward("catch-all", vec![]),
            answer(
                "both",
                vec![path_starts_with("/a"), equals("X-Beta", "yes")],
            ),
            answer("path", vec![path_starts_with("/a")]),
            redirect("longer path", vec![path_starts_with("/a/b")]),
        ]);
        let beta: &[_] = &[("X-Beta", "yes")];
        for (target, head, expected) in [
            ("/a", beta, "both"),
            ("/a/b", &[], "path"),
            ("/b", beta, "catch-all"),
        ] {
            assert_eq!(found(&rules, target, &headers(head)), Some(expected));
        }
    }

    #[test]
    fn no_rule_is_found_when_none_matches_or_there_is_none() {
        let head = HeaderMap::new();
        let rules = build(&[answer("path", vec![path_starts_with("/a")])]);
        assert_eq!(found(&rules, "/b", &head), None);
        assert_eq!(found(&build(&[]), "/b", &head), None);
    }

    #[test]
    fn a_forward_rule_holds_what_its_group_resolved_to() {
        let rules = build(&[forward("forward", vec![])]);
        let actions: Vec<_> = rules.iter().map(|rule| &rule.action).collect();
        assert!(matches!(actions[..], [Action::Forward("the chat group")]));
    }

    #[test]
    fn what_cannot_be_used_is_an_error_that_names_it() {
        for (rule, word) in [
            (forward("forward", vec![]), "chat"),
            (answer("static", vec![equals("no name", "")]), "no name"),
        ] {
            let built = Rules::build(&[rule], |_| None::<()>);
            assert_eq!(built.err().as_deref(), Some(word));
        }
    }
}
