//! Trailers (RFC 9110 section 6.5), as they come and as they leave in HTTP/1.1: what is written
//! behind the last chunk.
//!
//! Pingora drops them, so they go from one side to the other over the wire. Which of them may pass
//! is decided where requests are.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::chunks::{LONGEST_TRAILERS, Malformed};
use super::fields;

/// The end of a body in chunks, as Pingora writes it.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// How many fields there may be.
const MOST_FIELDS: usize = 100;

/// The trailers in these lines, with the empty one behind them. Errors: they are none, or too many.
pub(super) fn parse(text: &[u8]) -> Result<HeaderMap, Malformed> {
    let mut space = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let parsed = httparse::parse_headers(text, &mut space);
    let Ok(httparse::Status::Complete((_, fields))) = parsed else {
        return Err(Malformed("trailers that are none, or too many"));
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Malformed("a trailer that is none"));
        };
        trailers.append(name, value);
    }
    Ok(trailers)
}

/// Whether there are no more of them than anybody means.
pub fn are_few(trailers: &HeaderMap) -> bool {
    trailers.len() <= MOST_FIELDS && fields::size(trailers) <= LONGEST_TRAILERS
}

/// The end of a body in chunks that has these trailers.
pub(super) fn last_chunk(trailers: &HeaderMap) -> Vec<u8> {
    let mut text = Vec::with_capacity(fields::size(trailers) + LAST_CHUNK.len());
    text.extend_from_slice(b"0\r\n");
    fields::write(trailers, &mut text);
    text.extend_from_slice(b"\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_written_as_they_were_read() {
        let trailers = parse(b"a: b\r\nGrpc-Status:0\r\na:\tc \r\ne:\r\n\r\n").unwrap();
        let text = last_chunk(&trailers);
        assert_eq!(text, b"0\r\na: b\r\na: c\r\ngrpc-status: 0\r\ne: \r\n\r\n");
        assert_eq!(last_chunk(&HeaderMap::new()), LAST_CHUNK);
        assert!(parse(b"a b\r\n\r\n").is_err() && parse(b"a: b\r\n").is_err());
    }

    #[test]
    fn there_may_not_be_too_many() {
        let many = |count: usize| "a: b\r\n".repeat(count) + "\r\n";
        assert!(are_few(&parse(many(MOST_FIELDS).as_bytes()).unwrap()));
        assert!(parse(many(MOST_FIELDS + 1).as_bytes()).is_err());
        let long = "b".repeat(LONGEST_TRAILERS);
        let long = parse(format!("a: {long}\r\n\r\n").as_bytes()).unwrap();
        assert!(!are_few(&long));
    }
}
