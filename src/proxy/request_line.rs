//! What the log repeats of a request's head, also where no exchange begins with it.

use std::net::{IpAddr, Ipv4Addr};

use http::header::{HOST, HeaderName, REFERER, USER_AGENT};
use pingora::http::RequestHeader;

use super::{headers, http2};
use crate::rules::Request;
use crate::telemetry::{Record, Redaction, RequestLine, cut};

/// The parts of this head that the log repeats.
pub(super) fn of(
    head: &RequestHeader,
    version: &'static str,
    redaction: &Redaction,
) -> RequestLine {
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let target = head.raw_path();
    let request = Request::new(head.method.as_str(), target, &head.headers, nobody);
    RequestLine {
        version,
        method: cut(head.method.as_str()).into_owned(),
        host: cut(headers::readable(request.host())).into_owned(),
        uri: cut(redaction.redact(&headers::readable(target))).into(),
        user_agent: headers::text(&head.headers, &USER_AGENT).map(|agent| cut(agent).into_owned()),
        referer: headers::text(&head.headers, &REFERER)
            .map(|referer| cut(redaction.redact(&referer)).into_owned()),
    }
}

/// Notes what is asked on a stream of HTTP/2.
pub fn note_stream(record: &mut Record, head: &mut RequestHeader, redaction: &Redaction) {
    http2::suit_http_1_1(head);
    record.bytes.request_header = http2::size_in_http_1_1(head);
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
