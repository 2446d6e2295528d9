//! Whether a request is what it seems to be to everybody on its way. Where two readers could take a
//! head for different requests, one hides a request from the other: so it is refused, though
//! Pingora would make something of it.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Version};
use pingora::http::RequestHeader;

use super::headers;
use crate::config::model::Bounds;
use crate::refusal::Refusal;

/// More than this overflows in some readers.
const LONGEST_BODY: u64 = i64::MAX as u64;
/// How many things Connection may name.
const MOST_NOMINATIONS: usize = 9;
/// What it may not name.
const NOT_NOMINATED: [&str; 4] = [
    "host",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];
/// The smallest bound that a target in use has for a head, or reads of it at once.
const ORDINARY_SIZE: usize = 4096;

/// Looks at a head that Pingora has parsed.
///
/// Errors: one that is too large, or announces a body that is, or that not everybody would
/// understand in the same way.
pub(super) fn check(head: &RequestHeader, bounds: &Bounds) -> Result<(), Refusal> {
    if head.headers.len() > bounds.headers {
        return Err(Refusal::TOO_MANY_HEADERS);
    }
    if size(head) > bounds.header_bytes {
        return Err(Refusal::HEAD_TOO_LARGE);
    }
    check_framing(&head.headers)?;
    check_target(head)?;
    check_host(head)?;
    let length = headers::body_length(&head.headers).unwrap_or(0);
    match bounds.body_bytes.is_some_and(|most| length > most) {
        true => Err(Refusal::BODY_TOO_LARGE),
        false => Ok(()),
    }
}

/// What the head would take on an HTTP/1.1 wire at least.
fn size(head: &RequestHeader) -> usize {
    let line = head.method.as_str().len() + head.raw_path().len();
    let fields = head.headers.iter();
    line + fields
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum::<usize>()
}

/// One length, in digits, or one coding, which is `chunked` (RFC 9112 sections 6.1 to 6.3). Pingora
/// would pass several equal lengths on, and forget all codings but the last.
fn check_framing(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        let is_number = length.as_bytes().iter().all(u8::is_ascii_digit);
        let number = length
            .to_str()
            .ok()
            .and_then(|length| length.parse::<u64>().ok());
        let number = number.filter(|number| is_number && *number <= LONGEST_BODY);
        if number.is_none() || lengths.next().is_some() {
            return Err(Refusal::bad_request("Content-Length is not one number"));
        }
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let is_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !is_chunked || codings.next().is_some() {
            return Err(Refusal::bad_request(
                "Transfer-Encoding is not just chunked",
            ));
        }
    }
    Ok(())
}

/// Whether Connection names at most nine things, in the form of names, and none of what says whom a
/// request is for and from. Pingora sends no other to a target, but finds that out when there is a
/// connection to one.
pub(super) fn check_nominations(headers: &HeaderMap) -> Result<(), Refusal> {
    let lines = headers.get_all(CONNECTION).iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let names = names
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty());
    let is_kept = |name: &[u8]| {
        let mut kept = NOT_NOMINATED.iter();
        kept.any(|kept| name.eq_ignore_ascii_case(kept.as_bytes()))
    };
    let is_beyond = |(place, name): (usize, &[u8])| {
        place >= MOST_NOMINATIONS || !is_token(name) || is_kept(name)
    };
    match names.enumerate().any(is_beyond) {
        true => Err(Refusal::bad_request("Connection names what it may not")),
        false => Ok(()),
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    text.iter().all(is_of_token)
}

/// A path, which an address has become by now, or `*` for OPTIONS (RFC 9112 section 3.2); CONNECT
/// does not come this far in HTTP/1.1.
fn check_target(head: &RequestHeader) -> Result<(), Refusal> {
    let target = head.raw_path();
    let is_sound = target.starts_with(b"/")
        || (target == b"*" && head.method == Method::OPTIONS)
        || head.method == Method::CONNECT;
    match is_sound {
        true => Ok(()),
        false => Err(Refusal::bad_request("the request's target is no path")),
    }
}

/// One Host in HTTP/1.1 (RFC 9112 section 3.2), and only what may stand in one. Pingora has refused
/// several.
fn check_host(head: &RequestHeader) -> Result<(), Refusal> {
    match head.headers.get(HOST) {
        None if head.version == Version::HTTP_11 => Err(Refusal::bad_request("no Host")),
        Some(host) if !is_host(host.as_bytes()) => Err(Refusal::bad_request("Host is no host")),
        None | Some(_) => Ok(()),
    }
}

