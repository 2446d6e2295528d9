//! The one place where an error becomes an answer: which status, and what the client reads.
//!
//! A room that cannot go on returns a [`Refusal`], which travels by `?` as the cause of a Pingora
//! error; `fail_to_proxy` turns it, and every error of Pingora's own, into the answer.

use std::fmt;
use std::time::Duration;

use pingora::http::ResponseHeader;
use pingora::prelude::Session;
use pingora::{BError, Error, ErrorSource, ErrorType, Result};

use crate::forwarding_rule::Limit;
use crate::os::open_files::{is_out_of_ports, is_shortage};
use crate::os::random::chance;
use crate::stream::ClientEnd;
use crate::tap::ALLOW;
use crate::target_group::Unavailable;
use crate::telemetry::RefusalReason;

/// How long the rest of a body that is too large is read, so that the client sees its answer.
const LINGER: Duration = Duration::from_secs(1);

/// Why we answer a request with an error of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The closed word for it.
    pub reason: RefusalReason,
    /// What exactly, in a few words.
    pub detail: &'static str,
}

impl Refusal {
    /// No HTTP rule matched.
    pub const NO_MATCHING_RULE: Refusal = Refusal {
        reason: RefusalReason::NoMatchingRule,
        detail: "no HTTP rule matches the request",
    };
    /// No target takes the request, or none could be connected to.
    pub const NO_TARGET: Refusal = Refusal {
        reason: RefusalReason::NoTarget,
        detail: "no target is available",
    };
    /// All targets that take requests carry as much as they may.
    pub const TARGET_MAX_CONNECTIONS: Refusal = Refusal {
        reason: RefusalReason::TargetMaxConnections,
        detail: "every target has as many connections as it may have",
    };
    /// The target did not answer in time.
    pub const TARGET_TIMEOUT: Refusal = Refusal {
        reason: RefusalReason::TargetTimeout,
        detail: "the target did not answer in time",
    };
    /// The request has had its time.
    pub const REQUEST_TIMEOUT: Refusal = Refusal {
        reason: RefusalReason::RequestTimeout,
        detail: "the answer was not over within requestTimeout",
    };
    /// The target has had its time.
    pub const ATTEMPT_TIMEOUT: Refusal = Refusal {
        reason: RefusalReason::AttemptTimeout,
        detail: "the target's answer was not over within attemptTimeout",
    };
    /// A WebSocket version that is not ours (RFC 6455 section 4.4).
    pub const WEBSOCKET_VERSION: Refusal = Refusal {
        reason: RefusalReason::WebsocketVersion,
        detail: "only WebSocket version 13 is served",
    };
    /// The head has too many bytes.
    pub const HEAD_TOO_LARGE: Refusal = Refusal {
        reason: RefusalReason::MaxHeaderBytes,
        detail: "the request's head is too large",
    };
    /// A success without an upgrade, to a handshake in HTTP/2.
    pub const NOT_UPGRADED: Refusal = Refusal {
        reason: RefusalReason::TargetFailed,
        detail: "the target answered a WebSocket handshake with a success that is no upgrade",
    };
    /// A 101 that does not fit to its handshake (RFC 6455 section 4.1).
    pub const WRONG_ACCEPT: Refusal = Refusal {
        reason: RefusalReason::TargetFailed,
        detail: "the target's Sec-WebSocket-Accept does not fit to the handshake",
    };
    /// A 101 that is for another protocol than was asked for (RFC 9110 section 15.2.2), or comes
    /// before the request is over.
    pub const WRONG_UPGRADE: Refusal = Refusal {
        reason: RefusalReason::TargetFailed,
        detail: "the target's 101 does not fit to the request",
    };
    /// The head has too many headers.
    pub const TOO_MANY_HEADERS: Refusal = Refusal {
        reason: RefusalReason::MaxHeaders,
        detail: "the request has too many headers",
    };
    /// The body has too many bytes.
    pub const BODY_TOO_LARGE: Refusal = Refusal {
        reason: RefusalReason::MaxRequestBodyBytes,
        detail: "the request's body is too large",
    };
    /// A handshake of a page that may not make one.
    pub const ORIGIN: Refusal = Refusal {
        reason: RefusalReason::Origin,
        detail: "the origin is not allowed",
    };
    /// A handshake that asks for what is not there.
    pub const SUBPROTOCOL: Refusal = Refusal {
        reason: RefusalReason::Subprotocol,
        detail: "no subprotocol that is asked for is allowed",
    };
    /// The target did not speak HTTP as it should.
    pub const TARGET_FAILED: Refusal = Refusal {
        reason: RefusalReason::TargetFailed,
        detail: "the target broke off or sent garbage",
    };
    /// A target's answer whose end is not certain.
    pub const TARGET_FRAMING: Refusal = Refusal {
        reason: RefusalReason::TargetFailed,
        detail: "the framing of the target's answer contradicts itself",
    };
    /// A body whose end is not certain.
    pub const MALFORMED_BODY: Refusal = Refusal::bad_request("malformed chunks");
    /// The client did not send the rest of its request.
    pub const CLIENT_TIMEOUT: Refusal = Refusal {
        reason: RefusalReason::ClientTimeout,
        detail: "the request's body did not arrive within clientTimeout",
    };
    /// A CONNECT that is no WebSocket's.
    pub const CONNECT: Refusal = Refusal {
        reason: RefusalReason::ConnectMethod,
        detail: "CONNECT is not served",
    };
    /// What the target would be asked for is longer than it may be.
    pub const TARGET_TOO_LONG: Refusal =
        Refusal::bad_request("the path is too long once it is rewritten");
    /// There is nowhere to send its client.
    pub const NO_LOCATION: Refusal = Refusal {
        reason: RefusalReason::BadRequest,
        detail: "the request has no host or no path for its redirect",
    };
    /// The request is malformed.
    pub const BAD_REQUEST: Refusal = Refusal {
        reason: RefusalReason::BadRequest,
        detail: "malformed request",
    };
    /// A head that is none.
    pub const MALFORMED_HEAD: Refusal = Refusal::bad_request("malformed request head");
    /// A head whose rest does not come.
    const HEAD_LATE: Refusal = Refusal {
        reason: RefusalReason::ClientTimeout,
        detail: "the request's head did not arrive within clientTimeout",
    };
    const INTERNAL: Refusal = Refusal {
        reason: RefusalReason::Internal,
        detail: "internal error",
    };

