//! One condition of a rule: which values of a request it looks at.
//!
//! A condition holds when its comparison holds for any one of these values, so it does not hold where there are none;
//! `negate` inverts that as a whole. `Connection` and `Upgrade` are lists of tokens, which browsers fill differently:
//! each token is a value of its own. An empty host is none.

use http::HeaderName;
use ipnet::IpNet;

use super::comparison::Comparison;
use super::request::Request;
use crate::config::model;

/// A condition, and how it fares with a request.
#[derive(Debug)]
pub struct Told {
    /// `HEADER`, say.
    pub subject: &'static str,
    /// `EQUALS`, say; `SOURCE_IP` has none.
    pub comparison: Option<&'static str>,
    /// The name of the header, parameter or cookie.
    pub key: Option<String>,
    /// What the request's values are compared with.
    pub value: Option<String>,
    /// Whether it holds when the comparison does not.
    pub negate: bool,
    /// The request's values.
    pub saw: Vec<String>,
    /// Whether it holds.
    pub held: bool,
}

/// A condition, ready to be held against requests.
#[derive(Debug)]
pub(super) struct Condition {
    subject: Subject,
    negate: bool,
}

#[derive(Debug)]
enum Subject {
    Header(HeaderName, Comparison),
    TokenList(HeaderName, Comparison),
    Query(Box<[u8]>, Comparison),
    Cookie(Box<[u8]>, Comparison),
    Path(Comparison),
    Host(Comparison),
    Method(Comparison),
    SourceIp(IpNet),
}

impl Condition {
    /// Builds the condition; an error is a key that cannot be a header's name.
    pub(super) fn build(condition: &model::Condition) -> Result<Self, String> {
        Ok(Self {
            subject: Subject::build(&condition.subject)?,
            negate: condition.negate,
        })
    }

    /// What the condition is, what it sees of this request, and whether it holds.
    pub(super) fn explain(&self, request: &Request<'_>) -> Told {
        let mut saw = Vec::new();
        self.subject.any_value(request, |value| {
            saw.push(String::from_utf8_lossy(value).into_owned());
            false
        });
        let comparison = self.subject.comparison();
        let block = match &self.subject {
            Subject::SourceIp(block) => Some(block.to_string()),
            _ => None,
        };
        Told {
            subject: self.subject.word(),
            comparison: comparison.map(Comparison::word),
            key: self.subject.key(),
            value: block.or_else(|| comparison.and_then(Comparison::value)),
            negate: self.negate,
            saw,
            held: self.holds(request),
        }
    }

    /// Whether the condition holds for this request.
    pub(super) fn holds(&self, request: &Request<'_>) -> bool {
        self.subject.holds(request) != self.negate
    }
}

impl Subject {
    fn build(subject: &model::Subject) -> Result<Self, String> {
        let built = |comparison| Comparison::build(comparison, subject.ignores_case());
        Ok(match subject {
            model::Subject::Header(key, comparison) if subject.is_token_list() => {
                Self::TokenList(header_name(key)?, built(comparison))
            }
            model::Subject::Header(key, comparison) => {
                Self::Header(header_name(key)?, built(comparison))
            }
            model::Subject::Query(key, comparison) => {
                Self::Query(key.as_bytes().into(), built(comparison))
            }
            model::Subject::Cookie(key, comparison) => {
                Self::Cookie(key.as_bytes().into(), built(comparison))
            }
            model::Subject::Path(comparison) => Self::Path(built(comparison)),
            model::Subject::Host(comparison) => Self::Host(built(&without_last_dot(comparison))),
            model::Subject::Method(comparison) => Self::Method(built(comparison)),
            model::Subject::SourceIp(block) => Self::SourceIp(*block),
        })
    }

    fn holds(&self, request: &Request<'_>) -> bool {
        match self {
            Self::SourceIp(block) => block.contains(&request.client_ip()),
            _ => self
                .comparison()
                .is_some_and(|comparison| self.any_value(request, |value| comparison.holds(value))),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Header(..) | Self::TokenList(..) => "HEADER",
            Self::Query(..) => "QUERY",
            Self::Cookie(..) => "COOKIE",
            Self::Path(_) => "PATH",
            Self::Host(_) => "HOST",
            Self::Method(_) => "METHOD",
            Self::SourceIp(_) => "SOURCE_IP",
        }
    }