/// Whether it is a host, possibly with a port, or empty. Of what RFC 3986 allows in names beyond
/// letters and digits, only what occurs: commas and the like are more likely to deceive.
fn is_host(host: &[u8]) -> bool {
    let colon = match host.iter().position(|byte| *byte == b']') {
        Some(end) => host.get(end + 1).map(|_| end + 1),
        None => host.iter().position(|byte| *byte == b':'),
    };
    let (name, port) = host.split_at(colon.unwrap_or(host.len()));
    is_name(name) && is_port(port)
}

fn is_name(name: &[u8]) -> bool {
    let inner = name
        .strip_prefix(b"[")
        .and_then(|name| name.strip_suffix(b"]"));
    match inner {
        Some(address) => address
            .iter()
            .all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte)),
        None => name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(byte)),
    }
}

/// Nothing, or a colon and a number, or a colon (RFC 3986 section 3.2.3).
fn is_port(port: &[u8]) -> bool {
    let Some(digits) = port.strip_prefix(b":") else {
        return port.is_empty();
    };
    let text = std::str::from_utf8(digits).ok();
    let number = text.and_then(|digits| digits.parse::<u16>().ok());
    digits.is_empty() || (number.is_some() && digits.iter().all(u8::is_ascii_digit))
}

/// Whether every target knows what to make of this head. One that does not may end the connection
/// without an answer.
pub(super) fn is_ordinary(head: &RequestHeader) -> bool {
    const METHODS: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
    ];
    let target = head.raw_path();
    METHODS.contains(&head.method)
        && target.starts_with(b"/")
        && target.iter().all(u8::is_ascii_graphic)
        && size(head) <= ORDINARY_SIZE
        && !head.headers.contains_key(EXPECT)
        && head.headers.values().all(|value| value.to_str().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_a_port() {
        for host in [
            "",
            "a",
            "a.b-c_d",
            "a:80",
            "a:",
            "10.0.0.1:65535",
            "[::1]",
            "[::1]:80",
            "%41",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "a b",
            "a,b",
            "a/b",
            "a#b",
            "a?b",
            "a@b",
            "a:b",
            "a:99999",
            "a:+1",
            "a:80:80",
            "::1",
            "[::1",
            "[::1]a",
            "[a.b]x:80",
            "[g]",
            "\u{e4}",
            "a;b",
            "a\\b",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn connection_names_few_things_and_none_that_says_whom_a_request_is_from() {
        let is_sound = |lines: &[&str]| {
            let mut head = RequestHeader::build("GET", b"/", None).unwrap();
            for line in lines {
                head.append_header("connection", *line).unwrap();
            }
            check_nominations(&head.headers).is_ok()
        };
        let nine = "a,b,c,d,e,f,g,h,i";
        for lines in [
            &[][..],
            &[""],
            &["close, x-a,, "],
            &[nine],
            &["x-request-id"],
        ] {
            assert!(is_sound(lines), "{lines:?}");
        }
        for lines in [
            &["Host"][..],
            &["close, X-Forwarded-For"],
            &["close", "x-forwarded-proto"],
            &["a b"],
            &[":authority"],
            &["\"x-a\""],
            &[nine, "j"],
        ] {
            assert!(!is_sound(lines), "{lines:?}");
        }
    }

    #[test]
    fn what_some_targets_do_not_understand_is_not_ordinary() {
        let is = |method: &str, path: &[u8], name: &'static str, value: &[u8]| {
            let mut head = RequestHeader::build(method, path, None).unwrap();
            head.insert_header(name, value).unwrap();
            is_ordinary(&head)
        };
        assert!(is("GET", b"/a?b=c", "x-a", b"b"));
        for (method, path, name, value) in [
            ("FOO", b"/".as_slice(), "x-a", b"b".as_slice()),
            ("TRACE", b"/", "x-a", b"b"),
            ("GET", b"http://a/", "x-a", b"b"),
            ("GET", b"/\xFF", "x-a", b"b"),
            ("GET", b"/", "x-a", b"\xFF"),
            ("GET", b"/", "x-a", &[b'b'; 5000]),
            ("GET", b"/", "expect", b"100-continue"),
        ] {
            assert!(!is(method, path, name, value), "{method} {path:?} {name}");
        }
    }
}
