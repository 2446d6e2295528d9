//! When a connection to a target breaks with a request on it: whether the request may be sent
//! again, and where to.
//!
//! A request that may have begun to be carried out is sent again only where doing it twice is doing
//! it once (RFC 9110 section 9.2.2), and only while nothing of an answer has come.

use http::Method;
use pingora::ErrorType::{ConnectionClosed, ReadError, WriteError};
use pingora::http::RequestHeader;
use pingora::prelude::Session;
use pingora::{BError, Error, ErrorSource, ErrorType};

use super::Exchange;
use super::repeat::Repeated;
use crate::tap::{Expired, Late};
use crate::target_connection::{Unprocessed, WantsHttp1};

/// How many kept connections may turn out to be dead before the target counts as broken.
const MOST_STALE: usize = 8;
/// How many times a target may say that it has not processed a request before another is asked.
const MOST_UNPROCESSED: usize = 3;
/// A head of this size is taken by the system as a whole, or not at all.
const WHOLE: u64 = 4096;

/// Where a request goes whose connection has broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// To the same target: it was the connection that was at fault.
    Same,
    /// To another target.
    Other,
    /// Nowhere: it may have been carried out, or is being answered.
    Nowhere,
}

/// What is known of a request when its connection breaks.
#[derive(Debug, Clone, Copy)]
struct Broken<'a> {
    method: &'a Method,
    has_body: bool,
    /// What there is of the body cannot be sent again.
    is_body_lost: bool,
    head: u64,
    /// The connection had carried other requests.
    is_reused: bool,
}

impl Exchange {
    /// Notes that the connection to the target has broken; the error says whether there is another
    /// try.
    pub(in crate::proxy) fn connection_broken(
        &mut self,
        session: &Session,
        mut error: BError,
        is_reused: bool,
    ) -> BError {
        if error.root_cause().is::<Repeated>() {
            self.repeat();
            error.set_retry(true);
            return error;
        }
        let is_reused = is_reused || self.connection.wire.is_target_kept();
        self.attempts.expired = found::<Expired>(&error).map(|expired| expired.0);
        if is_from::<Late>(&error) || self.attempts.expired.is_some() {
            error.etype = ErrorType::ReadTimedout;
        }
        if let Some(wish) = found::<WantsHttp1>(&error) {
            self.attempts.wants_http1 = true;
            if let Some(target) = self.attempts.target.as_ref().filter(|_| wish.always) {
                target.chose_http1();
            }
        }
        let request = Broken {
            method: &session.req_header().method,
            has_body: self.has_body,
            is_body_lost: session.as_ref().retry_buffer_truncated(),
            head: self.ledger.record.bytes.request_header,
            is_reused,
        };
        if self.is_repeated_for_time(session) {
            error.set_retry(true);
            return error;
        }
        let is_answered = self.ledger.record.target_latency.is_some();
        let is_late = self.attempts.expired.is_some() || self.is_too_late();
        let next = match is_answered || is_late {
            true => Next::Nowhere,
            false => request.next(&error),
        };
        self.attempts.unprocessed += usize::from(is_from::<Unprocessed>(&error));
        let next = match next {
            Next::Same if self.attempts.unprocessed >= MOST_UNPROCESSED => Next::Other,
            next => next,
        };
        let is_retried = match next {
            Next::Same if self.attempts.stale < MOST_STALE => {
                self.attempts.stale += 1;
                self.attempts.again = self.attempts.target.take();
                true
            }
            Next::Same | Next::Other => self.give_up_target(&error, session.req_header()),
            Next::Nowhere => false,
        };
        error.set_retry(is_retried);
        error
    }

    /// Whether there is a try left on another target.
    fn give_up_target(&mut self, error: &Error, head: &RequestHeader) -> bool {
        let (Some(target), Some(route)) = (&self.attempts.target, &self.ledger.route) else {
            return false;
        };
        self.attempts.tried.push(target.address.clone());
        let is_left = self.attempts.failed() <= route.group.retries;
        if is_left {
            if self.is_targets_fault(error, head) {
                route.group.failed(target);
            }
            self.attempts.broken = Some(self.explain(error, None));
        }
        is_left
    }
}

impl Broken<'_> {
    fn next(&self, error: &Error) -> Next {
        if *error.esource() != ErrorSource::Upstream || self.is_body_lost {
            return Next::Nowhere;
        }
        // Nobody carries a request out and then wants it in another version.
        if is_from::<Unprocessed>(error) || is_from::<WantsHttp1>(error) {
            return Next::Same;
        }
        let context = error.context.as_ref();
        let context = context.map_or("", |context| context.as_str());
        let is_write = *error.etype() == WriteError;
        let is_read = matches!(error.etype(), ConnectionClosed | ReadError);
        if is_write && is_about_head(context) && self.head <= WHOLE {
            return self.next_of_unsent();
        }
        if !self.method.is_idempotent() || is_read && !is_before_answer(context) {
            return Next::Nowhere;
        }
        match self.is_tried_by_pingora(error) {
            true if self.is_reused => Next::Same,
            true => Next::Other,
            false if self.is_reused && is_write => Next::Same,
            false if is_read && !self.has_body => Next::Other,
            false => Next::Nowhere,
        }
    }

    fn next_of_unsent(&self) -> Next {
        match self.is_reused {
            true => Next::Same,
            false => Next::Other,
        }
    }

    fn is_tried_by_pingora(&self, error: &Error) -> bool {
        let mut retry = error.retry;
        retry.decide_reuse(self.is_reused);
        retry.retry()
    }
}

