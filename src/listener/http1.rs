//! One request's time on a connection of HTTP/1.1, from the wait for its head on.
//!
//! Pingora makes an exchange once it has a head. What it answers before that (a head it cannot
//! parse, CONNECT), and a head that never came, leave their record here: it is written when no
//! exchange began.

use std::sync::Arc;

use super::Connection;
use crate::forwarding_rule::ForwardingRule;
use crate::refusal::Refusal;
use crate::request_line;
use crate::stream::ClientEnd;
use crate::telemetry::{CloseReason, Record, RefusalReason};

/// One request's time on the connection, from the wait for its head on.
pub(super) struct Turn<'a> {
    connection: &'a Connection,
    rule: Arc<ForwardingRule>,
    exchanges_before: u64,
    written_before: u64,
    record: Record,
}

impl<'a> Turn<'a> {
    pub(super) fn begin(connection: &'a Connection) -> Self {
        let wire = &connection.wire;
        let rule = connection.rule.load_full();
        wire.await_head(connection.patience(&rule));
        connection.waits(true);
        Turn {
            connection,
            exchanges_before: wire.exchanges(),
            written_before: wire.written(),
            record: connection.record(&rule),
            rule,
        }
    }
}

impl Turn<'_> {
    /// Notes the head that has come, where no exchange will.
    pub(super) fn note_head(&mut self, head: &[u8]) {
        if head.trim_ascii_start().starts_with(b"CONNECT ") {
            let style = self.connection.log.style();
            request_line::note_text(&mut self.record, head, &style.redaction);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let wire = &self.connection.wire;
        let written = wire.written() - self.written_before;
        let untouched = wire.head_read() == 0 && written == 0;
        if wire.exchanges() > self.exchanges_before {
            return;
        }
        if untouched {
            return self.connection.refuse_unasked(&self.rule);
        }
        let record = &mut self.record;
        record.status = wire.head_answer();
        record.bytes.request_header = wire.head_read();
        record.bytes.response_header = written.min(wire.head_answer_head());
        record.bytes.response_body = written - record.bytes.response_header;
        let (reason, refusal, error) = end_without_exchange(self.connection);
        record.refusal = refusal;
        record.error = Some(error.into());
        self.rule.metrics.count(record, None);
        self.connection.write(record, reason);
    }
}

fn end_without_exchange(
    connection: &Connection,
) -> (CloseReason, Option<RefusalReason>, &'static str) {
    if let Some(limit) = connection.limit() {
        return (
            CloseReason::Refused,
            Some(limit.reason()),
            limit.explanation(),
        );
    }
    let end = connection.wire.client_end();
    if let Some(refusal) = Refusal::of_head(connection.wire.head_answer(), end) {
        return (CloseReason::Refused, Some(refusal.reason), refusal.detail);
    }
    match end {
        ClientEnd::Closed => (
            CloseReason::ClientClosed,
            None,
            "closed before the request's head was complete",
        ),
        ClientEnd::Broken => (
            CloseReason::ClientError,
            None,
            "broken before the request's head was complete",
        ),
        ClientEnd::Open
        | ClientEnd::HeadExpired
        | ClientEnd::HeadTooLarge
        | ClientEnd::TooManyHeaders
        | ClientEnd::HeadMalformed
        | ClientEnd::HandshakeExpired
        | ClientEnd::BodyMalformed
        | ClientEnd::BodyLate
        | ClientEnd::AnswerLate => (
            connection.cut_off(),
            None,
            "ended before the request's head was complete",
        ),
    }
}
