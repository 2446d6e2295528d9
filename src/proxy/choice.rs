//! What of a request decides where it goes: to which of a rule's target groups, and to which target
//! there.

use std::sync::Arc;

use http::header::HOST;

use crate::config::model::HashKey;
use crate::forwarding_rule::{Route, Routes, Way};
use crate::os::random::chance;
use crate::rules::Request;
use crate::target_group::{PickContext, TargetGroup};

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

/// The place of the target that the request's cookie tells.
fn told(group: &TargetGroup, request: &Request<'_>) -> Option<usize> {
    let name = group.cookie_name()?;
    let mut values = request.cookies(name.as_bytes());
    values.find_map(|value| group.place_from_cookie(value))
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
