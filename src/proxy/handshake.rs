//! The WebSocket handshake: whether a request is one, and whether it is valid (RFC 6455 section
//! 4.2.1); and which other upgrade a request may be for.

use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Version};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::refusal::Refusal;
use crate::telemetry::RefusalReason;

/// Whether the request is a WebSocket handshake. Any other `Upgrade`, one that offers something
/// besides, and one in an HTTP/1.0 request (RFC 9110 section 7.8) is ignored. Where it is `lenient`
/// any key will do.
///
/// Errors: a handshake that is not valid.
pub(super) fn is_handshake(request: &Parts, lenient: bool) -> Result<bool, Refusal> {
    if !wants_websocket(&request.headers) || request.version != Version::HTTP_11 {
        return Ok(false);
    }
    if let Some(detail) = fault(request, lenient) {
        return Err(Refusal {
            reason: RefusalReason::BadHandshake,
            detail,
        });
    }
    let version = request.headers.get(SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version.as_bytes() != b"13") {
        return Err(Refusal::WEBSOCKET_VERSION);
    }
    Ok(true)
}

/// To which of these protocols the request asks to be upgraded (RFC 9110 section 7.8): the only one
/// that it names.
pub(super) fn other_upgrade(request: &Parts, permitted: &[Arc<str>]) -> Option<Arc<str>> {
    let headers = &request.headers;
    let mut lines = headers.get_all(UPGRADE).iter();
    let (Some(asked), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let is_asked = |name: &&Arc<str>| asked.as_bytes().eq_ignore_ascii_case(name.as_bytes());
    let is_upgrade =
        request.version == Version::HTTP_11 && has_token(headers, &CONNECTION, "upgrade");
    permitted
        .iter()
        .find(is_asked)
        .filter(|_| is_upgrade)
        .cloned()
}

/// Asks the target for the protocol that the client asks for: of other upgrades than WebSocket
/// nothing reaches it by itself.
pub(super) fn ask_again(asked: &RequestHeader, request: &mut RequestHeader) -> pingora::Result<()> {
    if let Some(protocol) = asked.headers.get(UPGRADE) {
        request.insert_header(CONNECTION, "Upgrade")?;
        request.insert_header(UPGRADE, protocol)?;
    }
    Ok(())
}

/// Whether a 101 is for this protocol.
pub(super) fn is_for(protocol: &str, answer: &ResponseHeader) -> bool {
    let mut lines = answer.headers.get_all(UPGRADE).iter();
    lines.any(|line| line.as_bytes().eq_ignore_ascii_case(protocol.as_bytes()))
}

/// Whether `Upgrade` is `websocket` and nothing else: what a target would be asked for.
fn wants_websocket(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(UPGRADE).iter();
    let (Some(protocol), None) = (lines.next(), lines.next()) else {
        return false;
    };
    protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
}

/// What is wrong with a handshake, its version aside.
fn fault(request: &Parts, lenient: bool) -> Option<&'static str> {
    let headers = &request.headers;
    let has_body = headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() != b"0");
    [
        (
            request.method != Method::GET,
            "WebSocket handshake: the method is not GET",
        ),
        (
            !has_token(headers, &CONNECTION, "upgrade"),
            "WebSocket handshake: no Connection: Upgrade",
        ),
        (!headers.contains_key(HOST), "WebSocket handshake: no Host"),
        (
            !has_valid_key(headers, lenient),
            "WebSocket handshake: Sec-WebSocket-Key is not 16 bytes in base64",
        ),
        (has_body, "WebSocket handshake: the request has a body"),
    ]
    .into_iter()
    .find_map(|(is_wrong, detail)| is_wrong.then_some(detail))
}

