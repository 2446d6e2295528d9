//! The addresses of this machine, and which rules are served by that.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::config::model::{Api, ForwardingRule, Store};

/// Which addresses are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Served {
    /// All: what cannot be listened on is an error.
    All,
    /// These; what listens elsewhere is for other nodes.
    These(HashSet<IpAddr>),
}

impl Served {
    /// Those that this configuration serves now.
    pub(super) fn by(api: Option<&Api>) -> Self {
        match api {
            Some(api) if matches!(api.store, Store::Etcd(_)) && !api.any_address => {
                Served::These(all().into_iter().collect())
            }
            _ => Served::All,
        }
    }

    /// Whether a rule is for this node.
    pub(super) fn has(&self, rule: &ForwardingRule) -> bool {
        let ip = rule.listen.ip();
        match self {
            Served::All => true,
            Served::These(ips) => ip.is_unspecified() || ip.is_loopback() || ips.contains(&ip),
        }
    }
}

/// The addresses of this machine that others can reach.
pub(super) fn reachable() -> Vec<IpAddr> {
    let is_local = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    };
    all().into_iter().filter(|ip| !is_local(ip)).collect()
}

fn all() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let ips = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address
            .as_sockaddr_in()
            .map(|address| IpAddr::from(address.ip()));
        v4.or_else(|| {
            address
                .as_sockaddr_in6()
                .map(|address| IpAddr::from(address.ip()))
        })
    });
    ips.collect()
}