    /// The refusal behind an error; `None` where the client is gone and there is nobody to answer.
    pub fn of(error: &Error) -> Option<Refusal> {
        if let Some(refusal) = error.root_cause().downcast_ref::<Refusal>() {
            return Some(*refusal);
        }
        if is_shortage(error) || is_out_of_ports(error) {
            return Some(Refusal::NO_TARGET);
        }
        match error.esource() {
            ErrorSource::Upstream => Some(of_target(error.etype())),
            ErrorSource::Downstream => of_client(error.etype()),
            // A host that HTTP/1.1 lets pass, and HTTP/2 does not know how to say to a target.
            ErrorSource::Internal | ErrorSource::Unset
                if *error.etype() == ErrorType::InvalidHTTPHeader =>
            {
                Some(Refusal::BAD_REQUEST)
            }
            ErrorSource::Internal | ErrorSource::Unset => Some(Refusal::INTERNAL),
        }
    }

    /// The refusal of a head that became no exchange, by what its client was told, if anything, and
    /// how it came to its end.
    pub fn of_head(answer: Option<u16>, end: ClientEnd) -> Option<Refusal> {
        match (answer, end) {
            (Some(405), _) => Some(Refusal::CONNECT),
            (_, ClientEnd::HeadExpired) => Some(Refusal::HEAD_LATE),
            (_, ClientEnd::HeadTooLarge) => Some(Refusal::HEAD_TOO_LARGE),
            (_, ClientEnd::TooManyHeaders) => Some(Refusal::TOO_MANY_HEADERS),
            (Some(_), _) | (None, ClientEnd::HeadMalformed) => Some(Refusal::MALFORMED_HEAD),
            (
                None,
                ClientEnd::Open
                | ClientEnd::Closed
                | ClientEnd::Broken
                | ClientEnd::HandshakeExpired
                | ClientEnd::BodyMalformed
                | ClientEnd::BodyLate
                | ClientEnd::AnswerLate,
            ) => None,
        }
    }

    /// A request that breaks HTTP, in the way that `detail` tells.
    pub const fn bad_request(detail: &'static str) -> Refusal {
        Refusal {
            reason: RefusalReason::BadRequest,
            detail,
        }
    }

