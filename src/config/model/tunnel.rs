//! `tunnel`: what bounds a tunnel, on a forwarding rule or on one of its HTTP rules.

use std::time::Duration;

/// `tunnel`: what bounds a tunnel.
#[derive(Debug, Clone)]
pub struct Tunnel {
    /// `handshakeTimeout`: from the handshake's head to the 101. Default: 10 s.
    pub handshake_timeout: Duration,
    /// `idleTimeout`: how long nothing may move in either direction. Default: 1 h.
    pub idle_timeout: Duration,
    /// `maxLifetime`: how long a tunnel may be open. Default: for ever.
    pub max_lifetime: Option<Duration>,
    /// `lifetimeJitter`: the fraction of `max_lifetime` by which a tunnel's own may be shorter, 0
    /// to 1. Default: 0.1.
    pub lifetime_jitter: f64,
    /// `closeTimeout`: how long both sides have to answer our Close. Default: 5 s.
    pub close_timeout: Duration,
    /// `halfCloseTimeout`: how long one direction may go on after the other has ended, and how long
    /// the answer to a plain request may take to begin after its client has ended its side.
    /// Default: 30 s.
    pub half_close_timeout: Duration,
    /// `tcpKeepalive`: after this silence the system probes whether the peer is there, 4 s to 8 h.
    /// Default: 60 s.
    pub tcp_keepalive: Duration,
}

impl Default for Tunnel {
    fn default() -> Self {
        Tunnel {
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60 * 60),
            max_lifetime: None,
            lifetime_jitter: 0.1,
            close_timeout: Duration::from_secs(5),
            half_close_timeout: Duration::from_secs(30),
            tcp_keepalive: Duration::from_secs(60),
        }
    }
}
