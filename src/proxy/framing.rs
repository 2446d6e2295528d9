//! How messages to and from targets are framed: where Pingora sees an end, and where everybody else
//! does (RFC 9112 section 6).
//!
//! An answer whose framing two readers could take for different things would leave the rest of one
//! as the beginning of another.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::refusal::Refusal;
use crate::stream::Framing;

/// How a request is framed that goes to a target of HTTP/1.1; Pingora makes chunks of a body
/// without a length.
pub(super) fn of_request(request: &RequestHeader, has_body: bool) -> Framing {
    let is_chunked = request.headers.contains_key(TRANSFER_ENCODING);
    let length = request.headers.get(CONTENT_LENGTH).and_then(number);
    match length {
        _ if is_chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None if has_body => Framing::Chunked,
        None => Framing::Length(0),
    }
}

/// How a target's answer to a request of this method is framed. Several equal lengths become one.
///
/// Errors: one that contradicts itself, or has a coding that we do not know, or one at all in
/// HTTP/1.0.
pub(super) fn of_answer(method: &Method, answer: &mut ResponseHeader) -> Result<Framing, Refusal> {
    let is_chunked = is_chunked(answer)?;
    let length = length(answer)?;
    let is_bodiless = method == Method::HEAD || matches!(answer.status.as_u16(), 101 | 204 | 304);
    Ok(match length {
        _ if is_bodiless => Framing::Length(0),
        _ if is_chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    })
}

/// Whether another request may follow on the connection that an answer came on (RFC 9112 section
/// 9.3).
pub(super) fn keeps_connection(answer: &ResponseHeader) -> bool {
    let says = |word: &str| {
        let lines = answer.headers.get_all(CONNECTION).iter();
        lines
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    match answer.version {
        Version::HTTP_11 => !says("close"),
        _ => says("keep-alive") && !says("close"),
    }
}

/// Takes from the head of an answer that can have no body what only bodies have (RFC 9110 section
/// 8.6, RFC 9112 section 6.1). Answers to HEAD and a 304 tell what the answer to a GET would have;
/// they stay as they are.
pub(super) fn forget_body(answer: &mut ResponseHeader) {
    if answer.status.is_informational() || answer.status == StatusCode::NO_CONTENT {
        answer.remove_header(&CONTENT_LENGTH);
        answer.remove_header(&TRANSFER_ENCODING);
    }
}

/// Whether the target seems to send a body behind an answer that has none: it would be taken for
/// the next answer.
pub(super) fn promises_too_much(answer: &ResponseHeader) -> bool {
    let length = answer.headers.get(CONTENT_LENGTH);
    answer.status == StatusCode::NO_CONTENT
        && (answer.headers.contains_key(TRANSFER_ENCODING)
            || length.is_some_and(|length| number(length) != Some(0)))
}

fn is_chunked(answer: &ResponseHeader) -> Result<bool, Refusal> {
    let mut codings = answer.headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(false);
    };
    let is_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    match is_chunked && codings.next().is_none() && answer.version == Version::HTTP_11 {
        true => Ok(true),
        false => Err(Refusal::TARGET_FRAMING),
    }
}

fn length(answer: &mut ResponseHeader) -> Result<Option<u64>, Refusal> {
    let Some(length) = one_length(&answer.headers)? else {
        return Ok(None);
    };
    let mut lines = answer.headers.get_all(CONTENT_LENGTH).iter();
    let is_plain = lines.next().is_some_and(|line| number(line).is_some());
    if !is_plain || lines.next().is_some() {
        let told = answer.insert_header(CONTENT_LENGTH, length);
        told.map_err(|_| Refusal::TARGET_FRAMING)?;
    }
    Ok(Some(length))
}

fn one_length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let mut length = None;
    let lines = headers.get_all(CONTENT_LENGTH).iter();
    for one in lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')) {
        let one = digits(one.trim_ascii()).ok_or(Refusal::TARGET_FRAMING)?;
        if length.replace(one).is_some_and(|other| other != one) {
            return Err(Refusal::TARGET_FRAMING);
        }
    }
    Ok(length)
}

