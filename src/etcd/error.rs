//! What can go wrong with etcd: where, why, and what has become of a write.
//!
//! etcd tells its errors by the code of gRPC and by words, which have been the same since 3.0; the
//! words are what tells them apart.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::settings::Endpoint;

/// How much of somebody else's words is repeated.
const MOST_WORDS: usize = 300;

/// The codes of gRPC with which a write may have been done: cancelled, unknown, deadline exceeded,
/// internal, unavailable, data loss.
const UNSURE: [u64; 6] = [1, 2, 4, 13, 14, 15];

/// A request that was not done, or about which nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Who was asked, as a URL.
    pub endpoint: String,
    /// Why.
    pub cause: Cause,
    /// What has become of a write. A read does nothing.
    pub outcome: Outcome,
}

/// What has become of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not done, and will not be.
    NotDone,
    /// It may have been done, and may even be done yet. Reading does not rule out the latter; what
    /// does is another write that compares with the same revisions: one of the two is not done.
    Unknown,
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// No connection came about, and why.
    Unreachable(String),
    /// The connection broke, and why.
    Broken(String),
    /// What took too long, and how long it was waited for.
    TimedOut(&'static str, Duration),
    /// The member takes no requests, in its words: it has no leader, has just started, or is a
    /// learner.
    NotReady(String),
    /// The member does not know what has become of the request, in its words.
    Unavailable(String),
    /// What answers is not etcd, or its JSON gateway is off.
    NotEtcd(String),
    /// The member has too much to do.
    Busy,
    /// The revision has been compacted: what is there must be read anew.
    Compacted,
    /// The data are older than what was seen, or another cluster's, as after a restore from a
    /// snapshot: what is there must be read anew.
    WentBack(String),
    /// The space of etcd is used up, and its alarm NOSPACE is on: it takes no writes.
    NoSpace,
    /// The user may not do that.
    PermissionDenied,
    /// The request has too many bytes or too many operations for etcd.
    TooLarge,
    /// The answer has more bytes than are taken.
    AnswerTooLarge,
    /// There is a user, but etcd authenticates nobody.
    AuthDisabled,
    /// There is no user, but etcd wants one.
    AuthEnabled,
    /// The name or the password of the user is wrong.
    Credentials,
    /// The token is no longer good, though it was renewed.
    TokenExpired,
    /// There is no such lease, or no longer.
    LeaseNotFound,
    /// Anything else that etcd has against it, in its words.
    Refused(String),
}

/// What etcd says, and what it means.
const WORDS: &[(&str, Cause)] = &[
    ("required revision has been compacted", Cause::Compacted),
    ("database space exceeded", Cause::NoSpace),
    ("permission denied", Cause::PermissionDenied),
    ("request is too large", Cause::TooLarge),
    ("too many operations in txn request", Cause::TooLarge),
    ("received message larger than max", Cause::TooLarge),
    ("authentication is not enabled", Cause::AuthDisabled),
    ("user name is empty", Cause::AuthEnabled),
    ("authentication failed", Cause::Credentials),
    ("invalid auth token", Cause::TokenExpired),
    ("revision of auth store is old", Cause::TokenExpired),
    ("requested lease not found", Cause::LeaseNotFound),
    ("too many requests", Cause::Busy),
];

/// What a member says that has not begun with the request.
const NOT_READY: [&str; 4] = [
    "no leader",
    "not capable",
    "raft proposal dropped",
    "rpc not supported for learner",
];

impl Error {
    pub(super) fn not_done(endpoint: &Endpoint, cause: Cause) -> Self {
        Error {
            endpoint: endpoint.to_string(),
            cause,
            outcome: Outcome::NotDone,
        }
    }

    pub(super) fn unknown(endpoint: &Endpoint, cause: Cause) -> Self {
        Error {
            outcome: Outcome::Unknown,
            ..Error::not_done(endpoint, cause)
        }
    }

    /// What an answer says that is not a success.
    pub(super) fn answered(endpoint: &Endpoint, status: StatusCode, body: &[u8]) -> Self {
        let value: Option<Value> = serde_json::from_slice(body).ok();
        if let Some(error) = value.and_then(|value| Error::said(endpoint, &value)) {
            return error;
        }
        let words = String::from_utf8_lossy(body);
        let cause = Cause::NotEtcd(short(&format!("{status}: {}", words.trim())));
        match status.is_server_error() {
            true => Error::unknown(endpoint, cause),
            false => Error::not_done(endpoint, cause),
        }
    }

    /// What an error says that is whole or in a stream; `None` where it is none of etcd's.
    pub(super) fn said(endpoint: &Endpoint, value: &Value) -> Option<Self> {
        let error = Some(&value["error"]).filter(|error| error.is_object());
        let error = error.unwrap_or(value);
        let text = |key: &str| error[key].as_str().filter(|text| !text.is_empty());
        let words = text("message").or_else(|| text("error"))?;
        let code = error["grpc_code"]
            .as_u64()
            .or_else(|| error["code"].as_u64());
        let cause = Cause::of(words, code);
        Some(match cause {
            Cause::Unavailable(_) => Error::unknown(endpoint, cause),
            cause => Error::not_done(endpoint, cause),
        })
    }
}

