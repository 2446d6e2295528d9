//! The trailers of an exchange: what its heads say of them, and, once a message has come to its
//! end, which of them go on.

use http::header::TRANSFER_ENCODING;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::Session;

use super::{Exchange, is_stream};
use crate::proxy::{trailers, untrusted_headers};
use crate::stream::Framing;

impl Exchange {
    /// Says in the head of the request that is about to be sent what the client's says of trailers.
    /// In HTTP/1.1 they can follow chunks only.
    pub(super) fn announce_request_trailers(
        &self,
        client: &RequestHeader,
        request: &mut RequestHeader,
        framing: Framing,
    ) -> Result<()> {
        if self.is_handshake {
            return Ok(());
        }
        let can_follow = framing == Framing::Chunked || self.connection.wire.is_target_http2();
        trailers::tell_target(client, request, can_follow)
    }

    /// The request has come to its end: its trailers go on as far as they may. What headers may not
    /// say of a client, they may not.
    pub(super) fn pass_request_trailers(&self, head: &RequestHeader) {
        let is_from_proxy = self.is_from_proxy();
        self.connection.wire.pass_request_trailers(|fields| {
            trailers::purge(fields, &trailers::hops(&head.headers));
            for name in untrusted_headers::dropped(fields, &self.rule, is_from_proxy) {
                fields.remove(&name);
            }
            if let Some(route) = self.route() {
                trailers::purge_changed(fields, &route.headers.request);
            }
        });
    }

    /// The head of an answer is about to go out: says which trailers may follow.
    pub(in crate::proxy) fn announce_trailers(
        &self,
        session: &Session,
        answer: &mut ResponseHeader,
    ) -> Result<()> {
        if answer.status.is_informational() {
            return Ok(());
        }
        let is_chunked = !is_stream(session) && answer.headers.contains_key(TRANSFER_ENCODING);
        self.connection.wire.answer_in_chunks(is_chunked);
        trailers::tell_client(answer, is_chunked || is_stream(session))
    }

    /// The answer has come to its end: its trailers go on as far as they may.
    pub(super) fn pass_trailers(&self) {
        let purge = |fields: &mut _| {
            trailers::purge(fields, &self.hops);
            if let Some(route) = self.route() {
                trailers::purge_changed(fields, &route.headers.response);
            }
        };
        self.connection.wire.pass_trailers(purge);
    }
}
