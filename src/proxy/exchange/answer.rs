//! The request goes out, and the target's answer comes: what is noted of both, and what the client
//! gets of it.

use std::sync::Arc;

use http::StatusCode;
use http::header::SET_COOKIE;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::Session;

use super::Exchange;
use crate::proxy::{framing, handshake, headers, http2, trailers as fields};
use crate::refusal::Refusal;
use crate::stream::{ClientEnd, Phase};
use crate::tunnel::{Identity, Opening};

/// How many heads of 1xx a target may send before its answer's, and how large they may be together:
/// what a client of HTTP/2 does not take of them waits in memory.
const MOST_INTERIM_HEADS: usize = 100;
const MOST_INTERIM_BYTES: u64 = 64 << 10;

impl Exchange {
    /// Notes how the request is framed that is about to be sent, and what its head is in HTTP/2,
    /// where the target is asked in that.
    ///
    /// Errors: it has none there.
    pub(in crate::proxy) fn send_request(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
    ) -> pingora::Result<()> {
        let has_body = !session.as_downstream_mut().is_body_empty();
        let framing = framing::of_request(request, has_body);
        self.connection.wire.send_request(framing);
        self.announce_request_trailers(session.req_header(), request, framing)?;
        if self.connection.wire.is_target_http2() {
            let target = self.attempts.target.as_ref();
            let is_tls = target.is_some_and(|target| target.tls.is_some());
            let head = http2::head_for_target(session.req_header(), request, is_tls)?;
            self.connection.wire.bring_head(head);
        }
        Ok(())
    }

    /// Notes how the target's answer is framed.
    ///
    /// Errors: its end is not certain.
    pub(in crate::proxy) fn expect_answer(
        &mut self,
        session: &Session,
        answer: &mut ResponseHeader,
    ) -> Result<(), Refusal> {
        if answer.status.is_informational() && answer.status != StatusCode::SWITCHING_PROTOCOLS {
            framing::forget_body(answer);
            return Ok(());
        }
        self.hops = fields::hops(&answer.headers);
        let framing = framing::of_answer(&session.req_header().method, answer)?;
        let keeps_target = framing::keeps_connection(answer) && !framing::promises_too_much(answer);
        framing::forget_body(answer);
        self.connection.wire.expect_answer(framing, keeps_target);
        Ok(())
    }

    /// So much of the answer's body goes to the client.
    pub(in crate::proxy) fn pass_body(&self, bytes: usize) {
        self.connection.wire.download.pass(bytes);
    }

    /// Notes the head of the target's answer, of which there may be several: 1xx before the last.
    ///
    /// Errors: one that cannot be told to a client of HTTP/2, and more of them than any target
    /// would mean.
    pub(in crate::proxy) fn answered(
        &mut self,
        session: &mut Session,
        answer: &mut ResponseHeader,
    ) -> pingora::Result<()> {
        self.check_handshake(session, answer)?;
        let status = answer.status.as_u16();
        if self.ledger.record.target_latency.is_none() {
            self.ledger.record.target_latency = self.attempts.asked_at.map(|asked| asked.elapsed());
        }
        let is_upgrade = self.is_handshake && status == 101;
        if is_upgrade && !self.is_expected(answer) {
            return Ok(Err(Refusal::WRONG_UPGRADE)?);
        }
        self.awaits_body &= status < 200;
        if self.connection.wire.phase() == Phase::Handshake && (is_upgrade || status >= 200) {
            self.connection.wire.end_handshake(is_upgrade);
        }
        if answer.status.is_informational() && !is_upgrade {
            self.interim_heads += 1;
            self.interim_bytes += headers::wire_size(answer);
            let are_few = self.interim_heads <= MOST_INTERIM_HEADS
                && self.interim_bytes <= MOST_INTERIM_BYTES;
            let is_sound = status != 101 && are_few;
            return Ok(is_sound.then_some(()).ok_or(Refusal::TARGET_FAILED)?);
        }
        self.judge_answer(status);
        self.keep_client(answer)?;
        self.ledger.record.status = Some(status);
        self.ledger.record.bytes.response_header = headers::wire_size(answer);
        if is_upgrade {
            self.note_answer(answer);
            self.open_tunnel();
        } else if self.connection.is_leaving() || self.has_client_ended() {
            session.set_keepalive(None);
        }
        if !is_upgrade && !self.connection.wire.is_body_over() {
            // Where the rest of a request that is answered already ends is not certain; nobody may
            // be left who takes it.
            session.set_keepalive(None);
            self.connection.wire.upload.unmeter();
        }
        Ok(())
    }

    /// Errors: an answer to a handshake that its client would take for another. One of HTTP/2
    /// cannot look at a 101 itself.
    fn check_handshake(&self, session: &Session, answer: &ResponseHeader) -> Result<(), Refusal> {
        let is_in_http2 = self.is_handshake_in_http2(session);
        if is_in_http2 {
            http2::check_answer(answer)?;
        }
        let is_websocket = self.is_handshake && self.other_protocol().is_none();
        let is_upgrade = is_websocket && answer.status == StatusCode::SWITCHING_PROTOCOLS;
        let wanted = self.route().and_then(|route| route.check_accept);
        match is_upgrade && wanted.unwrap_or(is_in_http2) {
            true => http2::check_accept(session.req_header(), answer),
            false => Ok(()),
        }
    }

    /// Whether a 101 is for the protocol that was asked for, and the request is over.
    fn is_expected(&self, answer: &ResponseHeader) -> bool {
        let protocol = self.other_protocol();
        !self.awaits_body && protocol.is_none_or(|protocol| handshake::is_for(protocol, answer))
    }

    /// Whether the client has ended its side, so that no other request comes.
    pub(in crate::proxy) fn has_client_ended(&self) -> bool {
        self.connection.wire.client_end() == ClientEnd::Closed
    }

    /// Tells a client which target it is to come back to, where it does not say so itself.
    fn keep_client(&self, answer: &mut ResponseHeader) -> pingora::Result<()> {
        let target = self
            .attempts
            .target
            .as_ref()
            .zip(self.ledger.route.as_ref());
        let Some((target, route)) =
            target.filter(|(target, _)| self.context.sticky != Some(target.place))
        else {
            return Ok(());
        };
        match route.group.token(target, self.is_secure()) {
            None => Ok(()),
            Some((name, value)) if name == SET_COOKIE => {
                answer.append_header(name, value).map(drop)
            }
            Some((name, value)) => answer.insert_header(name, value),
        }
    }

    /// The record and what belongs to it go with the tunnel, which begins when the 101 has gone
    /// out.
    fn open_tunnel(&mut self) {
        let (Some(target), Some(route)) = (&self.attempts.target, self.ledger.route.clone()) else {
            return;
        };
        self.rule
            .metrics
            .handshake(self.ledger.record.clock.elapsed());
        let identity = Identity {
            id: self.ledger.record.tracking_id.clone(),
            forwarding_rule: Arc::clone(&self.rule.name),
            target_group: Arc::clone(&route.group.name),
            target: target.address.clone(),
            client: self.client(),
            uri: self.ledger.uri(),
        };
        let has_frames = self.other_protocol().is_none();
        let on_end = self.ledger.open_tunnel(target, &self.rule);
        self.connection.hand_over.bring_opening(Opening {
            tunnels: Arc::clone(&self.connection.drain.tunnels),
            identity,
            limits: route.limits,
            has_frames,
            client_keepalive: self.connection.keepalive,
            on_end,
        });
    }
}