/// Whether a list-valued header holds this token, in any case (RFC 9110 section 5.6.1).
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|member| member.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Exactly one key, of 16 bytes in base64: 22 characters and two of padding. Some clients have
/// others, and some targets take them.
fn has_valid_key(headers: &HeaderMap, lenient: bool) -> bool {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return false;
    };
    if lenient {
        return !key.is_empty();
    }
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match key.as_bytes().split_at_checked(22) {
        Some((digits, padding)) => padding == b"==" && digits.iter().all(is_base64),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: [(&str, &str); 5] = [
        ("Host", "example.com"),
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];

    fn request(changes: &[(&str, &str)]) -> Parts {
        let mut builder = http::Request::builder();
        let unchanged = VALID
            .iter()
            .filter(|(name, _)| changes.iter().all(|(c, _)| c != name));
        for (name, value) in unchanged.chain(changes.iter().filter(|(_, value)| !value.is_empty()))
        {
            builder = match *name {
                "method" => builder.method(*value),
                "version" => builder.version(Version::HTTP_10),
                header => builder.header(header, *value),
            };
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn status(changes: &[(&str, &str)]) -> Result<bool, u16> {
        is_handshake(&request(changes), false).map_err(Refusal::status)
    }

    fn lenient_status(key: &str) -> Result<bool, u16> {
        let request = request(&[("Sec-WebSocket-Key", key)]);
        is_handshake(&request, true).map_err(Refusal::status)
    }

    #[test]
    fn a_lenient_rule_takes_any_key_but_none() {
        for key in ["c2hvcnQ=", "x", "dGhlIHNhbXBsZSBub25jZQ=="] {
            assert_eq!(lenient_status(key), Ok(true), "{key}");
        }
        assert_eq!(lenient_status(""), Err(400));
    }

    #[test]
    fn valid_handshakes_are_told_from_plain_requests() {
        assert_eq!(status(&[]), Ok(true));
        assert_eq!(status(&[("Upgrade", "WebSocket")]), Ok(true));
        assert_eq!(status(&[("Upgrade", "h2c, websocket")]), Ok(false));
        assert_eq!(status(&[("Upgrade", "websocket, foo")]), Ok(false));
        let twice = [("Upgrade", "websocket"), ("Upgrade", "foo")];
        assert_eq!(status(&twice), Ok(false));
        assert_eq!(status(&[("Connection", "UPGRADE")]), Ok(true));
        assert_eq!(status(&[("Content-Length", "0")]), Ok(true));
        assert_eq!(status(&[("Upgrade", "h2c")]), Ok(false));
        assert_eq!(status(&[("Upgrade", "")]), Ok(false));
        assert_eq!(status(&[("version", "1.0")]), Ok(false));
    }

    #[test]
    fn another_upgrade_is_one_protocol_that_is_permitted() {
        let permitted = ["tcp".into(), "SPDY/3.1".into()];
        let asked = |changes: &[(&str, &str)]| other_upgrade(&request(changes), &permitted);
        for (upgrade, expected) in [
            ("tcp", Some("tcp")),
            ("spdy/3.1", Some("SPDY/3.1")),
            ("spdy/3", None),
            ("h2c", None),
            ("websocket", None),
            ("tcp, websocket", None),
            ("", None),
        ] {
            assert_eq!(
                asked(&[("Upgrade", upgrade)]).as_deref(),
                expected,
                "{upgrade}"
            );
        }
        assert_eq!(asked(&[("Upgrade", "tcp"), ("Upgrade", "tcp")]), None);
        assert_eq!(asked(&[("Upgrade", "tcp"), ("Connection", "close")]), None);
        assert_eq!(asked(&[("Upgrade", "tcp"), ("version", "1.0")]), None);
    }

    #[test]
    fn what_breaks_the_rfc_is_refused() {
        for changes in [
            [("method", "POST")],
            [("Host", "")],
            [("Connection", "")],
            [("Connection", "keep-alive")],
            [("Sec-WebSocket-Key", "")],
            [("Sec-WebSocket-Key", "c2hvcnQ=")],
            [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=!")],
            [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==x")],
            [("Content-Length", "5")],
            [("Transfer-Encoding", "chunked")],
        ] {
            assert_eq!(status(&changes), Err(400), "{changes:?}");
        }
        for version in ["8", "14", "13, 8", ""] {
            let changes = [("Sec-WebSocket-Version", version)];
            assert_eq!(status(&changes), Err(426), "{version}");
        }
        let twice = [
            ("Sec-WebSocket-Key", VALID[3].1),
            ("Sec-WebSocket-Key", VALID[3].1),
        ];
        assert_eq!(status(&twice), Err(400));
    }
}