    /// Something is one too many.
    pub fn beyond(limit: Limit) -> Refusal {
        Refusal {
            reason: limit.reason(),
            detail: limit.explanation(),
        }
    }

    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self.reason {
            RefusalReason::BadRequest
            | RefusalReason::BadHandshake
            | RefusalReason::ProxyProtocol
            | RefusalReason::TlsHandshake
            | RefusalReason::Http2 => 400,
            RefusalReason::Origin | RefusalReason::Subprotocol => 403,
            RefusalReason::NoMatchingRule => 404,
            RefusalReason::ConnectMethod => 405,
            RefusalReason::ClientTimeout => 408,
            RefusalReason::MaxRequestBodyBytes => 413,
            RefusalReason::WebsocketVersion => 426,
            RefusalReason::MaxRequestsPerSecond
            | RefusalReason::MaxRequestsPerSecondPerClient
            | RefusalReason::MaxHandshakesPerSecond
            | RefusalReason::MaxHandshakesPerSecondPerClient
            | RefusalReason::MaxTlsHandshakesPerSecond
            | RefusalReason::MaxTlsHandshakesPerSecondPerClient => 429,
            RefusalReason::MaxHeaderBytes | RefusalReason::MaxHeaders => 431,
            RefusalReason::Internal => 500,
            RefusalReason::TargetFailed => 502,
            RefusalReason::NoTarget
            | RefusalReason::TargetMaxConnections
            | RefusalReason::ServerMaxConnections
            | RefusalReason::MaxConnections
            | RefusalReason::MaxConnectionsPerClient
            | RefusalReason::Memory => 503,
            RefusalReason::TargetTimeout
            | RefusalReason::RequestTimeout
            | RefusalReason::AttemptTimeout => 504,
        }
    }

    /// Whether somebody has had their time.
    pub fn is_late(self) -> bool {
        use RefusalReason::{AttemptTimeout, ClientTimeout, RequestTimeout, TargetTimeout};
        let late = [AttemptTimeout, ClientTimeout, RequestTimeout, TargetTimeout];
        late.contains(&self.reason)
    }

    /// Whether the next request may come on the same connection.
    pub fn keeps_connection(self) -> bool {
        matches!(
            self.reason,
            RefusalReason::NoMatchingRule
                | RefusalReason::MaxRequestsPerSecond
                | RefusalReason::MaxRequestsPerSecondPerClient
                | RefusalReason::MaxHandshakesPerSecond
                | RefusalReason::MaxHandshakesPerSecondPerClient
        )
    }

    /// After how many seconds the client may try again: by chance, so that those who were sent away
    /// together do not come back together.
    pub fn retry_after(self) -> Option<u64> {
        let (least, most): (u32, u32) = match self.reason {
            RefusalReason::ServerMaxConnections
            | RefusalReason::MaxConnections
            | RefusalReason::MaxConnectionsPerClient
            | RefusalReason::TargetMaxConnections
            | RefusalReason::Memory => (5, 15),
            RefusalReason::MaxRequestsPerSecond
            | RefusalReason::MaxRequestsPerSecondPerClient
            | RefusalReason::MaxHandshakesPerSecond
            | RefusalReason::MaxHandshakesPerSecondPerClient
            | RefusalReason::MaxTlsHandshakesPerSecond
            | RefusalReason::MaxTlsHandshakesPerSecondPerClient => (1, 5),
            RefusalReason::BadRequest
            | RefusalReason::ConnectMethod
            | RefusalReason::ClientTimeout
            | RefusalReason::NoMatchingRule
            | RefusalReason::BadHandshake
            | RefusalReason::WebsocketVersion
            | RefusalReason::ProxyProtocol
            | RefusalReason::TlsHandshake
            | RefusalReason::Http2
            | RefusalReason::MaxHeaderBytes
            | RefusalReason::MaxHeaders
            | RefusalReason::MaxRequestBodyBytes
            | RefusalReason::Origin
            | RefusalReason::Subprotocol
            | RefusalReason::NoTarget
            | RefusalReason::TargetFailed
            | RefusalReason::TargetTimeout
            | RefusalReason::RequestTimeout
            | RefusalReason::AttemptTimeout
            | RefusalReason::Internal => return None,
        };
        Some(u64::from(least) + (chance() * f64::from(most - least + 1)) as u64)
    }

    /// Answers, where no answer has begun.
    pub async fn send(self, session: &mut Session) -> Result<()> {
        let body = format!("{} {}\n", self.status(), self.detail);
        let mut header = ResponseHeader::build(self.status(), Some(4))?;
        header.insert_header("Content-Type", "text/plain; charset=utf-8")?;
        header.insert_header("Content-Length", body.len())?;
        header.insert_header("Cache-Control", "no-store")?;
        if self.reason == RefusalReason::ConnectMethod {
            header.insert_header("Allow", ALLOW)?;
        }
        if self.reason == RefusalReason::WebsocketVersion {
            header.insert_header("Sec-WebSocket-Version", "13")?;
            header.insert_header("Upgrade", "websocket")?;
        }
        if let Some(seconds) = self.retry_after() {
            header.insert_header("Retry-After", seconds)?;
        }
        if !self.keeps_connection() {
            session.set_keepalive(None);
        }
        if self.reason == RefusalReason::MaxRequestBodyBytes {
            session.set_total_drain_timeout(Some(LINGER));
        }
        session
            .write_response_header(Box::new(header), false)
            .await?;
        session.write_response_body(Some(body.into()), true).await
    }
}

