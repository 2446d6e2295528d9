//! The words for why: why an exchange ended, and why a request was refused. The same in the code,
//! the log and the labels of the metrics.

use serde::{Deserialize, Serialize};
use strum::{EnumCount, IntoStaticStr, VariantArray};

/// Why an exchange ended.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    EnumCount,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// A plain exchange whose answer was delivered.
    Completed,
    /// The client ended it first.
    ClientClosed,
    /// The target ended it first.
    TargetClosed,
    /// A tunnel in which nothing moved for the idle timeout.
    IdleTimeout,
    /// A tunnel that was open for as long as one may be.
    MaxLifetime,
    /// The client's connection broke, or broke the protocol.
    ClientError,
    /// The target's connection broke, or broke the protocol.
    TargetError,
    /// Our own answer of 4xx or 5xx.
    Refused,
    /// It was ended by a drain: of the process, or of its target.
    Drained,
    /// A tunnel whose target left the configuration.
    TargetRemoved,
    /// A tunnel that was ended so that load evens out.
    Rebalanced,
    /// A tunnel whose target failed its health checks.
    TargetUnhealthy,
    /// A tunnel that an operator ended.
    Killed,
    /// A plain exchange that was reset because memory is short.
    Memory,
    /// The process ended, or its part for this exchange did.
    ProcessExit,
    /// A tunnel of a process that died; another one has written its line.
    ProcessCrash,
}

impl CloseReason {
    /// The word in the log and in the metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The code of the Close frame with which we end a tunnel for this reason (RFC 6455 section
    /// 7.4.1, and the registry of section 11.7).
    pub fn close_code(self) -> u16 {
        const GOING_AWAY: u16 = 1001;
        const POLICY_VIOLATION: u16 = 1008;
        const SERVICE_RESTART: u16 = 1012;
        match self {
            CloseReason::Killed => POLICY_VIOLATION,
            CloseReason::Drained
            | CloseReason::TargetRemoved
            | CloseReason::Rebalanced
            | CloseReason::TargetUnhealthy => SERVICE_RESTART,
            CloseReason::Completed
            | CloseReason::ClientClosed
            | CloseReason::TargetClosed
            | CloseReason::IdleTimeout
            | CloseReason::MaxLifetime
            | CloseReason::ClientError
            | CloseReason::TargetError
            | CloseReason::Refused
            | CloseReason::Memory
            | CloseReason::ProcessExit
            | CloseReason::ProcessCrash => GOING_AWAY,
        }
    }
}

/// Why a request got an answer of ours instead of a target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RefusalReason {
    /// The head could not be parsed, or breaks HTTP.
    BadRequest,
    /// CONNECT.
    ConnectMethod,
    /// The head, or the body, did not arrive in time.
    ClientTimeout,
    /// No HTTP rule matched.
    NoMatchingRule,
    /// A WebSocket handshake that breaks RFC 6455.
    BadHandshake,
    /// A WebSocket version other than 13.
    WebsocketVersion,
    /// A connection that had to begin with a header of the PROXY protocol did not.
    ProxyProtocol,
    /// A connection more than the process may have.
    ServerMaxConnections,
    /// A connection more than the forwarding rule may have.
    MaxConnections,
    /// A connection more than one client may have.
    MaxConnectionsPerClient,
    /// A request more than there may be in a second.
    MaxRequestsPerSecond,
    /// A request more than one client may make in a second.
    MaxRequestsPerSecondPerClient,
    /// A WebSocket handshake more than there may be in a second.
    MaxHandshakesPerSecond,
    /// A WebSocket handshake more than one client may make in a second.
    MaxHandshakesPerSecondPerClient,
    /// A TLS handshake more than there may be in a second. There is no answer.
    MaxTlsHandshakesPerSecond,
    /// A TLS handshake more than one client may make in a second. There is no answer.
    MaxTlsHandshakesPerSecondPerClient,
    /// A head of more bytes than it may have.
    MaxHeaderBytes,
    /// A head of more headers than it may have.
    MaxHeaders,
    /// A body of more bytes than it may have.
    MaxRequestBodyBytes,
    /// A handshake of a page that may not make one, or that does not say which page it is of.
    Origin,
    /// A handshake that asks for no subprotocol that is allowed.
    Subprotocol,
    /// No target takes requests, or none could be connected to.
    NoTarget,
    /// All targets that take requests carry as much as they may.
    TargetMaxConnections,
    /// The target broke off, or did not speak HTTP.
    TargetFailed,
    /// The target did not answer in time.
    TargetTimeout,
    /// The answer was not over within `requestTimeout`.
    RequestTimeout,
    /// A target's answer was not over within `attemptTimeout`.
    AttemptTimeout,
    /// Memory is short.
    Memory,
    /// A TLS handshake that failed, or was not over in time. There is no answer.
    TlsHandshake,
    /// A connection of HTTP/2 that broke the protocol, or asked for more than it may. It is closed
    /// with GOAWAY.
    Http2,
    /// Something that should not happen.
    Internal,
}

impl RefusalReason {
    /// The word in the metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
