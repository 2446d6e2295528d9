//! What is different where the client or the target speaks HTTP/2: the head that such a target is
//! asked with, and a WebSocket's answer, which is checked, for the client cannot (RFC 8441 section
//! 5).

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderValue, StatusCode, Uri, Version};
use pingora::Error;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::Session;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::headers;
use super::trailers;
use crate::refusal::Refusal;
use crate::target_connection;
use crate::telemetry::RefusalReason;

/// What belongs to a connection of HTTP/1.1 (RFC 9113 section 8.2.2), or is said in another way in
/// HTTP/2.
const OF_HTTP_1_1: [HeaderName; 8] = [
    CONNECTION,
    HOST,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The head of a request to a target of HTTP/2. The client's own tells whether it takes trailers,
/// which Pingora has removed.
///
/// Errors: a target or a host that HTTP/2 has no place for (RFC 9113 section 8.3.1).
pub(super) fn head_for_target(
    client: &RequestHeader,
    request: &RequestHeader,
    is_tls: bool,
) -> Result<http::Request<()>, Refusal> {
    let host = request.headers.get(HOST).map(HeaderValue::as_bytes);
    let authority = host.and_then(|host| Authority::try_from(host).ok());
    let authority = authority.filter(|name| !name.as_str().contains('@'));
    let path = PathAndQuery::try_from(request.raw_path());
    let (Some(authority), Ok(path)) = (authority, path) else {
        return Err(Refusal::BAD_REQUEST);
    };
    let mut head = http::Request::new(());
    let mut uri = Parts::default();
    uri.scheme = Some(if is_tls { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(authority);
    uri.path_and_query = Some(path);
    *head.uri_mut() = Uri::from_parts(uri).map_err(|_| Refusal::BAD_REQUEST)?;
    *head.method_mut() = request.method.clone();
    *head.version_mut() = Version::HTTP_2;
    let fields = head.headers_mut();
    fields.clone_from(&request.headers);
    for name in &OF_HTTP_1_1 {
        fields.remove(name);
    }
    if trailers::are_taken(&client.headers) {
        fields.insert(TE, HeaderValue::from_static("trailers"));
    }
    Ok(head)
}

/// How long the request's body is; `None` where its end will tell.
pub(super) fn body_length(session: &mut Session) -> Option<u64> {
    if session.as_downstream_mut().is_body_empty() {
        return Some(0);
    }
    let headers = &session.req_header().headers;
    let is_known = headers.contains_key(CONTENT_LENGTH);
    is_known.then(|| headers::body_length(headers)).flatten()
}

/// Whether an error is that the client has reset the stream.
pub(super) fn is_reset(error: &Error) -> bool {
    match error.root_cause().downcast_ref::<h2::Error>() {
        Some(cause) => cause.is_reset() && cause.is_remote(),
        // Pingora was waiting for just that.
        None => *error.etype() == pingora::ErrorType::H2Error,
    }
}

/// Whether a target of HTTP/2 is not to blame for an error: it finds fault with what it was asked,
/// which may be the client's doing, or the error is of our making.
pub(super) fn is_blameless(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(target_connection::is_blameless)
}

/// Whether the target's answer to a WebSocket's handshake can be told to a client of HTTP/2.
///
/// Errors: a success that is no 101, which would mean there that a tunnel is open.
pub(super) fn check_answer(answer: &ResponseHeader) -> Result<(), Refusal> {
    match answer.status.is_success() {
        true => Err(Refusal::NOT_UPGRADED),
        false => Ok(()),
    }
}

/// Whether a target's 101 fits to the handshake (RFC 6455 section 4.1).
pub(super) fn check_accept(
    request: &RequestHeader,
    answer: &ResponseHeader,
) -> Result<(), Refusal> {
    let key = request.headers.get(SEC_WEBSOCKET_KEY);
    let expected = key.map(|key| derive_accept_key(key.as_bytes()));
    let accept = answer.headers.get(SEC_WEBSOCKET_ACCEPT);
    let fits = expected.is_some_and(|expected| {
        accept.is_some_and(|accept| accept.as_bytes() == expected.as_bytes())
    });
    fits.then_some(()).ok_or(Refusal::WRONG_ACCEPT)
}

/// Whether a rule's own answer to a WebSocket's handshake can be told to a client of HTTP/2: a
/// success would mean that a tunnel is open.
pub(super) fn check_status(status: StatusCode) -> Result<(), Refusal> {
    match status.is_success() {
        true => Err(Refusal {
            reason: RefusalReason::BadHandshake,
            detail: "there is no WebSocket here",
        }),
        false => Ok(()),
    }
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
    fn only_a_101_that_fits_to_the_handshake_opens_a_tunnel() {
        // The example of RFC 6455 section 1.3.
        let request = request(&[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]);
        let check = |status: u16, accept: Option<&str>| {
            let mut answer = ResponseHeader::build(status, None).unwrap();
            if let Some(accept) = accept {
                answer.insert_header(SEC_WEBSOCKET_ACCEPT, accept).unwrap();
            }
            let is_101 = answer.status == StatusCode::SWITCHING_PROTOCOLS;
            let accept = if is_101 {
                check_accept(&request, &answer)
            } else {
                Ok(())
            };
            check_answer(&answer).and(accept).map_err(Refusal::status)
        };
        let fitting = Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(check(101, fitting), Ok(()));
        assert_eq!(check(101, Some("AAAALMBiTxaQ9kYGzzhZRbK+xOo=")), Err(502));
        assert_eq!(check(101, None), Err(502));
        assert_eq!(check(200, fitting), Err(502));
        assert_eq!(check(403, None), Ok(()));
    }
}
