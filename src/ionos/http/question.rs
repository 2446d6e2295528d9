//! What is asked for, as the head of a request tells it.

use axum::extract::Query;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use axum::http::uri::{Authority, Scheme};

use super::super::error::{ApiError, INVALID};
use super::super::handler::Asked;
use crate::control::guard::authority;

/// What all paths begin with.
const BASE: [&str; 2] = ["cloudapi", "v6"];

/// What is asked for.
#[derive(Debug)]
pub(super) struct Question {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    base: String,
    only_if: Option<String>,
}

impl Question {
    /// What a request with this head asks for, over this scheme.
    ///
    /// Errors: 404, where that is nothing of the API's; 400.
    pub(super) fn of(head: &Parts, scheme: &Scheme) -> Result<Self, ApiError> {
        let path = head.uri.path();
        let query = Query::<Vec<(String, String)>>::try_from_uri(&head.uri);
        let malformed = |error: axum::extract::rejection::QueryRejection| {
            ApiError::new(400, INVALID, error.body_text())
        };
        let only_if = head.headers.get(IF_MATCH);
        Ok(Question {
            method: head.method.to_string(),
            path: below_the_base(path).ok_or_else(|| ApiError::unknown(path))?,
            query: query.map_err(malformed)?.0,
            base: base(scheme, authority(&head.uri, &head.headers).as_ref()),
            only_if: only_if.and_then(|tags| Some(tags.to_str().ok()?.to_owned())),
        })
    }

    /// The same for whoever answers, asked by this user and with this body.
    pub(super) fn asked<'a>(&'a self, by: &'a str, body: &'a [u8]) -> Asked<'a> {
        Asked {
            method: &self.method,
            path: &self.path,
            query: self.query.clone(),
            base: self.base.clone(),
            by,
            body,
            only_if: self.only_if.as_deref(),
        }
    }
}

/// What a path has below the base. Slashes too many are none: a client whose base ends in one puts
/// another behind it.
fn below_the_base(path: &str) -> Option<String> {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    if segments.next()? != BASE[0] || segments.next()? != BASE[1] {
        return None;
    }
    Some(segments.fold(String::new(), |path, segment| path + "/" + segment))
}

/// What the URLs of an answer begin with: what led the client here. Whoever comes to a Unix socket
/// may name no host.
fn base(scheme: &Scheme, authority: Option<&Authority>) -> String {
    let host = authority.map_or("localhost", Authority::host);
    let port = authority.and_then(Authority::port_u16);
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    format!("{scheme}://{host}{port}/{}/{}", BASE[0], BASE[1])
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use axum::http::header::HOST;

    use super::*;

    fn question(uri: &str, host: &str, scheme: &Scheme) -> Result<Question, ApiError> {
        let request = Request::get(uri)
            .header(HOST, host)
            .header(IF_MATCH, "\"a\"");
        let (head, ()) = request.body(()).unwrap().into_parts();
        Question::of(&head, scheme)
    }

    #[test]
    fn paths_are_below_the_base_whatever_slashes_they_have() {
        for (path, expected) in [
            ("/cloudapi/v6", Some("")),
            ("/cloudapi/v6/", Some("")),
            ("//cloudapi//v6//targetgroups/", Some("/targetgroups")),
            (
                "/cloudapi/v6/locations/de/txl?depth=1",
                Some("/locations/de/txl"),
            ),
            ("/cloudapi/v5/targetgroups", None),
            ("/cloudapi", None),
            ("/cloudapi/v60", None),
            ("/v6/cloudapi", None),
            ("/", None),
            ("*", None),
        ] {
            let found = question(path, "a", &Scheme::HTTP);
            let found = found.map_err(|error| assert_eq!(error.status, 404)).ok();
            assert_eq!(found.map(|found| found.path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn urls_begin_with_what_led_the_client_here() {
        for (uri, host, scheme, expected) in [
            (
                "/cloudapi/v6",
                "a:9901",
                Scheme::HTTP,
                "http://a:9901/cloudapi/v6",
            ),
            ("/cloudapi/v6", "a", Scheme::HTTPS, "https://a/cloudapi/v6"),
            (
                "/cloudapi/v6",
                "[::1]:1",
                Scheme::HTTP,
                "http://[::1]:1/cloudapi/v6",
            ),
            (
                "/cloudapi/v6",
                "u:p@a:1",
                Scheme::HTTP,
                "http://a:1/cloudapi/v6",
            ),
            (
                "/cloudapi/v6",
                "\"",
                Scheme::HTTP,
                "http://localhost/cloudapi/v6",
            ),
            (
                "http://b:2/cloudapi/v6",
                "a",
                Scheme::HTTP,
                "http://b:2/cloudapi/v6",
            ),
        ] {
            assert_eq!(
                question(uri, host, &scheme).unwrap().base,
                expected,
                "{host}"
            );
        }
    }

    #[test]
    fn the_query_is_decoded_and_the_tag_passed_on() {
        let uri = "/cloudapi/v6?filter.name=a%20b+c%26d&depth=1&x&depth=2";
        let found = question(uri, "a", &Scheme::HTTP).unwrap();
        let pairs = [
            ("filter.name", "a b c&d"),
            ("depth", "1"),
            ("x", ""),
            ("depth", "2"),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found.query, pairs);
        assert_eq!(found.asked("by", b"").only_if, Some("\"a\""));
    }
}
