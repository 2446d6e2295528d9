//! `server.resolver`: how the names of targets are resolved.

use std::net::SocketAddr;
use std::time::Duration;

/// `server.resolver`
#[derive(Debug, Clone)]
pub struct Resolver {
    /// `nameServers`: who is asked. Default: those of /etc/resolv.conf.
    pub name_servers: Vec<SocketAddr>,
    /// `timeout`: for one look-up, with all its tries. Default: 2 s.
    pub timeout: Duration,
}

impl Default for Resolver {
    fn default() -> Self {
        Resolver {
            name_servers: Vec::new(),
            timeout: Duration::from_secs(2),
        }
    }
}
