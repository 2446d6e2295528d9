//! What the target is told about the client, and the client by the target, in headers; and how long
//! heads are on the wire.
//!
//! What a client itself says of where it comes from is not here any more (`untrusted_headers`). A
//! trusted proxy's word is kept, and its own address added.

use http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Version};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::Session;

use super::scheme::X_FORWARDED_PROTO;
use super::trailers;
use crate::refusal::Refusal;
use crate::request_line::size_of_fields;
use crate::rules::origin_form;
use crate::telemetry::ClientCertificate;

const OF_A_CONNECTION: [HeaderName; 2] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What is known of the client's certificate: whether it is valid, its subject, and its SHA-256.
const X_CLIENT_CERTIFICATE: [HeaderName; 3] = [
    HeaderName::from_static("x-client-certificate-verify"),
    HeaderName::from_static("x-client-certificate-subject"),
    HeaderName::from_static("x-client-certificate-fingerprint"),
];

/// Removes what a client says of its certificate itself.
pub(super) fn forget_certificate(request: &mut RequestHeader) {
    for name in &X_CLIENT_CERTIFICATE {
        request.remove_header(name);
    }
}

/// Sets the headers about the client's certificate, in the place of whatever it said itself.
pub(super) fn tell_certificate(
    certificate: Option<&ClientCertificate>,
    request: &mut RequestHeader,
) -> Result<()> {
    let Some(certificate) = certificate else {
        return Ok(());
    };
    let values = [
        Some(certificate.verify),
        certificate.subject.as_deref(),
        certificate.fingerprint.as_deref(),
    ];
    for (name, value) in X_CLIENT_CERTIFICATE.iter().zip(values) {
        if let Some(value) = value {
            request.insert_header(name, value)?;
        }
    }
    Ok(())
}

/// Sets `X-Forwarded-Proto`, for conditions and for the target.
pub(super) fn tell_scheme(scheme: &'static str, request: &mut RequestHeader) -> Result<()> {
    request.insert_header(X_FORWARDED_PROTO, HeaderValue::from_static(scheme))
}

/// Asks by the path where the target is an address, whose authority is the host: Host says the
/// same, or is not there.
pub(super) fn ask_by_path(request: &mut RequestHeader) -> Result<()> {
    let target = origin_form(request.method.as_str(), request.raw_path());
    let Some((authority, path)) = target else {
        return Ok(());
    };
    if request.version == Version::HTTP_10 && !request.headers.contains_key(HOST) {
        let host = HeaderValue::from_bytes(authority);
        let host = host.map_err(|_| Refusal::BAD_REQUEST)?;
        request.insert_header(HOST, host)?;
    }
    request.set_raw_path(&path)
}

/// Removes what concerns the target's connection alone (RFC 9110 section 7.6.1). What frames the
/// body stays.
pub(super) fn forget_connection(answer: &mut ResponseHeader) {
    let mut hops = trailers::hops(&answer.headers);
    let tells_protocol = matches!(answer.status.as_u16(), 101 | 426);
    hops.retain(|name| *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING);
    hops.retain(|name| *name != UPGRADE || !tells_protocol);
    for name in hops.iter().chain(&OF_A_CONNECTION) {
        answer.remove_header(name);
    }
}

/// Takes the chunks from an answer to a client that does not know them (RFC 9112 section 6.1): it
/// ends with the connection, or, for a handshake in HTTP/2, with the stream.
pub(super) fn suit_end_of_connection(session: &mut Session, answer: &mut ResponseHeader) {
    if answer.remove_header(&TRANSFER_ENCODING).is_some() {
        session.set_keepalive(None);
    }
}

/// How long the request's body is; `None` where it is chunked. Pingora has checked the framing (RFC
/// 9112 section 6.3).
pub(super) fn body_length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    let length = headers
        .get(CONTENT_LENGTH)
        .map_or(b"0".as_slice(), HeaderValue::as_bytes);
    let first = length
        .split(|byte| *byte == b',')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    Some(
        std::str::from_utf8(first)
            .ok()
            .and_then(|length| length.parse().ok())
            .unwrap_or(0),
    )
}

/// The bytes of an answer's head as it goes to an HTTP/1.1 client.
pub(super) fn wire_size(header: &ResponseHeader) -> u64 {
    let reason = header.get_reason_phrase().map_or(0, str::len);
    let line = "HTTP/1.1 200 ".len() + reason + "\r\n".len();
    line as u64 + size_of_fields(&header.headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_head_is_that_on_the_wire() {
        let mut header = ResponseHeader::build(404, None).unwrap();
        header.insert_header("Content-Length", "3").unwrap();
        header.append_header("Set-Cookie", "a=1").unwrap();
        header.append_header("Set-Cookie", "b=2").unwrap();
        let wire = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nSet-Cookie: a=1\r\n\
                    Set-Cookie: b=2\r\n\r\n";
        assert_eq!(wire_size(&header), wire.len() as u64);
    }
}
