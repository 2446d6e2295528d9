//! How an exchange ends: what is answered where it cannot go on, what the log says went wrong, and
//! the reason of its close.

use http::Method;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora::Error;
use pingora::http::ResponseHeader;
use pingora::prelude::Session;

use super::Exchange;
use crate::proxy::{headers, http2};
use crate::refusal::Refusal;
use crate::stream::{ClientEnd, Phase};
use crate::telemetry::{CloseReason, RefusalReason};
use crate::tunnel::{Ending, Opening};

/// Whether the end of the connection is the end of this answer (RFC 9112 section 6.3).
fn ends_with_it(session: &Session, answer: &ResponseHeader) -> bool {
    let is_framed = answer.headers.contains_key(CONTENT_LENGTH)
        || answer.headers.contains_key(TRANSFER_ENCODING);
    session.as_downstream().as_http1().is_some() && !answer.status.is_informational() && !is_framed
}

/// What is wrong with a client that does not take its answer.
const ANSWER_LATE: &str =
    "the client took less of its answer than minimumRate within clientTimeout";

impl Exchange {
    /// The refusal behind an error, noted; `None` where there is nobody to answer.
    pub(in crate::proxy) fn refuse(&mut self, error: &Error, session: &Session) -> Option<Refusal> {
        if self.is_only_rest_missing(error, session) {
            return None;
        }
        let refusal = match self.connection.wire.client_end() {
            _ if self.expired().is_some() => self.expired(),
            _ if self.is_too_late() => Some(Refusal::TARGET_TIMEOUT),
            ClientEnd::HandshakeExpired => Some(Refusal::TARGET_TIMEOUT),
            ClientEnd::BodyMalformed => Some(Refusal::MALFORMED_BODY),
            ClientEnd::BodyLate => Some(Refusal::CLIENT_TIMEOUT),
            _ => Refusal::of(error).map(|refusal| self.whose_fault(refusal)),
        };
        self.ledger.record.error = Some(self.explain(error, refusal));
        self.judge_refusal(refusal, error, session.req_header());
        let sent = session.response_written();
        let has_answer =
            sent.is_some_and(|sent| !sent.status.is_informational() || sent.status == 101);
        let refusal = refusal.filter(|_| !has_answer);
        self.ledger.record.refusal = refusal.map(|refusal| refusal.reason);
        if let Some(refusal) = &refusal {
            self.note_origin(refusal.reason, session.req_header());
        }
        if self.ledger.record.refusal == Some(RefusalReason::WebsocketVersion) {
            self.connection.wire.require_upgrade();
        }
        refusal
    }

    /// A target waits for as long as the request's body does not come: in HTTP/2 nobody else
    /// notices that.
    fn whose_fault(&self, refusal: Refusal) -> Refusal {
        let waits_for_body = self.connection.is_http2() && !self.connection.wire.is_body_over();
        match refusal {
            Refusal::TARGET_TIMEOUT if waits_for_body => Refusal::CLIENT_TIMEOUT,
            refusal => refusal,
        }
    }