/// Whether this is what a tap of a target has said.
fn is_from<E: std::error::Error + 'static>(error: &Error) -> bool {
    found::<E>(error).is_some()
}

/// What a tap of a target has said, if it is this.
fn found<E: std::error::Error + 'static>(error: &Error) -> Option<&E> {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause?.get_ref()?.downcast_ref()
}

/// Pingora says so in words only.
fn is_about_head(context: &str) -> bool {
    let words = ["while writing request headers", "flushing request header"];
    words.contains(&context)
}

fn is_before_answer(context: &str) -> bool {
    let is_head = context.starts_with("while reading response headers");
    is_head && context.ends_with(" bytes already read: 0")
}

#[cfg(test)]
mod tests {
    use pingora::ErrorType::{self, InvalidHTTPHeader, ReadTimedout};
    use pingora::RetryType;

    use super::*;

    const CLOSED: &str = "while reading response headers, bytes already read: 0";
    const UNSENT: &str = "while writing request headers";

    fn next(method: &Method, body: Option<bool>, is_reused: bool, error: &Error) -> Next {
        let broken = Broken {
            method,
            has_body: body.is_some(),
            is_body_lost: body == Some(false),
            head: 100,
            is_reused,
        };
        broken.next(error)
    }

    fn error(etype: ErrorType, context: &'static str, retry: RetryType) -> BError {
        let mut error = Error::explain(etype, context).into_up();
        error.retry = retry;
        error
    }

    fn because(cause: impl std::error::Error + Send + Sync + 'static) -> BError {
        let cause = std::io::Error::other(cause);
        Error::because(ReadError, CLOSED, cause).into_up()
    }

    #[test]
    fn a_request_goes_where_it_cannot_be_carried_out_twice() {
        use Next::{Nowhere, Other, Same};
        let (never, reused) = (RetryType::from(false), RetryType::ReusedOnly);
        let (get, post, put) = (&Method::GET, &Method::POST, &Method::PUT);
        let closed = error(ConnectionClosed, CLOSED, reused);
        let begun = "while reading response headers, bytes already read: 10";
        let begun = error(ConnectionClosed, begun, reused);
        let unsent = error(WriteError, UNSENT, never);
        let body = error(WriteError, "while writing body", never);
        let http1 = because(WantsHttp1 { always: false });
        let late = error(ReadTimedout, "while reading response headers", never);
        let garbage = error(InvalidHTTPHeader, "while parsing", never);
        for (name, error, method, body, fresh, kept) in [
            ("closed", &closed, get, None, Other, Same),
            ("closed", &closed, put, Some(true), Nowhere, Same),
            ("closed", &closed, put, Some(false), Nowhere, Nowhere),
            ("closed", &closed, post, None, Nowhere, Nowhere),
            ("begun", &begun, get, None, Nowhere, Nowhere),
            ("unsent", &unsent, get, None, Other, Same),
            ("unsent", &unsent, post, Some(true), Other, Same),
            ("body", &body, put, Some(true), Nowhere, Same),
            ("body", &body, post, Some(true), Nowhere, Nowhere),
            ("HTTP/1.1 wanted", &http1, get, None, Same, Same),
            ("HTTP/1.1 wanted", &http1, post, Some(true), Same, Same),
            (
                "HTTP/1.1 wanted",
                &http1,
                post,
                Some(false),
                Nowhere,
                Nowhere,
            ),
            ("late", &late, get, None, Nowhere, Nowhere),
            ("garbage", &garbage, get, None, Nowhere, Nowhere),
        ] {
            let found = [false, true].map(|is_reused| next(method, body, is_reused, error));
            assert_eq!(found, [fresh, kept], "{name} {method} {body:?}");
        }
        let ours = Error::explain(WriteError, UNSENT).into_down();
        assert_eq!(next(get, None, false, &ours), Nowhere);
    }

    #[test]
    fn a_large_head_may_have_been_sent_in_part() {
        let unsent = error(WriteError, UNSENT, false.into());
        for (head, expected) in [(WHOLE, Next::Other), (WHOLE + 1, Next::Nowhere)] {
            let broken = Broken {
                method: &Method::POST,
                has_body: false,
                is_body_lost: false,
                head,
                is_reused: false,
            };
            assert_eq!(broken.next(&unsent), expected);
        }
    }
}
