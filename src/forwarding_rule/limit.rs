//! The limits that a connection, a request or a handshake may be one too many for: their words, and
//! what the client is told.

use crate::telemetry::RefusalReason;

/// What something was one too many for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `server.maxConnections`
    Server,
    /// `maxConnections`
    Rule,
    /// `maxConnectionsPerClient`
    Client,
    /// `maxRequestsPerSecond`
    Requests,
    /// `maxRequestsPerSecondPerClient`
    ClientRequests,
    /// `maxHandshakesPerSecond`
    Handshakes,
    /// `maxHandshakesPerSecondPerClient`
    ClientHandshakes,
    /// `maxTlsHandshakesPerSecond`
    TlsHandshakes,
    /// `maxTlsHandshakesPerSecondPerClient`
    ClientTlsHandshakes,
    /// `server.memory.limit`
    Memory,
}

impl Limit {
    /// The closed word for it.
    pub fn reason(self) -> RefusalReason {
        match self {
            Limit::Server => RefusalReason::ServerMaxConnections,
            Limit::Rule => RefusalReason::MaxConnections,
            Limit::Client => RefusalReason::MaxConnectionsPerClient,
            Limit::Requests => RefusalReason::MaxRequestsPerSecond,
            Limit::ClientRequests => RefusalReason::MaxRequestsPerSecondPerClient,
            Limit::Handshakes => RefusalReason::MaxHandshakesPerSecond,
            Limit::ClientHandshakes => RefusalReason::MaxHandshakesPerSecondPerClient,
            Limit::TlsHandshakes => RefusalReason::MaxTlsHandshakesPerSecond,
            Limit::ClientTlsHandshakes => RefusalReason::MaxTlsHandshakesPerSecondPerClient,
            Limit::Memory => RefusalReason::Memory,
        }
    }

    /// What the client and the reader of the log are told.
    pub fn explanation(self) -> &'static str {
        match self {
            Limit::Server => "too many connections",
            Limit::Rule => "too many connections to this address",
            Limit::Client => "too many connections from this client",
            Limit::Requests => "too many requests to this address",
            Limit::ClientRequests => "too many requests from this client",
            Limit::Handshakes => "too many WebSocket handshakes to this address",
            Limit::ClientHandshakes => "too many WebSocket handshakes from this client",
            Limit::TlsHandshakes => "too many TLS handshakes to this address",
            Limit::ClientTlsHandshakes => "too many TLS handshakes from this client",
            Limit::Memory => "memory is short",
        }
    }
}
