//! The heads of a WebSocket over HTTP/2, from and to HTTP/1.1 (RFC 8441 section 5).
//!
//! Rules and targets see the handshake that an HTTP/1.1 client would have sent. Its
//! `Sec-WebSocket-Key` is ours, for the client has none; whether the target's answer fits to it is
//! checked where the answer is.

use std::io;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, TE, TRANSFER_ENCODING, UPGRADE,
};
use pingora::http::{RequestHeader, ResponseHeader};

/// As many as Pingora takes from a target.
const MOST_HEADERS: usize = 256;

/// What belongs to a connection of HTTP/1.1, or is said in another way there.
const NOT_PASSED: [HeaderName; 9] = [
    CONNECTION,
    CONTENT_LENGTH,
    COOKIE,
    HOST,
    SEC_WEBSOCKET_KEY,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// The handshake that an extended CONNECT for a WebSocket stands for.
pub(crate) fn handshake(request: &RequestHeader) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    let mut line = |parts: &[&[u8]]| {
        text.extend(parts.iter().copied().flatten());
        text.extend_from_slice(b"\r\n");
    };
    line(&[b"GET ", request.raw_path(), b" HTTP/1.1"]);
    let authority = request.uri.authority().map(|name| name.as_str().as_bytes());
    let host = || request.headers.get(HOST).map(HeaderValue::as_bytes);
    line(&[b"Host: ", authority.or_else(host).unwrap_or_default()]);
    line(&[b"Connection: Upgrade"]);
    line(&[b"Upgrade: websocket"]);
    line(&[b"Sec-WebSocket-Key: ", key().as_bytes()]);
    for (name, value) in &request.headers {
        if !NOT_PASSED.contains(name) {
            line(&[name.as_str().as_bytes(), b": ", value.as_bytes()]);
        }
    }
    if let Some(cookies) = joined_cookies(request) {
        line(&[b"Cookie: ", &cookies]);
    }
    line(&[]);
    text
}

/// All cookies in one line: HTTP/2 may send them apart (RFC 9113 section 8.2.3).
pub fn joined_cookies(request: &RequestHeader) -> Option<Vec<u8>> {
    let crumbs: Vec<&[u8]> = request
        .headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    (!crumbs.is_empty()).then(|| crumbs.join(b"; ".as_slice()))
}

/// 16 random bytes in base64 (RFC 6455 section 4.1).
fn key() -> String {
    tokio_tungstenite::tungstenite::handshake::client::generate_key()
}

/// What a head of an answer in HTTP/1.1 becomes.
pub(crate) enum Head {
    /// One of a 1xx, after which another comes.
    Interim(ResponseHeader),
    /// The answer's own: a 101 has become a 200.
    Last(ResponseHeader),
}

/// What this head of an answer in HTTP/1.1 becomes. Errors: it is none.
pub(crate) fn answer(text: &[u8]) -> io::Result<Head> {
    let wrong = |cause: String| io::Error::new(io::ErrorKind::InvalidData, cause);
    let mut space = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut space);
    head.parse(text).map_err(|error| wrong(error.to_string()))?;
    let status = match head.code {
        Some(101) => 200,
        Some(status) => status,
        None => return Err(wrong("an answer without a status".to_owned())),
    };
    let build = |error: Box<pingora::Error>| wrong(error.to_string());
    let mut answer =
        ResponseHeader::build_no_case(status, Some(head.headers.len())).map_err(build)?;
    for field in head.headers.iter() {
        let is_passed = !field
            .name
            .eq_ignore_ascii_case(SEC_WEBSOCKET_ACCEPT.as_str());
        if is_passed {
            let name = field.name.to_owned();
            answer.append_header(name, field.value).map_err(build)?;
        }
    }
    Ok(match answer.status.is_informational() {
        true => Head::Interim(answer),
        false => Head::Last(answer),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = http::Request::builder()
            .method("CONNECT")
            .uri("https://chat.example.com/room?a=1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0.into()
    }

    fn lines(headers: &[(&'static str, &str)]) -> Vec<String> {
        let text = String::from_utf8(handshake(&request(headers))).unwrap();
        assert!(text.ends_with("\r\n\r\n"), "{text}");
        let lines = text.lines().map(str::to_owned);
        let is_key = |line: &String| line.starts_with("Sec-WebSocket-Key: ");
        lines.filter(|line| !is_key(line)).collect()
    }

    #[test]
    fn a_handshake_is_what_an_http_1_1_client_would_send() {
        let all = lines(&[
            ("sec-websocket-version", "13"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("origin", "https://example.com"),
        ]);
        let expected = [
            "GET /room?a=1 HTTP/1.1",
            "Host: chat.example.com",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "sec-websocket-version: 13",
            "origin: https://example.com",
            "Cookie: a=1; b=2",
            "",
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn what_frames_or_names_otherwise_is_not_passed() {
        let all = lines(&[
            ("host", "other.example.com"),
            ("content-length", "5"),
            ("te", "trailers"),
            ("sec-websocket-key", "mine"),
        ]);
        assert_eq!(all.len(), 5, "{all:?}");
    }

    #[test]
    fn a_key_is_new_for_each_handshake_and_16_bytes_long() {
        let (one, other) = (key(), key());
        assert_ne!(one, other);
        assert!(one.len() == 24 && one.ends_with("=="), "{one}");
    }

    #[test]
    fn a_101_becomes_a_200_and_other_answers_stay() {
        let head = |text: &str| {
            let (Head::Interim(head) | Head::Last(head)) = answer(text.as_bytes()).unwrap();
            let fields = head.headers.iter();
            let fields = fields.map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
            (head.status.as_u16(), fields.collect::<Vec<_>>())
        };
        let upgraded = "HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: x\r\n\
                        Sec-WebSocket-Protocol: chat\r\n\r\n";
        let protocol = "sec-websocket-protocol=chat".to_owned();
        assert_eq!(head(upgraded), (200, vec![protocol]));
        assert_eq!(head("HTTP/1.1 403 No\r\n\r\n"), (403, vec![]));
        assert_eq!(head("HTTP/1.1 103 Early\r\n\r\n"), (103, vec![]));
        let early = answer(b"HTTP/1.1 103 Early\r\n\r\n");
        assert!(matches!(early, Ok(Head::Interim(_))));
        assert!(answer(b"garbage\r\n\r\n").is_err());
    }
}