    fn key(&self) -> Option<String> {
        match self {
            Self::Header(name, _) | Self::TokenList(name, _) => Some(name.to_string()),
            Self::Query(key, _) | Self::Cookie(key, _) => {
                Some(String::from_utf8_lossy(key).into_owned())
            }
            Self::Path(_) | Self::Host(_) | Self::Method(_) | Self::SourceIp(_) => None,
        }
    }

    /// How each value is compared; an address is not.
    fn comparison(&self) -> Option<&Comparison> {
        match self {
            Self::Header(_, comparison)
            | Self::TokenList(_, comparison)
            | Self::Query(_, comparison)
            | Self::Cookie(_, comparison)
            | Self::Path(comparison)
            | Self::Host(comparison)
            | Self::Method(comparison) => Some(comparison),
            Self::SourceIp(_) => None,
        }
    }

    /// Whether something is true of any value of the request that the condition is about.
    fn any_value(&self, request: &Request<'_>, mut is_met: impl FnMut(&[u8]) -> bool) -> bool {
        match self {
            Self::Header(name, _) => request.header_lines(name).any(is_met),
            Self::TokenList(name, _) => request.header_tokens(name).any(is_met),
            Self::Query(key, _) => request.parameters(key).any(is_met),
            Self::Cookie(key, _) => request.cookies(key).any(is_met),
            Self::Path(_) => is_met(request.path()),
            Self::Host(_) => !request.host().is_empty() && is_met(request.host()),
            Self::Method(_) => is_met(request.method().as_bytes()),
            Self::SourceIp(_) => is_met(request.client_ip().to_string().as_bytes()),
        }
    }
}

/// What hosts end with is compared without a dot, as theirs is left out.
fn without_last_dot(comparison: &model::Comparison) -> model::Comparison {
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

fn header_name(key: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(key.as_bytes()).map_err(|_| key.to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::HeaderMap;
    use regex::bytes::{Regex, RegexBuilder};

    use super::super::request::tests::headers;
    use super::*;
    use model::Comparison::{Contains, EndsWith, Equals, Exists, Matches, StartsWith};
    use model::Subject::{Cookie, Header, Host, Method, Path, Query, SourceIp};

    const CLIENT: &str = "::ffff:10.1.2.3";

    fn sample() -> HeaderMap {
        headers(&[
            ("Host", "Chat.Example.com:8080"),
            ("X-Room", "blue"),
            ("x-room", "green, Red"),
            ("X-Empty", ""),
            ("Connection", "keep-alive, Upgrade"),
            ("connection", "X-Other"),
            ("Upgrade", ","),
            ("Cookie", "id=abc123; theme=Dark"),
            ("Cookie", "id=xyz789"),
        ])
    }

    /// Whether the condition holds for the sample; its negation must say the opposite.
    fn holds(subject: model::Subject) -> bool {
        let headers = sample();
        let client: IpAddr = CLIENT.parse().unwrap();
        let target = b"/Rooms/blue%20room?room=blue&token=&room=Green&flag";
        let request = Request::new("GET", target, &headers, client);
        let mut condition = model::Condition {
            subject,
            negate: false,
        };
        let plain = Condition::build(&condition).unwrap().holds(&request);
        condition.negate = true;
        let negated = Condition::build(&condition).unwrap().holds(&request);
        assert_ne!(plain, negated, "{:?}", condition.subject);
        plain
    }

    /// Compiled as the configuration does it.
    fn matches(expression: &str) -> model::Comparison {
        Matches(Regex::new(expression).unwrap())
    }

    fn matches_ignoring_case(expression: &str) -> model::Comparison {
        let mut builder = RegexBuilder::new(expression);
        Matches(builder.case_insensitive(true).build().unwrap())
    }

    fn all_hold<const N: usize>(subjects: [model::Subject; N]) {
        for subject in subjects {
            let text = format!("{subject:?}");
            assert!(holds(subject), "{text}");
        }
    }

    fn none_holds<const N: usize>(subjects: [model::Subject; N]) {
        for subject in subjects {
            let text = format!("{subject:?}");
            assert!(!holds(subject), "{text}");
        }
    }

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

    #[test]
    fn the_source_ip_lies_in_the_block_whatever_form_it_came_in() {
        let block = |text: &str| SourceIp(text.parse().unwrap());
        all_hold([
            block("10.1.2.0/24"),
            block("10.1.2.3/32"),
            block("0.0.0.0/0"),
        ]);
        none_holds([block("10.1.3.0/24"), block("10.1.2.4/32"), block("::/0")]);
    }
}
