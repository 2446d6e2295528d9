//! An answer of ours to what is no exchange: in the form of all others, a short text and the end of
//! the connection.

use pingora::protocols::http::date::get_cached_date;

/// What a CONNECT is told that may be asked for instead (RFC 9110 section 15.5.6): targets know
/// what they serve of it.
pub const ALLOW: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH";

/// An answer with a status, `400 Bad Request`, these words for whoever reads it, and another field
/// line, if it has one.
pub fn own_answer(status: &str, words: &str, field: &str) -> Vec<u8> {
    let code = status.split(' ').next().unwrap_or_default();
    let body = format!("{code} {words}\n");
    let (length, date) = (body.len(), get_cached_date());
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\nCache-Control: no-store\r\n{field}Date: "
    );
    let end = b"\r\nConnection: close\r\n\r\n";
    [head.as_bytes(), date.as_bytes(), end, body.as_bytes()].concat()
}

/// What a HEAD gets of an answer: all but its body (RFC 9110 section 9.3.2).
pub(super) fn without_body(mut answer: Vec<u8>) -> Vec<u8> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    answer.truncate(end.map_or(answer.len(), |end| end + 4));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_length_that_it_says_and_none_to_a_head() {
        let answer = own_answer("400 Bad Request", "malformed", "A: b\r\n");
        let text = String::from_utf8(answer.clone()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Length: 14\r\n") && head.contains("\r\nA: b\r\n"));
        assert_eq!(body, "400 malformed\n");
        assert_eq!(without_body(answer), format!("{head}\r\n\r\n").into_bytes());
    }
}