fn number(value: &HeaderValue) -> Option<u64> {
    digits(value.as_bytes())
}

/// More than this overflows in some readers.
fn digits(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(number).filter(|number| *number <= i64::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, version: Version, headers: &[(&'static str, &str)]) -> ResponseHeader {
        let mut answer = ResponseHeader::build(status, None).unwrap();
        answer.set_version(version);
        for (name, value) in headers {
            answer.append_header(*name, *value).unwrap();
        }
        answer
    }

    fn framing(headers: &[(&'static str, &str)]) -> Option<Framing> {
        let mut answer = answer(200, Version::HTTP_11, headers);
        of_answer(&Method::GET, &mut answer).ok()
    }

    #[test]
    fn an_answer_has_one_length_or_is_chunked() {
        const TE: &str = "transfer-encoding";
        const CL: &str = "content-length";
        assert_eq!(framing(&[]), Some(Framing::UntilClose));
        assert_eq!(framing(&[(CL, "5")]), Some(Framing::Length(5)));
        assert_eq!(framing(&[(CL, "5"), (CL, "5")]), Some(Framing::Length(5)));
        assert_eq!(framing(&[(CL, "5, 5")]), Some(Framing::Length(5)));
        assert_eq!(framing(&[(TE, "Chunked")]), Some(Framing::Chunked));
        for faulty in [
            &[(CL, "5"), (CL, "6")][..],
            &[(CL, "5, 6")],
            &[(CL, "5,")],
            &[(CL, "+5")],
            &[(CL, "-1")],
            &[(CL, "")],
            &[(CL, "9223372036854775808")],
            &[(TE, "chunked"), (TE, "chunked")],
            &[(TE, "chunked, chunked")],
            &[(TE, "chunked, identity")],
            &[(TE, "chunked, gzip")],
            &[(TE, "gzip, chunked")],
            &[(TE, "identity")],
            &[(TE, "foo")],
            &[(TE, "")],
        ] {
            assert_eq!(framing(faulty), None, "{faulty:?}");
        }
    }

    #[test]
    fn equal_lengths_become_one() {
        for headers in [
            &[("content-length", "5"), ("content-length", "5")][..],
            &[("content-length", "5, 5")],
        ] {
            let mut answer = answer(200, Version::HTTP_11, headers);
            of_answer(&Method::GET, &mut answer).unwrap();
            let lines: Vec<_> = answer.headers.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(lines, ["5"]);
        }
    }

    #[test]
    fn what_has_no_body_has_none_whatever_its_headers_say() {
        let headers = [("content-length", "5")];
        for (method, status) in [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304)] {
            let mut answer = answer(status, Version::HTTP_11, &headers);
            assert_eq!(
                of_answer(&method, &mut answer).ok(),
                Some(Framing::Length(0))
            );
        }
    }

    #[test]
    fn only_where_there_is_a_body_is_anything_said_of_it() {
        let body = [("content-length", "5"), ("transfer-encoding", "chunked")];
        for (status, left) in [(101, 0), (103, 0), (204, 0), (200, 2), (304, 2)] {
            let mut answer = answer(status, Version::HTTP_11, &body);
            assert_eq!(promises_too_much(&answer), status == 204, "{status}");
            forget_body(&mut answer);
            assert_eq!(answer.headers.len(), left, "{status}");
        }
        let empty = answer(204, Version::HTTP_11, &[("content-length", "0")]);
        assert!(!promises_too_much(&empty));
    }

    #[test]
    fn there_are_no_codings_in_http_1_0() {
        let mut answer = answer(200, Version::HTTP_10, &[("transfer-encoding", "chunked")]);
        assert!(of_answer(&Method::GET, &mut answer).is_err());
    }

    #[test]
    fn a_connection_is_kept_unless_the_target_says_otherwise() {
        for (version, said, expected) in [
            (Version::HTTP_11, "", true),
            (Version::HTTP_11, "foo, Close", false),
            (Version::HTTP_10, "", false),
            (Version::HTTP_10, "keep-alive", true),
        ] {
            let answer = answer(200, version, &[("connection", said)]);
            assert_eq!(keeps_connection(&answer), expected, "{version:?} {said}");
        }
    }
}
