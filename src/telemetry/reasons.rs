//! The words for why: why an exchange ended, and why a request was refused. The same in the code,
//! the log and the labels of the metrics.

/// Why an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

impl CloseReason {
    /// All of them, in the order of their discriminants.
    pub const ALL: [CloseReason; 15] = [
        CloseReason::Completed,
        CloseReason::ClientClosed,
        CloseReason::TargetClosed,
        CloseReason::IdleTimeout,
        CloseReason::MaxLifetime,
        CloseReason::ClientError,
        CloseReason::TargetError,
        CloseReason::Refused,
        CloseReason::Drained,
        CloseReason::TargetRemoved,
        CloseReason::Rebalanced,
        CloseReason::TargetUnhealthy,
        CloseReason::Killed,
        CloseReason::Memory,
        CloseReason::ProcessExit,
    ];

    /// The word in the log and in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            CloseReason::Completed => "completed",
            CloseReason::ClientClosed => "client_closed",
            CloseReason::TargetClosed => "target_closed",
            CloseReason::IdleTimeout => "idle_timeout",
            CloseReason::MaxLifetime => "max_lifetime",
            CloseReason::ClientError => "client_error",
            CloseReason::TargetError => "target_error",
            CloseReason::Refused => "refused",
            CloseReason::Drained => "drained",
            CloseReason::TargetRemoved => "target_removed",
            CloseReason::Rebalanced => "rebalanced",
            CloseReason::TargetUnhealthy => "target_unhealthy",
            CloseReason::Killed => "killed",
            CloseReason::Memory => "memory",
            CloseReason::ProcessExit => "process_exit",
        }
    }

    /// The code of the Close frame with which we end a tunnel for this reason (RFC 6455 section
    /// 7.4.1, and the registry of section 11.7).
    pub fn close_code(self) -> u16 {
        const GOING_AWAY: u16 = 1001;
        const POLICY_VIOLATION: u16 = 1008;
        const SERVICE_RESTART: u16 = 1012;
        match self {
            CloseReason::Killed => POLICY_VIOLATION,
            CloseReason::Rebalanced | CloseReason::TargetUnhealthy => SERVICE_RESTART,
            CloseReason::Completed
            | CloseReason::ClientClosed
            | CloseReason::TargetClosed
            | CloseReason::IdleTimeout
            | CloseReason::MaxLifetime
            | CloseReason::ClientError
            | CloseReason::TargetError
            | CloseReason::Refused
            | CloseReason::Drained
            | CloseReason::TargetRemoved
            | CloseReason::Memory
            | CloseReason::ProcessExit => GOING_AWAY,
        }
    }
}

/// Why a request got an answer of ours instead of a target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// All of them, in the order of their discriminants.
    pub const ALL: [RefusalReason; 29] = [
        RefusalReason::BadRequest,
        RefusalReason::ConnectMethod,
        RefusalReason::ClientTimeout,
        RefusalReason::NoMatchingRule,
        RefusalReason::BadHandshake,
        RefusalReason::WebsocketVersion,
        RefusalReason::ProxyProtocol,
        RefusalReason::ServerMaxConnections,
        RefusalReason::MaxConnections,
        RefusalReason::MaxConnectionsPerClient,
        RefusalReason::MaxRequestsPerSecond,
        RefusalReason::MaxRequestsPerSecondPerClient,
        RefusalReason::MaxHandshakesPerSecond,
        RefusalReason::MaxHandshakesPerSecondPerClient,
        RefusalReason::MaxTlsHandshakesPerSecond,
        RefusalReason::MaxTlsHandshakesPerSecondPerClient,
        RefusalReason::MaxHeaderBytes,
        RefusalReason::MaxHeaders,
        RefusalReason::MaxRequestBodyBytes,
        RefusalReason::Origin,
        RefusalReason::Subprotocol,
        RefusalReason::NoTarget,
        RefusalReason::TargetMaxConnections,
        RefusalReason::TargetFailed,
        RefusalReason::TargetTimeout,
        RefusalReason::Memory,
        RefusalReason::TlsHandshake,
        RefusalReason::Http2,
        RefusalReason::Internal,
    ];

    /// The word in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            RefusalReason::BadRequest => "bad_request",
            RefusalReason::ConnectMethod => "connect_method",
            RefusalReason::ClientTimeout => "client_timeout",
            RefusalReason::NoMatchingRule => "no_matching_rule",
            RefusalReason::BadHandshake => "bad_handshake",
            RefusalReason::WebsocketVersion => "websocket_version",
            RefusalReason::ProxyProtocol => "proxy_protocol",
            RefusalReason::ServerMaxConnections => "server_max_connections",
            RefusalReason::MaxConnections => "max_connections",
            RefusalReason::MaxConnectionsPerClient => "max_connections_per_client",
            RefusalReason::MaxRequestsPerSecond => "max_requests_per_second",
            RefusalReason::MaxRequestsPerSecondPerClient => "max_requests_per_second_per_client",
            RefusalReason::MaxHandshakesPerSecond => "max_handshakes_per_second",
            RefusalReason::MaxHandshakesPerSecondPerClient => {
                "max_handshakes_per_second_per_client"
            }
            RefusalReason::MaxTlsHandshakesPerSecond => "max_tls_handshakes_per_second",
            RefusalReason::MaxTlsHandshakesPerSecondPerClient => {
                "max_tls_handshakes_per_second_per_client"
            }
            RefusalReason::MaxHeaderBytes => "max_header_bytes",
            RefusalReason::MaxHeaders => "max_headers",
            RefusalReason::MaxRequestBodyBytes => "max_request_body_bytes",
            RefusalReason::Origin => "origin",
            RefusalReason::Subprotocol => "subprotocol",
            RefusalReason::NoTarget => "no_target",
            RefusalReason::TargetMaxConnections => "target_max_connections",
            RefusalReason::TargetFailed => "target_failed",
            RefusalReason::TargetTimeout => "target_timeout",
            RefusalReason::Memory => "memory",
            RefusalReason::TlsHandshake => "tls_handshake",
            RefusalReason::Http2 => "http2",
            RefusalReason::Internal => "internal",
        }
    }
}