    /// The error for the reader of the log: where, what, and the system's word for it.
    pub(super) fn explain(&self, error: &Error, refusal: Option<Refusal>) -> String {
        let cause = error.root_cause();
        let is_untold = refusal == Some(Refusal::NO_TARGET);
        if let Some(words) = self.attempts.connect_failure.as_ref().filter(|_| is_untold) {
            return words.clone();
        }
        let is_broken = refusal == Some(Refusal::TARGET_FAILED) && cause.is::<Refusal>();
        if let Some(words) = self
            .attempts
            .broken
            .as_ref()
            .filter(|_| is_broken && self.attempts.target.is_none())
        {
            return words.clone();
        }
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return refusal.detail.to_owned();
        }
        if let Some(late) = refusal.filter(|refusal| refusal.is_late()) {
            return late.detail.to_owned();
        }
        if self.connection.wire.client_end() == ClientEnd::AnswerLate {
            return ANSWER_LATE.to_owned();
        }
        let place = match (error.esource(), self.target()) {
            (pingora::ErrorSource::Upstream, Some(target)) => format!("target {target}"),
            (source, _) => source.as_str().to_owned(),
        };
        match cause.downcast_ref::<std::io::Error>() {
            Some(cause) => format!("{place}: {}: {cause}", error.etype().as_str()),
            None => format!("{place}: {}", error.etype().as_str()),
        }
    }

    /// Nobody waits any more for what the exchange would bring. Returns what would have opened its
    /// tunnel, unless somebody has fetched it.
    pub(super) fn part(&self) -> Option<Opening> {
        self.connection.wire.end_exchange();
        self.connection.hand_over.part()
    }

    /// The exchange is over, and Pingora tells how. A tunnel's goes on, unless nobody has fetched
    /// it.
    pub(in crate::proxy) fn close(&mut self, session: &Session, error: Option<&Error>) {
        let error = error.filter(|error| !self.is_only_rest_missing(error, session));
        let reason = self.close_reason(error);
        // What is left of the request goes nowhere.
        self.connection.wire.upload.unmeter();
        if let Some(mut opening) = self.part() {
            let error = self.ledger.record.error.take();
            opening.on_end.end(Ending::unopened(reason, error));
        }
        let sent = session.response_written();
        if let Some(sent) = sent {
            self.note_answer(sent);
        }
        let record = &mut self.ledger.record;
        record.status = sent.map(|sent| sent.status.as_u16());
        record.bytes.response_header = sent.map_or(0, headers::wire_size);
        record.bytes.request_body = session.body_bytes_read() as u64;
        record.bytes.response_body = session.body_bytes_sent() as u64;
        self.ledger.write(reason);
        if error.is_some()
            && session
                .response_written()
                .is_some_and(|sent| ends_with_it(session, sent))
        {
            // A FIN would say that it is complete.
            self.connection.wire.begin_reset();
        }
    }

    /// Whether the error is that the rest of a request did not come that was answered before its
    /// end: the client has all of the answer.
    fn is_only_rest_missing(&self, error: &Error, session: &Session) -> bool {
        use pingora::ErrorType::{ConnectionClosed, ReadError, ReadTimedout};
        let is_missing = *error.esource() == pingora::ErrorSource::Downstream
            && matches!(error.etype(), ConnectionClosed | ReadError | ReadTimedout);
        let Some(sent) = session.response_written().filter(|_| is_missing) else {
            return false;
        };
        let is_final = !sent.status.is_informational();
        let is_bodiless = session.req_header().method == Method::HEAD
            || matches!(sent.status.as_u16(), 204 | 304)
            || sent
                .headers
                .get(&CONTENT_LENGTH)
                .is_some_and(|length| length == "0");
        is_final && (is_bodiless || self.is_answered)
    }

    /// Reads what is left of the request, for at most `clientTimeout`: closing on it would break
    /// the connection before the client has read its answer (RFC 9112 section 9.6).
    pub(in crate::proxy) async fn drain_request(
        &self,
        session: &mut Session,
        error: Option<&Error>,
    ) {
        // In HTTP/2 nothing breaks but the stream.
        let is_plain =
            self.connection.wire.phase() == Phase::Exchange && !self.connection.is_http2();
        let client_failed =
            error.is_some_and(|error| *error.esource() == pingora::ErrorSource::Downstream);
        if is_plain && !client_failed {
            session.as_downstream_mut().drain_request_body().await.ok();
        }
    }

    fn close_reason(&self, error: Option<&Error>) -> CloseReason {
        if self.ledger.record.refusal.is_some() {
            return CloseReason::Refused;
        }
        let Some(error) = error else {
            return CloseReason::Completed;
        };
        match (error.esource(), self.connection.wire.client_end()) {
            (pingora::ErrorSource::Upstream, _) => CloseReason::TargetError,
            (_, ClientEnd::Closed) => CloseReason::ClientClosed,
            (_, _) if self.has_been_cancelled(error) => CloseReason::ClientClosed,
            (_, _) => CloseReason::ClientError,
        }
    }

    /// Whether a client of HTTP/2 has lost interest: it has reset the stream, or is gone with the
    /// connection.
    fn has_been_cancelled(&self, error: &Error) -> bool {
        let carrier = self.connection.carrier();
        let is_closed =
            carrier.is_some_and(|carrier| carrier.wire.client_end() == ClientEnd::Closed);
        is_closed || carrier.is_some() && http2::is_reset(error)
    }
}