fn of_target(error: &ErrorType) -> Refusal {
    match error {
        ErrorType::ReadTimedout => Refusal::TARGET_TIMEOUT,
        _ if is_connect_error(error) => Refusal::NO_TARGET,
        _ => Refusal::TARGET_FAILED,
    }
}

fn is_connect_error(error: &ErrorType) -> bool {
    matches!(
        error,
        ErrorType::ConnectTimedout
            | ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::BindError
            | ErrorType::SocketError
            | ErrorType::TLSHandshakeFailure
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::InvalidCert
            | ErrorType::HandshakeError
    )
}

fn of_client(error: &ErrorType) -> Option<Refusal> {
    match error {
        ErrorType::ReadTimedout => Some(Refusal::CLIENT_TIMEOUT),
        ErrorType::ReadError
        | ErrorType::H2Error
        | ErrorType::WriteError
        | ErrorType::WriteTimedout
        | ErrorType::ConnectionClosed => None,
        _ => Some(Refusal::BAD_REQUEST),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail)
    }
}

impl std::error::Error for Refusal {}

impl From<Unavailable> for Refusal {
    fn from(why: Unavailable) -> Self {
        match why {
            Unavailable::None => Refusal::NO_TARGET,
            Unavailable::Full => Refusal::TARGET_MAX_CONNECTIONS,
        }
    }
}

impl From<Refusal> for BError {
    fn from(refusal: Refusal) -> Self {
        Error::because(ErrorType::HTTPStatus(refusal.status()), "refused", refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_either_side_becomes_its_refusal() {
        let up = |error| Refusal::of(&Error::new_up(error)).map(Refusal::status);
        let down = |error| Refusal::of(&Error::new_down(error)).map(Refusal::status);
        assert_eq!(up(ErrorType::ReadTimedout), Some(504));
        assert_eq!(up(ErrorType::ConnectRefused), Some(503));
        assert_eq!(up(ErrorType::ConnectTimedout), Some(503));
        assert_eq!(up(ErrorType::TLSHandshakeFailure), Some(503));
        assert_eq!(up(ErrorType::ConnectionClosed), Some(502));
        assert_eq!(up(ErrorType::InvalidHTTPHeader), Some(502));
        assert_eq!(down(ErrorType::ReadTimedout), Some(408));
        assert_eq!(down(ErrorType::InvalidHTTPHeader), Some(400));
        assert_eq!(down(ErrorType::ConnectionClosed), None);
        assert_eq!(down(ErrorType::WriteError), None);
    }

    #[test]
    fn that_the_open_files_have_run_out_is_no_fault_of_the_target() {
        let cause = std::io::Error::from_raw_os_error(24);
        let error = Error::because(ErrorType::InternalError, "connecting", cause).into_up();
        assert_eq!(Refusal::of(&error), Some(Refusal::NO_TARGET));
    }

    #[test]
    fn a_refusal_survives_its_way_through_pingora() {
        let error: BError = Refusal::NO_MATCHING_RULE.into();
        let error = error.more_context("on the way");
        assert_eq!(Refusal::of(&error), Some(Refusal::NO_MATCHING_RULE));
    }
}
