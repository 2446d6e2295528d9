//! Targets by name, and how names are resolved.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Target;

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

/// An entry of `targets` with a `host`.
#[derive(Debug, Clone)]
pub struct NamedTarget {
    /// `host`: a DNS name in lower case.
    pub host: Arc<str>,
    /// `port`
    pub port: u16,
    /// The target that each of its addresses is, with the port; its own address is none.
    pub target: Target,
}
