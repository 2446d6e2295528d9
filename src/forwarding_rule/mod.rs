//! A forwarding rule as requests see it: its HTTP rules with their target groups resolved, its
//! clocks and its counters.
//!
//! It is built anew with the whole configuration; where one target group changes, only the ways
//! there are replaced.

mod built;
mod destinations;
mod limit;
mod mirrors;
mod networks;
mod rates;
mod route;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::acme::Challenges;
use crate::config::model::{self, Bounds};
use crate::rules::{Action, Rules};
use crate::target_group::TargetGroup;
use crate::telemetry::metrics::{CodeCounters, Metrics, RuleMetrics};
use crate::tls::Tls;
use built::{Built, Known};
pub use destinations::TargetGroups;
use destinations::{Destination, Destinations};
pub use limit::Limit;
pub use mirrors::{Mirror, Mirrors};
pub use networks::{Networks, network_of};
pub use rates::Rates;
pub use route::{Route, Routes, Way};

/// What a connection that was accepted on one address is subject to. Immutable, but for the ways to
/// a target group that changes.
pub struct ForwardingRule {
    /// Its name.
    pub name: Arc<str>,
    /// Where it listens.
    pub listen: SocketAddr,
    /// How long to wait for the client: for a head, for progress of a body or of the answer, for
    /// the next request.
    pub client_timeout: Duration,
    /// Whose connections begin with a header of the PROXY protocol.
    pub proxied: Networks,
    /// Whose word on where a request comes from is taken.
    pub trusted: Networks,
    /// Whether headers with an underscore in their name pass.
    pub underscores_in_headers: bool,
    /// How many connections may be open at a time.
    pub max_connections: Option<usize>,
    /// How many of them may be of one client.
    pub max_connections_per_client: Option<usize>,
    /// How many requests and handshakes there may be in a second.
    pub rates: Rates,
    /// How large a request may be.
    pub bounds: Bounds,
    /// What it shakes hands with before any HTTP; `None` where it is plain.
    pub tls: Option<Tls>,
    /// What challenges are answered with, before any HTTP rule, where it is plain.
    pub challenges: Arc<Challenges>,
    /// Whether a client without TLS may begin with HTTP/2.
    pub h2c: bool,
    /// How many streams one connection of HTTP/2 may have at a time.
    pub max_concurrent_streams: u32,
    /// Whether WebSockets are offered over HTTP/2.
    pub http2_web_sockets: bool,
    /// After which silence the system probes its clients, where the route of a tunnel says nothing
    /// else.
    pub keepalive: Duration,
    /// Its HTTP rules.
    pub rules: Rules<Routes>,
    /// What it counts.
    pub metrics: Arc<RuleMetrics>,
    http_rules: Vec<Built>,
    /// By the name of a target group: the places of the HTTP rules that lead there.
    leading_to: HashMap<Arc<str>, Vec<usize>>,
}

impl ForwardingRule {
    /// Builds a rule, upon what the one of its name has counted before, and without building the
    /// HTTP rules again that it had: they lead where they have led. The configuration has been
    /// checked; an error names a target group that does not exist.
    pub fn build(
        rule: &model::ForwardingRule,
        groups: &TargetGroups,
        tls: Option<Tls>,
        before: Option<&ForwardingRule>,
        metrics: &Metrics,
    ) -> Result<Self, String> {
        let destinations = Destinations::new(&rule.name, groups, metrics);
        let known = before.map(|before| Known::of(&before.rules, &before.http_rules));
        let known = known.unwrap_or_default();
        let routes = |forward: &model::Forward| {
            let known = known.routes(forward);
            known.or_else(|| Routes::build(forward, &destinations))
        };
        let models: Vec<_> = match rule.in_order {
            true => rule.http_rules.clone(),
            false => Rules::<Routes>::ordered(&rule.http_rules)
                .into_iter()
                .cloned()
                .collect(),
        };
        let rules = Rules::build_sorted(&models, routes)?;
        Ok(ForwardingRule {
            name: rule.name.as_str().into(),
            listen: rule.listen,
            client_timeout: rule.client_timeout,
            proxied: rule.proxy_protocol_from.as_slice().into(),
            trusted: rule.trusted_proxies.as_slice().into(),
            underscores_in_headers: rule.underscores_in_headers,
            max_connections: rule.max_connections,
            max_connections_per_client: rule.max_connections_per_client,
            rates: Rates::upon(before.map(|before| &before.rates), &rule.rates),
            bounds: rule.bounds,
            tls,
            challenges: Arc::default(),
            h2c: rule.h2c,
            max_concurrent_streams: rule.max_concurrent_streams,
            http2_web_sockets: rule.http2_web_sockets,
            keepalive: rule.tunnel.tcp_keepalive,
            http_rules: known.built(&rule.name, models, &rules, metrics),
            leading_to: places(&rules),
            rules,
            metrics: metrics.forwarding_rule(&rule.name),
        })
    }

    /// The same, with answers to these challenges.
    pub fn answering(self, challenges: &Arc<Challenges>) -> Self {
        ForwardingRule {
            challenges: Arc::clone(challenges),
            ..self
        }
    }

    /// From now on requests for the target group of this name go to it as it is here. Those under
    /// way keep what they have.
    pub fn lead_to(&self, group: &Arc<TargetGroup>, metrics: &Metrics) {
        let Some(places) = self.leading_to.get(&group.name) else {
            return;
        };
        let destination = Destination::new(&self.name, group, metrics);
        for place in places {
            if let Some(Action::Forward(routes)) = self.rules.at(*place).map(|rule| &rule.action) {
                routes.lead_to(&destination);
            }
        }
    }

    /// The client that a connection is counted for: nobody where it is a proxy's, which comes for
    /// many.
    pub(super) fn counts(&self, peer: IpAddr, proxied: Option<IpAddr>) -> Option<IpAddr> {
        let client = proxied.or((!self.proxied.contain(peer)).then_some(peer));
        client.filter(|client| !self.trusted.contain(*client))
    }

    /// The counters of the HTTP rule at this place in the order of evaluation.
    pub fn http_rule(&self, place: usize) -> Option<&Arc<CodeCounters>> {
        self.http_rules.get(place).map(|built| &built.counters)
    }
}

/// By the name of a target group: the places of the HTTP rules that lead there.
fn places(rules: &Rules<Routes>) -> HashMap<Arc<str>, Vec<usize>> {
    let mut places: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
    for rule in rules.iter() {
        let Action::Forward(routes) = &rule.action else {
            continue;
        };
        let groups = routes
            .iter()
            .map(|(route, _)| Arc::clone(&route.group.name));
        let mirrored = routes.iter().filter_map(|(route, _)| route.mirrors.clone());
        let mirrors = mirrored.flat_map(|mirrors| mirrors.names().collect::<Vec<_>>());
        for name in groups.chain(mirrors) {
            let known = places.entry(name).or_default();
            if known.last() != Some(&rule.index) {
                known.push(rule.index);
            }
        }
    }
    places
}
