//! Whether a request is sent again for the status of its answer: where its rule says so, while the
//! client has had nothing of an answer and all of the body that was sent is kept.

use std::fmt;
use std::time::Duration;

use pingora::http::ResponseHeader;
use pingora::prelude::Session;
use pingora::{Error, ErrorType, Result};

use super::Exchange;
use crate::refusal::Refusal;
use crate::tap::Ends;

/// An answer was not passed on: its request is sent again.
#[derive(Debug)]
pub(super) struct Repeated;

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its status is one for which the request is sent again")
    }
}

impl std::error::Error for Repeated {}

impl Exchange {
    /// Looks at the head of an answer, of which nothing has been passed on.
    ///
    /// Errors: it is not passed on, and there is another try.
    pub(in crate::proxy) fn check_status(
        &mut self,
        session: &Session,
        answer: &ResponseHeader,
    ) -> Result<()> {
        let status = answer.status.as_u16();
        if self.interim_heads > 0 || !self.may_repeat(session, status) {
            return Ok(());
        }
        self.judge_answer(status);
        let etype = ErrorType::HTTPStatus(status);
        Err(Error::because(etype, "an answer", Repeated).into_up())
    }

    /// Whether the request may be sent again though this was, or would be, its answer's status.
    fn may_repeat(&self, session: &Session, status: u16) -> bool {
        let Some(retry) = self.route().and_then(|route| route.retry.as_deref()) else {
            return false;
        };
        retry.status_codes.contains(&status)
            && self.attempts.repeated < retry.attempts
            && !session.as_ref().retry_buffer_truncated()
            && !self.is_too_late()
    }

    /// Whether a try that took too long is followed by another, as one that was answered with 504.
    pub(super) fn is_repeated_for_time(&mut self, session: &Session) -> bool {
        let is_unanswered = self.ledger.record.target_latency.is_none();
        let is_tried = self.attempts.expired == Some(Ends::Attempt);
        let is_repeated = is_unanswered && is_tried && self.may_repeat(session, 504);
        if is_repeated {
            self.judge_target(true);
            self.repeat();
        }
        is_repeated
    }

    /// The request is sent again, to another target where there is one.
    pub(super) fn repeat(&mut self) {
        let target = self.attempts.target.as_ref();
        let address = target.map(|target| target.address.clone());
        self.attempts.tried.extend(address);
        self.attempts.repeated += 1;
        self.attempts.pauses = true;
    }

    /// Waits as long as the rule wants before a request is sent again.
    ///
    /// Errors: its time is over before that.
    pub(in crate::proxy) async fn pause(&mut self) -> Result<(), Refusal> {
        if !std::mem::take(&mut self.attempts.pauses) {
            return Ok(());
        }
        let retry = self.route().and_then(|route| route.retry.as_deref());
        let pause = retry.map_or(Duration::ZERO, |retry| retry.backoff);
        let left = self.request_left().unwrap_or(Duration::MAX);
        tokio::time::sleep(pause.min(left)).await;
        match pause < left {
            true => Ok(()),
            false => Err(Refusal::REQUEST_TIMEOUT),
        }
    }
}
