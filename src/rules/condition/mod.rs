//! One condition of a rule: which values of a request it looks at, and how they compare.
//!
//! A condition holds when its comparison holds for any one of these values, so it does not hold
//! where there are none; `negate` inverts that as a whole. Each kind of subject has a file of its
//! own, which says what its values are.

mod cookie;
mod header;
mod host;
mod method;
mod path;
mod query;
mod server_name;
mod source_ip;
mod values;

use super::comparison::Comparison;
pub(super) use super::comparison::Fixed;
use super::request::Request;
use crate::config::model;

use cookie::Cookie;
use header::{Header, TokenList};
use host::Host;
use method::Method;
use path::Path;
use query::Query;
use server_name::ServerName;
use source_ip::{SourceIp, SourceIpIn};
pub use values::Explained;
use values::Look;

/// A condition, ready to be held against requests.
#[derive(Debug)]
pub(super) struct Condition {
    subject: Subject,
    negate: bool,
}

#[derive(Debug)]
enum Subject {
    Header(Header),
    TokenList(TokenList),
    Query(Query),
    Cookie(Cookie),
    Path(Path),
    Host(Host),
    Method(Method),
    SourceIp(SourceIp),
    SourceIpIn(SourceIpIn),
    ServerName(ServerName),
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
    pub(super) fn explain(&self, request: &Request<'_>) -> Explained {
        Explained {
            negate: self.negate,
            held: self.holds(request),
            ..self.subject.look().tell(request)
        }
    }

    /// What is known of the host of every request for which the condition holds, or how it ends.
    pub(super) fn host(&self) -> Fixed<&[u8]> {
        match &self.subject {
            Subject::Host(Host(comparison)) if !self.negate => comparison.end(),
            _ => Fixed::Nothing,
        }
    }

    /// What is known of the path of every request for which the condition holds, or how it begins.
    pub(super) fn path(&self) -> Fixed<&[u8]> {
        match &self.subject {
            Subject::Path(Path(comparison)) if !self.negate => comparison.start(),
            _ => Fixed::Nothing,
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
                Self::TokenList(TokenList::build(key, built(comparison))?)
            }
            model::Subject::Header(key, comparison) => {
                Self::Header(Header::build(key, built(comparison))?)
            }
            model::Subject::Query(key, comparison) => {
                Self::Query(Query::new(key, built(comparison)))
            }
            model::Subject::Cookie(key, comparison) => {
                Self::Cookie(Cookie::new(key, built(comparison)))
            }
            model::Subject::Path(comparison) => Self::Path(Path(built(comparison))),
            model::Subject::Host(comparison) => {
                Self::Host(Host(built(&host::without_last_dot(comparison))))
            }
            model::Subject::Method(comparison) => Self::Method(Method(built(comparison))),
            model::Subject::SourceIp(block) => Self::SourceIp(SourceIp(*block)),
            model::Subject::SourceIpIn(file) => Self::SourceIpIn(SourceIpIn(file.clone())),
            model::Subject::ServerName(comparison) => {
                Self::ServerName(ServerName(built(&host::without_last_dot(comparison))))
            }
        })
    }

    /// Each kind by itself: this is what requests wait for.
    fn holds(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Header(subject) => subject.holds(request),
            Self::TokenList(subject) => subject.holds(request),
            Self::Query(subject) => subject.holds(request),
            Self::Cookie(subject) => subject.holds(request),
            Self::Path(subject) => subject.holds(request),
            Self::Host(subject) => subject.holds(request),
            Self::Method(subject) => subject.holds(request),
            Self::SourceIp(subject) => subject.holds(request),
            Self::SourceIpIn(subject) => subject.holds(request),
            Self::ServerName(subject) => subject.holds(request),
        }
    }

    fn look(&self) -> &dyn Look {
        match self {
            Self::Header(subject) => subject,
            Self::TokenList(subject) => subject,
            Self::Query(subject) => subject,
            Self::Cookie(subject) => subject,
            Self::Path(subject) => subject,
            Self::Host(subject) => subject,
            Self::Method(subject) => subject,
            Self::SourceIp(subject) => subject,
            Self::SourceIpIn(subject) => subject,
            Self::ServerName(subject) => subject,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::HeaderMap;
    use regex::bytes::{Regex, RegexBuilder};

    use super::super::request::tests::headers;
    use super::*;
    use model::Comparison::Matches;

    pub(super) const CLIENT: &str = "::ffff:10.1.2.3";

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
    pub(super) fn matches(expression: &str) -> model::Comparison {
        Matches(Regex::new(expression).unwrap())
    }

    pub(super) fn matches_ignoring_case(expression: &str) -> model::Comparison {
        let mut builder = RegexBuilder::new(expression);
        Matches(builder.case_insensitive(true).build().unwrap())
    }

    pub(super) fn all_hold<const N: usize>(subjects: [model::Subject; N]) {
        for subject in subjects {
            let text = format!("{subject:?}");
            assert!(holds(subject), "{text}");
        }
    }

    pub(super) fn none_holds<const N: usize>(subjects: [model::Subject; N]) {
        for subject in subjects {
            let text = format!("{subject:?}");
            assert!(!holds(subject), "{text}");
        }
    }
}
