//! An answer of HTTP/2, written as one of HTTP/1.1.

use std::io::Write as _;

use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Method, StatusCode};

use crate::tap::fields;

/// The most that [`chunk_line`] and the end of a chunk take.
pub(super) const CHUNK_OVERHEAD: usize = 8 + 2 + 2;

/// How the body of an answer is told to Pingora.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// There is none, whatever the head says.
    Nothing,
    /// By the length in the head.
    Length,
    /// In chunks.
    Chunks,
}

/// How the body of an answer to this method is told, of which `is_over` says whether it is at its
/// end with the head.
pub(super) fn told(method: &Method, status: StatusCode, fields: &HeaderMap, is_over: bool) -> Told {
    let is_bodiless = *method == Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    match fields.contains_key(CONTENT_LENGTH) {
        _ if is_bodiless => Told::Nothing,
        true => Told::Length,
        false if is_over => Told::Nothing,
        false => Told::Chunks,
    }
}

/// The head.
pub(super) fn head(status: StatusCode, fields: &HeaderMap, framing: &[u8]) -> Vec<u8> {
    let mut head = Vec::with_capacity(fields::size(fields) + framing.len() + 64);
    let reason = status.canonical_reason().unwrap_or_default();
    write!(head, "HTTP/1.1 {} {reason}\r\n", status.as_str()).ok();
    fields::write(fields, &mut head);
    head.extend_from_slice(framing);
    head.extend_from_slice(b"\r\n");
    head
}

/// The line before a chunk.
pub(super) fn chunk_line(payload: usize) -> String {
    format!("{payload:x}\r\n")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_head_is_written_line_by_line() {
        let mut fields = HeaderMap::new();
        fields.append("set-cookie", HeaderValue::from_static("a=1"));
        fields.append("set-cookie", HeaderValue::from_bytes(b"b=\xff").unwrap());
        let text = head(StatusCode::OK, &fields, b"transfer-encoding: chunked\r\n");
        let expected = b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=\xff\r\n\
                         transfer-encoding: chunked\r\n\r\n";
        assert_eq!(text, expected);
        let odd = StatusCode::from_u16(599).unwrap();
        assert_eq!(head(odd, &HeaderMap::new(), b""), b"HTTP/1.1 599 \r\n\r\n");
    }

    #[test]
    fn a_body_is_told_as_its_answer_has_it() {
        let mut length = HeaderMap::new();
        length.append(CONTENT_LENGTH, HeaderValue::from_static("5"));
        let none = HeaderMap::new();
        let (get, head) = (&Method::GET, &Method::HEAD);
        let (ok, empty) = (StatusCode::OK, StatusCode::NO_CONTENT);
        assert_eq!(told(get, ok, &length, false), Told::Length);
        assert_eq!(told(get, ok, &none, false), Told::Chunks);
        assert_eq!(told(get, ok, &none, true), Told::Nothing);
        assert_eq!(told(head, ok, &length, true), Told::Nothing);
        assert_eq!(told(get, empty, &none, true), Told::Nothing);
    }
}