impl Cause {
    /// What these words of etcd's mean, with this code.
    pub(super) fn of(words: &str, code: Option<u64>) -> Self {
        if let Some((_, cause)) = WORDS.iter().find(|(known, _)| words.contains(known)) {
            return cause.clone();
        }
        if NOT_READY.iter().any(|known| words.contains(known)) {
            return Cause::NotReady(short(words));
        }
        match code.is_none_or(|code| UNSURE.contains(&code)) {
            true => Cause::Unavailable(short(words)),
            false => Cause::Refused(short(words)),
        }
    }

    /// Whether another member may do better.
    pub(super) fn is_of_one_member(&self) -> bool {
        match self {
            Cause::Unreachable(_)
            | Cause::Broken(_)
            | Cause::TimedOut(..)
            | Cause::NotReady(_)
            | Cause::Unavailable(_)
            | Cause::NotEtcd(_)
            | Cause::Busy
            | Cause::TokenExpired => true,
            Cause::Compacted
            | Cause::WentBack(_)
            | Cause::NoSpace
            | Cause::PermissionDenied
            | Cause::TooLarge
            | Cause::AnswerTooLarge
            | Cause::AuthDisabled
            | Cause::AuthEnabled
            | Cause::Credentials
            | Cause::LeaseNotFound
            | Cause::Refused(_) => false,
        }
    }

    /// Whether the same may go well in a moment, as where a leader is being elected.
    pub(super) fn passes_soon(&self) -> bool {
        matches!(
            self,
            Cause::NotReady(_) | Cause::Unavailable(_) | Cause::Busy
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.endpoint, self.cause)
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Cause::Unreachable(why) => return write!(f, "cannot be reached: {why}"),
            Cause::Broken(why) => return write!(f, "the connection broke: {why}"),
            Cause::TimedOut(what, time) => return write!(f, "no {what} within {time:?}"),
            Cause::NotReady(words) | Cause::Unavailable(words) | Cause::Refused(words) => words,
            Cause::NotEtcd(words) => return write!(f, "no answer of etcd's: {words}"),
            Cause::WentBack(how) => return write!(f, "its data went back: {how}"),
            Cause::Busy => "too many requests",
            Cause::Compacted => "the revision has been compacted",
            Cause::NoSpace => "the space of etcd is used up (alarm NOSPACE)",
            Cause::PermissionDenied => "the user has no permission",
            Cause::TooLarge => "the request is too large",
            Cause::AnswerTooLarge => "the answer is too large",
            Cause::AuthDisabled => "there is a user, but authentication is not enabled",
            Cause::AuthEnabled => "authentication is enabled, but there is no user",
            Cause::Credentials => "the name or the password of the user is wrong",
            Cause::TokenExpired => "the token is not valid",
            Cause::LeaseNotFound => "there is no such lease",
        };
        f.write_str(words)
    }
}

/// The causes of an error, from it to the first of them.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let words: Vec<String> = causes.map(ToString::to_string).collect();
    short(&words.join(": "))
}

/// The beginning of words that somebody else chose.
fn short(words: &str) -> String {
    words.chars().take(MOST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> (Cause, Outcome) {
        let endpoint = "http://10.0.0.1:2379".parse().unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        let error = Error::answered(&endpoint, status, body.as_bytes());
        (error.cause, error.outcome)
    }

    #[test]
    fn an_answer_says_why_and_whether_a_write_may_have_been_done() {
        use Outcome::{NotDone, Unknown};
        let words = |words: &str| words.to_owned();
        for (status, body, cause, outcome) in [
            (
                503,
                r#"{"error":"etcdserver: no leader","code":14}"#,
                Cause::NotReady(words("etcdserver: no leader")),
                NotDone,
            ),
            (
                503,
                r#"{"error":"etcdserver: request timed out","code":14}"#,
                Cause::Unavailable(words("etcdserver: request timed out")),
                Unknown,
            ),
            (
                429,
                r#"{"code":8,"message":"etcdserver: mvcc: database space exceeded"}"#,
                Cause::NoSpace,
                NotDone,
            ),
            (
                503,
                r#"{"error":{"grpc_code":14,"message":"transport is closing"}}"#,
                Cause::Unavailable(words("transport is closing")),
                Unknown,
            ),
            (
                400,
                r#"{"error":"etcdserver: duplicate key given in txn request","code":3}"#,
                Cause::Refused(words("etcdserver: duplicate key given in txn request")),
                NotDone,
            ),
            (
                404,
                "404 page not found\n",
                Cause::NotEtcd(words("404 Not Found: 404 page not found")),
                NotDone,
            ),
            (
                502,
                "<html>",
                Cause::NotEtcd(words("502 Bad Gateway: <html>")),
                Unknown,
            ),
        ] {
            assert_eq!(read(status, body), (cause, outcome), "{body}");
        }
    }

    #[test]
    fn an_error_names_the_endpoint_and_the_cause() {
        let endpoint: Endpoint = "https://etcd-1:2379".parse().unwrap();
        let time = Duration::from_secs(2);
        let error = Error::not_done(&endpoint, Cause::TimedOut("connection", time));
        assert_eq!(
            error.to_string(),
            "https://etcd-1:2379: no connection within 2s"
        );
    }

    #[test]
    fn only_so_much_of_an_answer_is_repeated() {
        let (cause, _) = read(500, &"é".repeat(100_000));
        assert!(cause.to_string().len() < 1000);
    }
}
