//! Where a `FORWARD` rule leads to: a target group, or several by their weights.
//!
//! A route is immutable, with the group as it is. Where one group changes, its routes are replaced,
//! and nothing else of the rule; whoever has taken a route keeps it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;

use super::destinations::{Destination, Destinations};
use super::mirrors::Mirrors;
use crate::config::model;
use crate::rules::{Cors, NewPath, Origins, Response, Subprotocols};
use crate::target_group::{Target, TargetGroup};
use crate::telemetry::metrics::{ActiveTunnel, CloseCounters, TunnelMetrics};
use crate::tunnel::Limits;

/// The ways of a `FORWARD` rule, at least one, each with its weight. A clone is the same ones:
/// where a target group changes, it changes for both.
#[derive(Clone)]
pub struct Routes {
    routes: Arc<[(ArcSwap<Route>, u32)]>,
    /// What the shares are answered with that go to no target, and their weights.
    answers: Arc<[(Response, u32)]>,
    /// Whether a group that serves nobody keeps its share.
    pub keeps_shares: bool,
    /// Which pages of other sites may read answers, where that is for us to say and no way says it.
    pub cors: Option<Arc<Cors>>,
}

/// Where a request may go.
pub enum Way<'r> {
    /// To a target group.
    Route(Arc<Route>),
    /// Nowhere: it is answered.
    Answer(&'r Response),
}

impl Routes {
    /// `None` where a target group is not there.
    pub(super) fn build(forward: &model::Forward, destinations: &Destinations<'_>) -> Option<Self> {
        let build = |cors: &model::Cors| Cors::build(cors).ok().map(Arc::new);
        let cors = match &forward.cors {
            Some(cors) => Some(build(cors)?),
            None => None,
        };
        let mirrors = Mirrors::build(&forward.mirrors, destinations)?;
        let route = |group: &model::WeightedGroup| {
            let destination = destinations.of(&group.name)?;
            let changes = group.changes.as_ref();
            let changes = changes.map(|changes| forward.changes.then(changes));
            let changes = changes.as_ref().unwrap_or(&forward.changes);
            let mut route = Route::build(&destination, forward, changes);
            (route.cors, route.mirrors) = (cors.clone(), mirrors.clone());
            if let Some(own) = &group.cors {
                route.cors = Some(build(own)?);
            }
            if !group.mirrors.is_empty() {
                let all = [&forward.mirrors[..], &group.mirrors].concat();
                route.mirrors = Mirrors::build(&all, destinations)?;
            }
            Some((ArcSwap::from_pointee(route), group.weight))
        };
        let answer = |share: &model::WeightedAnswer| {
            let answer = Response::build(&share.answer).ok()?;
            Some((answer, share.weight))
        };
        let routes: Option<_> = forward.target_groups.iter().map(route).collect();
        let answers: Option<_> = forward.answers.iter().map(answer).collect();
        Some(Routes {
            routes: routes?,
            answers: answers?,
            keeps_shares: forward.keeps_shares,
            cors: cors.clone(),
        })
    }

    /// All of them with their weights, as written.
    pub fn iter(&self) -> impl Iterator<Item = (Arc<Route>, u32)> {
        let routes = self.routes.iter();
        routes.map(|(route, weight)| (route.load_full(), *weight))
    }

    /// The only one, if there is only one.
    pub fn only(&self) -> Option<Arc<Route>> {
        match &*self.routes {
            [(route, _)] if self.answers.is_empty() => Some(route.load_full()),
            _ => None,
        }
    }

    /// One of the wanted, or an answer, in proportion to the weights, by a number from 0 up to, but
    /// not, 1. `None` where all weights are 0.
    pub fn by_chance(&self, chance: f64, is_wanted: impl Fn(&Route) -> bool) -> Option<Way<'_>> {
        let weighted = || {
            let routes = self.iter().filter(|(route, _)| is_wanted(route));
            let routes = routes.map(|(route, weight)| (Way::Route(route), weight));
            let answers = self.answers.iter();
            let answers = answers.map(|(answer, weight)| (Way::Answer(answer), *weight));
            routes.chain(answers).filter(|(_, weight)| *weight > 0)
        };
        let total: f64 = weighted().map(|(_, weight)| f64::from(weight)).sum();
        let mut left = chance * total;
        let found = weighted().find(|(_, weight)| {
            left -= f64::from(*weight);
            left < 0.0
        });
        found.map(|(way, _)| way)
    }

    /// From now on the way to the group of this name leads to it as it is here.
    pub(super) fn lead_to(&self, destination: &Destination) {
        for (route, _) in self.routes.iter() {
            let now = route.load();
            if let Some(mirrors) = &now.mirrors {
                mirrors.lead_to(destination);
            }
            if now.group.name == destination.group.name {
                route.store(Arc::new(now.to(destination)));
            }
        }
    }
}

