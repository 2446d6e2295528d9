//! Where a `FORWARD` rule leads to: a target group, or several by their weights.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::config::model;
use crate::forwarding_rule::TargetGroups;
use crate::rules::{NewPath, Origins, Subprotocols};
use crate::target_group::{Target, TargetGroup};
use crate::telemetry::metrics::{ActiveTunnel, CloseCounters, Metrics, TunnelMetrics};
use crate::tunnel::Limits;

/// The ways of a `FORWARD` rule, at least one, each with its weight.
pub struct Routes(Box<[(Arc<Route>, u16)]>);

impl Routes {
    /// `None` where a target group is not there.
    pub(super) fn build(
        forwarding_rule: &str,
        forward: &model::Forward,
        groups: &TargetGroups,
        metrics: &Metrics,
    ) -> Option<Self> {
        let route = |group: &model::WeightedGroup| {
            let built = groups.get(&group.name)?;
            let route = Route::build(forwarding_rule, built, forward, metrics);
            Some((Arc::new(route), group.weight))
        };
        let routes: Option<_> = forward.target_groups.iter().map(route).collect();
        routes.map(Routes)
    }

    /// All of them with their weights, as written.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Route>, u16)> {
        self.0.iter().map(|(route, weight)| (route, *weight))
    }

    /// The only one, if there is only one.
    pub fn only(&self) -> Option<&Arc<Route>> {
        match &*self.0 {
            [(route, _)] => Some(route),
            _ => None,
        }
    }

    /// One of the wanted in proportion to the weights, by a number from 0 up to, but not, 1. `None` where all their weights are 0.
    pub fn by_chance(
        &self,
        chance: f64,
        is_wanted: impl Fn(&Route) -> bool,
    ) -> Option<&Arc<Route>> {
        let weighted = || {
            self.iter()
                .filter(|(route, weight)| *weight > 0 && is_wanted(route))
        };
        let total: f64 = weighted().map(|(_, weight)| f64::from(weight)).sum();
        let mut left = chance * total;
        let found = weighted().find(|(_, weight)| {
            left -= f64::from(*weight);
            left < 0.0
        });
        found.map(|(route, _)| route)
    }
}

/// The way to one target group.
pub struct Route {
    /// The target group.
    pub group: Arc<TargetGroup>,
    /// Whose pages may open tunnels, where not anybody's may.
    pub origins: Option<Origins>,
    /// What a handshake may ask for, where not anything.
    pub subprotocols: Option<Subprotocols>,
    /// Whether a 101 must fit to its handshake, where that does not depend on the client's version of HTTP.
    pub check_accept: Option<bool>,
    /// Whether a handshake's key may be something else than 16 bytes.
    pub lenient_handshake: bool,
    /// To which other protocols than WebSocket a connection may be upgraded.
    pub upgrades: Box<[Arc<str>]>,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// What bounds its tunnels.
    pub limits: Limits,
    /// What is changed of the headers.
    pub headers: model::Headers,
    /// What the target sees as Host, where not what the client sent.
    pub host: Option<HeaderValue>,
    /// Which path it sees, where not the client's.
    pub path: Option<NewPath>,
    tunnels: TunnelMetrics,
}

impl Route {
    fn build(
        forwarding_rule: &str,
        group: &Arc<TargetGroup>,
        forward: &model::Forward,
        metrics: &Metrics,
    ) -> Self {
        let (tunnel, changes) = (&forward.tunnel, &forward.changes);
        let targets = group.targets().map(|target| &target.address);
        let tunnels = metrics.tunnels(forwarding_rule, &group.name, targets);
        Route {
            group: Arc::clone(group),
            origins: forward.allowed_origins.as_deref().map(Origins::new),
            subprotocols: forward
                .allowed_subprotocols
                .as_deref()
                .map(Subprotocols::new),
            check_accept: forward.check_accept,
            lenient_handshake: forward.lenient_handshake,
            upgrades: forward
                .upgrades
                .iter()
                .map(|name| (&**name).into())
                .collect(),
            handshake_timeout: tunnel.handshake_timeout.min(group.response_timeout),
            limits: Limits {
                idle: tunnel.idle_timeout,
                lifetime: tunnel.max_lifetime,
                lifetime_jitter: tunnel.lifetime_jitter,
                half_close: tunnel.half_close_timeout,
                close: tunnel.close_timeout,
                keepalive: tunnel.tcp_keepalive,
            },
            headers: changes.headers.clone(),
            host: changes.rewrite.host.clone(),
            path: changes.rewrite.path.as_ref().map(NewPath::from),
            tunnels,
        }
    }

    /// Counts a tunnel to this target as open until the guard is dropped.
    pub fn open_tunnel(&self, target: &Target) -> Option<ActiveTunnel> {
        self.tunnels.open(target.place)
    }

    /// Where the ends of these tunnels are counted.
    pub fn closes(&self) -> Arc<CloseCounters> {
        Arc::clone(&self.tunnels.closes)
    }
}
