//! `tunnel`: the clocks of tunnels, on a forwarding rule and, for those that it forwards, on an
//! HTTP rule.

use std::time::Duration;

use super::super::model::Tunnel;
use super::super::tree::{Mapping, Node};

pub(super) const KEYS: &[&str] = &[
    "handshakeTimeout",
    "idleTimeout",
    "maxLifetime",
    "lifetimeJitter",
    "closeTimeout",
    "halfCloseTimeout",
    "tcpKeepalive",
];

const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(4);
const LONGEST_KEEPALIVE: Duration = Duration::from_secs(8 * 60 * 60);

/// The key `tunnel` of `mapping`; what it does not say is as in `outer`.
pub(super) fn read(mapping: &Mapping, outer: &Tunnel) -> Option<Tunnel> {
    mapping.or("tunnel", outer.clone(), |node| tunnel(node, outer))
}

fn tunnel(node: &Node, outer: &Tunnel) -> Option<Tunnel> {
    let mapping = node.mapping(KEYS)?;
    let or = |key, outer| mapping.or(key, outer, Node::duration);
    let handshake_timeout = or("handshakeTimeout", outer.handshake_timeout);
    let idle_timeout = or("idleTimeout", outer.idle_timeout);
    let max_lifetime = mapping.or("maxLifetime", outer.max_lifetime, |node| {
        node.duration().map(Some)
    });
    let lifetime_jitter = mapping.or("lifetimeJitter", outer.lifetime_jitter, Node::fraction);
    let close_timeout = or("closeTimeout", outer.close_timeout);
    let half_close_timeout = or("halfCloseTimeout", outer.half_close_timeout);
    let tcp_keepalive = mapping.or("tcpKeepalive", outer.tcp_keepalive, keepalive);
    Some(Tunnel {
        handshake_timeout: handshake_timeout?,
        idle_timeout: idle_timeout?,
        max_lifetime: max_lifetime?,
        lifetime_jitter: lifetime_jitter?,
        close_timeout: close_timeout?,
        half_close_timeout: half_close_timeout?,
        tcp_keepalive: tcp_keepalive?,
    })
}

/// The system counts in whole seconds, and its limit is 32,767 of them.
fn keepalive(node: &Node) -> Option<Duration> {
    let silence = node.duration()?;
    if !(SHORTEST_KEEPALIVE..=LONGEST_KEEPALIVE).contains(&silence) {
        return node.wrong("a duration from 4 s to 8 h");
    }
    Some(silence)
}
