//! What of a request decides where it goes: to which of a rule's target groups, and to which target
//! there.

use std::sync::Arc;

use http::header::HOST;

use crate::config::model::HashKey;
use crate::forwarding_rule::{Route, Routes, Way};
use crate::os::random::chance;
use crate::rules::Request;
use crate::target_group::{Carrier, PickContext, TargetGroup};

/// The way of a request: to the group that its cookie leads to, otherwise by chance. Groups that
/// serve nobody are left out while another serves, unless they keep their shares. `None` where
/// every weight is 0.
pub(super) fn way<'r>(routes: &'r Routes, request: &Request<'_>) -> Option<Way<'r>> {
    if let Some(certain) = routes.only().or_else(|| told_route(routes, request)) {
        return Some(Way::Route(certain));
    }
    let all_count = routes.keeps_shares || !serving(routes).any(|_| true);
    routes.by_chance(chance(), |route| all_count || route.group.serves(None))
}

/// All ways to a group that [`way`] may find for it.
pub(super) fn possible(routes: &Routes, request: &Request<'_>) -> Vec<Arc<Route>> {
    if let Some(certain) = routes.only().or_else(|| told_route(routes, request)) {
        return vec![certain];
    }
    let serving: Vec<_> = serving(routes).collect();
    match serving.is_empty() || routes.keeps_shares {
        true => weighted(routes).collect(),
        false => serving,
    }
}

fn weighted(routes: &Routes) -> impl Iterator<Item = Arc<Route>> {
    let weighted = routes.iter().filter(|(_, weight)| *weight > 0);
    weighted.map(|(route, _)| route)
}

fn serving(routes: &Routes) -> impl Iterator<Item = Arc<Route>> {
    weighted(routes).filter(|route| route.group.serves(None))
}

fn told_route(routes: &Routes, request: &Request<'_>) -> Option<Arc<Route>> {
    let mut all = routes.iter().map(|(route, _)| route);
    all.find(|route| {
        let place = told(&route.group, request);
        place.is_some() && route.group.serves(place)
    })
}

/// Who asks this group for a target with this request.
pub(super) fn context(group: &TargetGroup, request: &Request<'_>) -> PickContext<'static> {
    PickContext {
        hash: group.hash(request.client_ip(), |key| value(request, key)),
        sticky: told(group, request),
        ..PickContext::default()
    }
}

/// The place of the target that the request's cookie or header tells.
fn told(group: &TargetGroup, request: &Request<'_>) -> Option<usize> {
    let place = |value| group.place_told(value);
    match group.carrier()? {
        Carrier::Cookie(name) => request.cookies(name.as_bytes()).find_map(place),
        Carrier::Header(name) => request.header_lines(name).find_map(place),
    }
}

fn value<'r>(request: &Request<'r>, key: &HashKey) -> Option<&'r [u8]> {
    match key {
        // In all its forms it is the same host, but for its case.
        HashKey::Header(name) if *name == HOST => Some(request.host()),
        HashKey::Header(name) => request.header_lines(name).next(),
        HashKey::Cookie(name) => request.cookies(name.as_bytes()).next(),
        HashKey::Query(name) => request.parameters(name.as_bytes()).next(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use http::HeaderMap;

    use super::*;
    use crate::config::model::{Action, Answer, Forward, RedirectParts, WeightedAnswer};
    use crate::config::{self, secret_key::SecretKey};
    use crate::forwarding_rule::ForwardingRule;
    use crate::rules::{self, Response};
    use crate::target_group::Fleet;
    use crate::telemetry::metrics::Metrics;

    const FILE: &str = "forwardingRules:
- name: edge
  protocol: HTTP
  listenerIp: 127.0.0.1
  listenerPort: 80
  httpRules: [{name: all, type: FORWARD, targetGroups: [{name: out}, {name: serving}]}]
targetGroups:
- name: out
  algorithm: RANDOM
  protocol: HTTP
  targets: [{ip: 10.0.0.1, port: 80, maintenanceEnabled: true}]
- {name: serving, algorithm: RANDOM, protocol: HTTP, targets: [{ip: 10.0.0.2, port: 80}]}";

    /// Where 200 requests go by this rule, once it is changed so.
    fn ways(change: impl Fn(&mut Forward)) -> Vec<String> {
        let config = config::parse("edge.yaml", FILE).unwrap().config;
        let metrics = Arc::new(Metrics::new().unwrap());
        let fleet = Fleet::new(Arc::clone(&metrics), SecretKey::random().unwrap());
        let built = fleet.prepare_and_build(&config.target_groups, &[]).unwrap();
        let named = built
            .into_iter()
            .map(|group| (group.name.to_string(), group));
        let mut rule = (*config.forwarding_rules[0]).clone();
        let http_rule = Arc::make_mut(&mut rule.http_rules[0]);
        if let Action::Forward(forward) = &mut http_rule.action {
            change(forward);
        }
        let rule = ForwardingRule::build(&rule, &named.collect(), None, None, &metrics).unwrap();
        let rules::Action::Forward(routes) = &rule.rules.at(0).unwrap().action else {
            panic!("it forwards");
        };
        let headers = HeaderMap::new();
        let request = Request::new("GET", b"/", &headers, IpAddr::V4(Ipv4Addr::LOCALHOST));
        let name = |way| match way {
            Way::Route(route) => route.group.name.to_string(),
            Way::Answer(Response::Static(answer)) => answer.status.as_u16().to_string(),
            Way::Answer(Response::Redirect(redirect)) => redirect.status.as_u16().to_string(),
        };
        let all = (0..200).map(|_| way(routes, &request).map(name).unwrap());
        let mut all: Vec<_> = all.collect();
        all.sort();
        all.dedup();
        all
    }

    #[tokio::test]
    async fn a_group_that_serves_nobody_keeps_its_share_only_where_it_is_to() {
        assert_eq!(ways(|_| ()), ["serving"]);
        assert_eq!(
            ways(|forward| forward.keeps_shares = true),
            ["out", "serving"]
        );
    }

    #[tokio::test]
    async fn a_share_may_be_answered_with_a_status_or_a_redirect() {
        let parts = RedirectParts {
            status_code: 302,
            ..RedirectParts::default()
        };
        let redirect = Answer::Redirect(parts.redirect(80, false).unwrap());
        let found = ways(|forward| {
            for answer in [Answer::Status(500), redirect.clone()] {
                let weight = 1_000_000;
                forward.answers.push(WeightedAnswer { answer, weight });
            }
            forward.target_groups[1].weight = 1_000_000;
        });
        assert_eq!(found, ["302", "500", "serving"]);
    }
}
