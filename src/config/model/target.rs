//! An entry of `targets`: where a target is, and what it takes.

use std::sync::Arc;

use crate::target_address::TargetAddress;

/// An entry of `targets`.
#[derive(Debug, Clone)]
pub struct Target {
    /// `ip` and `port`, or `unix`
    pub address: TargetAddress,
    /// `weight`: 0 to 256; 0 takes nothing new. Default: 1.
    pub weight: u16,
    /// `healthCheckEnabled`: without it the target counts as healthy. Default: true.
    pub health_check_enabled: bool,
    /// `maintenanceEnabled`: takes nothing new. Default: false.
    pub maintenance_enabled: bool,
    /// `maintenanceDrain`: in maintenance its tunnels are ended, too. Default: false.
    pub maintenance_drain: bool,
    /// `proxyProtocol`: how connections to it begin. Default: without a header.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// `maxConnections`: how many tunnels and requests it may carry at a time. Default: no limit.
    pub max_connections: Option<usize>,
    /// `host`: the name that its address comes from.
    pub host: Option<Arc<str>>,
    /// `healthCheckPort`: where its checks go. Default: the group's `port`, or its own.
    pub health_check_port: Option<u16>,
}

/// Which header of the PROXY protocol a connection to a target begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// `v1`: the line of text.
    V1,
    /// `v2`: the binary one.
    V2,
    /// `v2ssl`: the binary one, with what is known of the client's TLS.
    V2Ssl,
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
