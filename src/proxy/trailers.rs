//! Trailers (RFC 9110 section 6.5): which of them pass, and what heads say about them.
//!
//! Whoever merges them with a head must not be misled about how a message is framed, where it goes,
//! whose it is or how it is read (section 6.5.1). The list is that of the reference, and a test
//! compares the two.

use http::header::{CONNECTION, TE, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::config::model::HeaderChanges;

/// In alphabetical order.
const NOT_PASSED: [&str; 45] = [
    "accept-ranges",
    "age",
    "authorization",
    "cache-control",
    "clear-site-data",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "http2-settings",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "retry-after",
    "set-cookie",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
];

/// What heads say of the client or of a handshake, and nobody in trailers.
const BEGINNINGS: [&str; 4] = [
    "sec-websocket-",
    "x-client-certificate-",
    "x-forwarded-",
    "x-request-id",
];

/// Whether whoever sends these takes trailers (RFC 9110 section 10.1.4).
pub(super) fn are_taken(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(TE).iter();
    let mut codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Leaves of these trailers what may pass; `hops` are the fields that the head says are for one
/// connection.
pub(super) fn purge(trailers: &mut HeaderMap, hops: &[HeaderName]) {
    let is_kept = |name: &HeaderName| is_passed(name.as_str()) && !hops.contains(name);
    let names: Vec<HeaderName> = trailers.keys().filter(|n| !is_kept(n)).cloned().collect();
    for name in &names {
        trailers.remove(name);
    }
}

fn is_passed(name: &str) -> bool {
    let name = name.replace('_', "-");
    let is_ours = BEGINNINGS
        .iter()
        .any(|beginning| name.starts_with(beginning));
    !is_ours && NOT_PASSED.binary_search(&&*name).is_err()
}

/// Takes those out that the operator sets or removes in heads.
pub(super) fn purge_changed(trailers: &mut HeaderMap, changes: &HeaderChanges) {
    for name in super::changes::replaced(trailers, changes) {
        trailers.remove(name);
    }
}

/// What a head says is for one connection, besides the connection itself (RFC 9110 section 7.6.1).
pub(super) fn hops(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(CONNECTION).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.eq_ignore_ascii_case(b"keep-alive"))
        .filter(|token| !token.eq_ignore_ascii_case(b"close"))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .collect()
}

/// Which trailers a head announces that may pass (RFC 9110 section 6.6.2), as far as that is known
/// in advance.
fn announced(headers: &HeaderMap, hops: &[HeaderName]) -> Option<HeaderValue> {
    let lines = headers.get_all(TRAILER).iter();
    let names = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| is_passed(name.as_str()) && !hops.contains(name));
    let names: Vec<HeaderName> = names.collect();
    if names.is_empty() || hops.contains(&TRAILER) {
        return None;
    }
    let list: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    HeaderValue::from_str(&list.join(", ")).ok()
}

/// Says in the head of a request what the client's says of trailers: whether it takes them, and,
/// where the request can have any, which there may be. Pingora has removed both.
pub(super) fn tell_target(
    client: &RequestHeader,
    request: &mut RequestHeader,
    can_follow: bool,
) -> Result<()> {
    if can_follow && let Some(names) = announced(&client.headers, &hops(&client.headers)) {
        request.insert_header(TRAILER, names)?;
    }
    if are_taken(&client.headers) && request.version == http::Version::HTTP_11 {
        request.insert_header(TE, "trailers")?;
        request.insert_header(CONNECTION, "TE")?;
    }
    Ok(())
}

/// Says in the head of an answer which trailers there may be, or, where it cannot have any,
/// nothing.
pub(super) fn tell_client(answer: &mut ResponseHeader, can_follow: bool) -> Result<()> {
    if !answer.headers.contains_key(TRAILER) {
        return Ok(());
    }
    match announced(&answer.headers, &[]).filter(|_| can_follow) {
        Some(names) => answer.insert_header(TRAILER, names),
        None => {
            answer.remove_header(&TRAILER);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_is_that_of_the_reference() {
        assert!(NOT_PASSED.is_sorted());
        let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
        let reference = std::fs::read_to_string(reference).unwrap();
        let (_, rest) = reference.split_once("\n### Trailers\n").unwrap();
        let section = rest.split("\n#").next().unwrap();
        let table = section.lines().filter(|line| line.starts_with("| "));
        let quoted = table.flat_map(|line| line.split('`').skip(1).step_by(2));
        let told: BTreeSet<String> = quoted.map(str::to_ascii_lowercase).collect();
        assert_eq!(told, NOT_PASSED.iter().map(ToString::to_string).collect());
    }

    #[test]
    fn what_would_mislead_does_not_pass() {
        let mut trailers = HeaderMap::new();
        for name in [
            "x-sum",
            "grpc-status",
            "content-length",
            "authorization",
            "x-hop",
        ] {
            trailers.insert(name, HeaderValue::from_static("1"));
        }
        purge(&mut trailers, &[HeaderName::from_static("x-hop")]);
        let names: BTreeSet<&str> = trailers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, BTreeSet::from(["grpc-status", "x-sum"]));
    }

    #[test]
    fn only_trailers_that_may_pass_are_announced() {
        let told = |lines: &[(HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(name, HeaderValue::from_static(value));
            }
            let names = announced(&headers, &hops(&headers))?;
            Some(names.to_str().unwrap().to_owned())
        };
        let both = told(&[(TRAILER, "X-Sum,host, X-Hop"), (TRAILER, "etag")]);
        assert_eq!(both.as_deref(), Some("x-sum, x-hop, etag"));
        let hop = told(&[(TRAILER, "x-sum, x-hop"), (CONNECTION, "close, X-Hop")]);
        assert_eq!(hop.as_deref(), Some("x-sum"));
        assert_eq!(told(&[(TRAILER, "host, , a b")]), None);
        assert_eq!(told(&[(TRAILER, "a"), (CONNECTION, "Trailer")]), None);
        assert_eq!(told(&[]), None);
    }
}
