//! One target: where it is, what the configuration says of it, and what is counted of it.

use std::net::SocketAddr;
use std::sync::Arc;

use pingora::lb::{Backend, Extensions};
use pingora::protocols::l4::socket::SocketAddr as PeerAddress;

use crate::config::file::{self, ProxyProtocol};
use crate::telemetry::metrics::TargetMetrics;

/// A target of a group.
pub struct Target {
    /// Its place in the group, by which what belongs to it is found.
    pub place: usize,
    /// `ip:port`
    pub address: SocketAddr,
    /// How connections to it begin; health checks say nothing.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// What is counted of it.
    pub metrics: Arc<TargetMetrics>,
    /// Whether probes decide on its health; it counts as healthy without them.
    pub(super) is_probed: bool,
    /// The same target in the library's words; one in maintenance has no weight.
    pub(super) backend: Backend,
}

impl Target {
    pub(super) fn build(target: &file::Target, place: usize, metrics: Arc<TargetMetrics>) -> Self {
        Target {
            place,
            address: target.address,
            proxy_protocol: target.proxy_protocol,
            metrics,
            is_probed: target.health_check_enabled,
            backend: Backend {
                addr: PeerAddress::Inet(target.address),
                weight: if target.maintenance_enabled {
                    0
                } else {
                    target.weight.into()
                },
                ext: Extensions::new(),
            },
        }
    }

    /// Whether it may take a request that was sent to `tried` before. Health is another question.
    pub(super) fn is_fit(&self, tried: &[SocketAddr]) -> bool {
        self.backend.weight > 0 && !tried.contains(&self.address)
    }
}
