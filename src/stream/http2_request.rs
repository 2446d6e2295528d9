//! What a client asks on a stream of HTTP/2: its head, and the ends of h2 that its body comes from
//! and its answer goes to.
//!
//! Plain requests, the handshakes of WebSockets and those that are refused at once are all begun
//! here. What is no request that everybody would understand in the same way is none (RFC 9113
//! section 8.3.1).

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, DATE, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::authority::{
    RawTargetAuthority, raw_target_authority, validate_request_authority,
};
use pingora::protocols::http::date::get_cached_date;

/// What belongs to a connection of HTTP/1.1 (RFC 9113 section 8.2.2).
const OF_HTTP_1_1: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A request on one stream of HTTP/2.
pub struct Http2Request {
    /// The request's head.
    pub head: RequestHeader,
    body: RecvStream,
    answer: SendResponse<Bytes>,
    read: usize,
}

impl Http2Request {
    /// The request on a stream that h2 has accepted; `None` if it is none, and the client was told.
    pub fn accept(request: Request<RecvStream>, mut answer: SendResponse<Bytes>) -> Option<Self> {
        let (head, body) = request.into_parts();
        let head = RequestHeader::from(head);
        let is_delimiter = |byte: &u8| matches!(byte, b'\0' | b'\n' | b'\r' | b' ');
        if head.raw_path().iter().any(is_delimiter) {
            answer.send_reset(Reason::PROTOCOL_ERROR);
            return None;
        }
        if !has_one_authority(&head) {
            let mut refusal = Response::new(());
            *refusal.status_mut() = StatusCode::BAD_REQUEST;
            // A client that has reset the stream does not hear it.
            answer.send_response(refusal, true).ok();
            return None;
        }
        Some(Http2Request {
            head,
            body,
            answer,
            read: 0,
        })
    }

    /// The next part of the body; `None` where only trailers may follow. More may be sent once it
    /// is [released](Self::release).
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let data = ready!(self.body.poll_data(cx));
        Poll::Ready(data.map(|data| {
            let data = data?;
            self.read += data.len();
            Ok(data)
        }))
    }

    /// So much of what was read has gone on; as much more may be sent.
    pub fn release(&mut self, bytes: usize) -> Result<(), h2::Error> {
        self.body.flow_control().release_capacity(bytes)
    }

    /// The trailers, after all of the body.
    pub fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, h2::Error>> {
        self.body.poll_trailers(cx)
    }

    /// Whether nothing more comes.
    pub fn is_over(&self) -> bool {
        self.body.is_end_stream()
    }

    /// How much of the body has come.
    pub fn read(&self) -> usize {
        self.read
    }

    /// Sends a 1xx (RFC 9113 section 8.1). One that does not reach the client is not needed.
    pub fn send_interim(&mut self, head: &ResponseHeader) {
        if let Err(error) = self.answer.send_informational(suited(head)) {
            log::debug!("an interim answer: {error}");
        }
    }

    /// Sends the answer's head, which is all of it if it is the `end`; what its body goes to.
    pub fn send_head(
        &mut self,
        head: &mut ResponseHeader,
        end: bool,
    ) -> Result<SendStream<Bytes>, h2::Error> {
        head.insert_header(DATE, get_cached_date()).ok();
        self.answer.send_response(suited(head), end)
    }

    /// Ready when the client has given the stream up.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reason, h2::Error>> {
        self.answer.poll_reset(cx)
    }

    /// Gives the stream up.
    pub fn reset(&mut self, reason: Reason) {
        self.answer.send_reset(reason);
    }
}

/// Whether it is clear which host is asked, and that the path is one.
fn has_one_authority(head: &RequestHeader) -> bool {
    let is_named = head.uri.authority().is_some() || head.headers.contains_key(HOST);
    let is_path = matches!(
        raw_target_authority(head.raw_path()),
        RawTargetAuthority::None
    );
    is_named && is_path && validate_request_authority(head).is_ok()
}

fn suited(head: &ResponseHeader) -> Response<()> {
    let mut answer = Response::from_parts(head.as_owned_parts(), ());
    for name in &OF_HTTP_1_1 {
        answer.headers_mut().remove(name);
    }
    answer
}
