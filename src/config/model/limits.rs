//! What a configuration file may say of limits on requests, and on memory.

/// How much there may be of what in a second.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    /// `maxRequestsPerSecond` and `maxRequestsPerSecondPerClient`
    pub requests: Rate,
    /// `maxHandshakesPerSecond` and `maxHandshakesPerSecondPerClient`: WebSocket handshakes.
    pub handshakes: Rate,
    /// `maxTlsHandshakesPerSecond` and `maxTlsHandshakesPerSecondPerClient`
    pub tls_handshakes: Rate,
}

/// How much of one thing there may be in a second, 1 to 1000000 each. Default: no limit.
#[derive(Debug, Clone, Default)]
pub struct Rate {
    /// Of all clients together.
    pub all: Option<usize>,
    /// Of each client; an IPv6 client is its /64.
    pub client: Option<usize>,
}

/// How large a request may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// `maxHeaderBytes`: of the head as a whole, 512 to 1048575. Default: 65536.
    pub header_bytes: usize,
    /// `maxHeaders`: lines of headers, 1 to 256. Default: 100.
    pub headers: usize,
    /// `maxRequestBodyBytes`: of the body. Default: no limit.
    pub body_bytes: Option<u64>,
    /// `minimumRate`: how fast its body must come and its answer be taken, in bytes per second of
    /// waiting, over `clientTimeout`; 0 to 1048576. Default: 500.
    pub minimum_rate: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            header_bytes: 64 * 1024,
            headers: 100,
            body_bytes: None,
            minimum_rate: 500,
        }
    }
}

/// `server.memory`: near which limit less is done, so that tunnels live.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// `limit`: in bytes, 1 MiB to 16 TiB. Default: nine tenths of what the process's cgroups
    /// allow, or of what the machine has.
    pub limit: Option<u64>,
}
