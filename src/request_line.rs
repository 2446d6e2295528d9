//! What the log repeats of a request's head, and how long it was, also where no exchange begins
//! with it. A head of HTTP/2 is brought into the form of HTTP/1.1 for that, which rules and targets
//! know.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use http::HeaderMap;
use http::header::{COOKIE, HOST, HeaderName, HeaderValue, REFERER, USER_AGENT};
use pingora::http::RequestHeader;

use crate::rules::Request;
use crate::stream::joined_cookies;
use crate::telemetry::{Record, Redaction, RequestLine, cut};

/// The parts of this head that the log repeats.
pub fn of(head: &RequestHeader, version: &'static str, redaction: &Redaction) -> RequestLine {
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let target = head.raw_path();
    let request = Request::new(head.method.as_str(), target, &head.headers, nobody);
    RequestLine {
        version,
        method: cut(head.method.as_str()).into_owned(),
        host: cut(readable(request.host())).into_owned(),
        uri: cut(redaction.redact(&readable(target))).into(),
        user_agent: text(&head.headers, &USER_AGENT).map(|agent| cut(agent).into_owned()),
        referer: text(&head.headers, &REFERER)
            .map(|referer| cut(redaction.redact(&referer)).into_owned()),
    }
}

/// What the log repeats of these headers, each with all of its lines.
pub fn values(
    headers: &HeaderMap,
    names: &[HeaderName],
    redaction: &Redaction,
) -> Vec<(HeaderName, String)> {
    let value = |name: &HeaderName| {
        let lines = headers.get_all(name).iter();
        let lines: Vec<_> = lines.map(|value| readable(value.as_bytes())).collect();
        let text = (!lines.is_empty()).then(|| lines.join(", "))?;
        let text = cut(redaction.redact(&text)).into_owned();
        Some((name.clone(), text))
    };
    names.iter().filter_map(value).collect()
}

/// Notes what is asked on a stream of HTTP/2.
pub fn note_stream(record: &mut Record, head: &mut RequestHeader, redaction: &Redaction) {
    suit_http_1_1(head);
    record.bytes.request_header = size_in_http_1_1(head);
    record.request = Some(of(head, "HTTP/2", redaction));
}

/// Notes what is asked in this text of HTTP/1.1, as far as it is a head.
pub fn note_text(record: &mut Record, text: &[u8], redaction: &Redaction) {
    const MOST: usize = 256;
    let mut space = [httparse::EMPTY_HEADER; MOST];
    let mut parsed = httparse::Request::new(&mut space);
    if !matches!(parsed.parse(text), Ok(httparse::Status::Complete(_))) {
        return;
    }
    let (method, target) = (parsed.method.unwrap_or(""), parsed.path.unwrap_or(""));
    let Ok(mut head) = RequestHeader::build(method, target.as_bytes(), None) else {
        return;
    };
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let name = name
            .ok()
            .filter(|name| [HOST, USER_AGENT, REFERER].contains(name));
        if let Some(name) = name {
            head.append_header(name, field.value).ok();
        }
    }
    let version = match parsed.version {
        Some(0) => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    record.request = Some(of(&head, version, redaction));
}

/// Says in headers what HTTP/2 says in another way: the host, which is `:authority` (RFC 9113
/// section 8.3.1), and the cookies, of which there may be several lines (section 8.2.3).
pub fn suit_http_1_1(request: &mut RequestHeader) {
    let authority = request.uri.authority();
    let host = authority.and_then(|name| HeaderValue::from_str(name.as_str()).ok());
    if let Some(host) = host {
        request.insert_header(HOST, host).ok();
    }
    let is_split = request.headers.get_all(COOKIE).iter().nth(1).is_some();
    if let Some(cookies) = joined_cookies(request).filter(|_| is_split) {
        request.insert_header(COOKIE, cookies).ok();
    }
}

/// How long the request's head would be in HTTP/1.1.
pub fn size_in_http_1_1(request: &RequestHeader) -> u64 {
    let target = request.raw_path().len() + request.method.as_str().len();
    (target + "  HTTP/1.1\r\n".len()) as u64 + size_of_fields(&request.headers)
}

/// A header's value as text, the first of them if there are several.
fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Cow<'h, str>> {
    headers.get(name).map(|value| readable(value.as_bytes()))
}

/// These bytes as text, with a mark in the place of what is no UTF-8.
fn readable(bytes: &[u8]) -> Cow<'_, str> {
    // Faster than the search for what is to be replaced.
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// The bytes of these fields in an HTTP/1.1 head, with the empty line.
pub fn size_of_fields(headers: &HeaderMap) -> u64 {
    let field = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let fields: usize = headers.iter().map(field).sum();
    (fields + "\r\n".len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = http::Request::builder().uri("https://example.com:8443/a");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0.into()
    }

    #[test]
    fn the_host_is_the_authority_and_cookies_are_one_line() {
        let mut request = request(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
        suit_http_1_1(&mut request);
        assert_eq!(request.headers[HOST], "example.com:8443");
        let cookies: Vec<_> = request.headers.get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3"]);
    }
}