/// The way to one target group.
#[derive(Clone)]
pub struct Route {
    /// The target group.
    pub group: Arc<TargetGroup>,
    /// Whose pages may open tunnels, where not anybody's may.
    pub origins: Option<Arc<Origins>>,
    /// What a handshake may ask for, where not anything.
    pub subprotocols: Option<Arc<Subprotocols>>,
    /// Whether a 101 must fit to its handshake, where that does not depend on the client's version
    /// of HTTP.
    pub check_accept: Option<bool>,
    /// Whether a handshake's key may be something else than 16 bytes.
    pub lenient_handshake: bool,
    /// To which other protocols than WebSocket a connection may be upgraded.
    pub upgrades: Arc<[Arc<str>]>,
    handshake_timeout: Duration,
    /// How long a request may take, with all its tries.
    pub request_timeout: Option<Duration>,
    /// How long one try may take.
    pub attempt_timeout: Option<Duration>,
    /// For which answers a request is sent again.
    pub retry: Option<Arc<model::Retry>>,
    /// What bounds its tunnels.
    pub limits: Limits,
    /// Which pages of other sites may read answers, where that is for us to say.
    pub cors: Option<Arc<Cors>>,
    /// Where copies of plain requests go.
    pub mirrors: Option<Arc<Mirrors>>,
    /// What is changed of the headers.
    pub headers: Arc<model::Headers>,
    /// What the target sees as Host, where not what the client sent.
    pub host: Option<HeaderValue>,
    /// Which path it sees, where not the client's.
    pub path: Option<Arc<NewPath>>,
    tunnels: Arc<TunnelMetrics>,
}

impl Route {
    fn build(
        destination: &Destination,
        forward: &model::Forward,
        changes: &model::Changes,
    ) -> Self {
        let tunnel = &forward.tunnel;
        let origins = forward.allowed_origins.as_deref();
        let subprotocols = forward.allowed_subprotocols.as_deref();
        let path = changes.rewrite.path.as_ref();
        let upgrades = forward.upgrades.iter();
        Route {
            group: Arc::clone(&destination.group),
            tunnels: Arc::clone(&destination.tunnels),
            origins: origins.map(|origins| Arc::new(Origins::new(origins))),
            subprotocols: subprotocols.map(|allowed| Arc::new(Subprotocols::new(allowed))),
            check_accept: forward.check_accept,
            lenient_handshake: forward.lenient_handshake,
            upgrades: upgrades.map(|name| (&**name).into()).collect(),
            handshake_timeout: tunnel.handshake_timeout,
            request_timeout: forward.request_timeout,
            attempt_timeout: forward.attempt_timeout,
            retry: forward.retry.clone().map(Arc::new),
            limits: Limits {
                idle: tunnel.idle_timeout,
                lifetime: tunnel.max_lifetime,
                lifetime_jitter: tunnel.lifetime_jitter,
                half_close: tunnel.half_close_timeout,
                close: tunnel.close_timeout,
                keepalive: tunnel.tcp_keepalive,
            },
            cors: None,
            mirrors: None,
            headers: Arc::new(changes.headers.clone()),
            host: changes.rewrite.host.clone(),
            path: path.map(|path| Arc::new(NewPath::from(path))),
        }
    }

    /// This route, to the group as the destination has it.
    fn to(&self, destination: &Destination) -> Self {
        Route {
            group: Arc::clone(&destination.group),
            tunnels: Arc::clone(&destination.tunnels),
            ..self.clone()
        }
    }

    /// How long a handshake may take.
    pub fn handshake_timeout(&self) -> Duration {
        self.handshake_timeout.min(self.group.response_timeout)
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
