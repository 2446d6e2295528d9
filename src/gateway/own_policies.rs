//! TunnelPolicies and TargetPolicies: which holds for what. Of two for one target the older does;
//! that of a route takes the place of that of its Gateway, as a whole. What is told of a policy is
//! told of each of its targets (GEP-713): an ancestor is what `targetRefs` names.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::certificates::Fault;
use super::compiled::Tunnels;
use super::objects::{
    GROUP, HttpRoute, Kind, Meta, Name, ParentRef, Reference, ServicePort, TargetPolicy,
};
use super::statuses::{Body, Condition, Statuses};
use super::store::Store;

/// A target of a policy: its kind, its name, and a part of it.
type Target = (&'static str, Name, Option<Arc<str>>);

/// Which policy holds for which target.
type Taken<T> = BTreeMap<Target, Arc<T>>;

/// The TunnelPolicies that take effect, where these Gateways are ours; what becomes of each is
/// told.
pub(super) fn tunnels(
    store: &Store,
    ours: &BTreeMap<Name, Arc<str>>,
    statuses: &mut Statuses,
) -> Tunnels {
    let mut taken = Taken::new();
    for policy in in_order(store.tunnel_policies.values(), |policy| &policy.meta) {
        let found = |to: &Reference| {
            let name = Name::new(&policy.meta.name.namespace, &to.name);
            let route = store.routes.get(&name);
            let kind = match (&*to.group, &*to.kind) {
                (GROUP, "Gateway") if ours.contains_key(&name) => "Gateway",
                (GROUP, "HTTPRoute") if route.is_some_and(|one| is_at(one, ours)) => "HTTPRoute",
                _ => return None,
            };
            to.section.is_none().then_some((kind, name, None))
        };
        let told = take(policy, &policy.meta, &policy.targets, found, &mut taken);
        statuses.tell(Kind::TunnelPolicy, &policy.meta, told);
    }
    let mut tunnels = Tunnels::default();
    for ((kind, name, _), policy) in taken {
        match kind {
            "Gateway" => tunnels.gateways.insert(name, policy),
            _ => tunnels.routes.insert(name, policy),
        };
    }
    tunnels
}

/// Whether a route is meant for one of these Gateways.
fn is_at(route: &HttpRoute, ours: &BTreeMap<Name, Arc<str>>) -> bool {
    let mut parents = route.parents.iter().map(|parent| &parent.to);
    parents.any(|to| {
        let own = &route.meta.name.namespace;
        let name = Name::new(to.namespace.as_ref().unwrap_or(own), &to.name);
        to.is_to(GROUP, "Gateway") && ours.contains_key(&name)
    })
}

/// The TargetPolicies that take effect.
#[derive(Debug, Default)]
pub(super) struct TargetPolicies(Taken<TargetPolicy>);

impl TargetPolicies {
    /// Those of a store; what becomes of each is told.
    pub(super) fn of(store: &Store, statuses: &mut Statuses) -> Self {
        let mut taken = Taken::new();
        for policy in in_order(store.target_policies.values(), |policy| &policy.meta) {
            let found = |to: &Reference| {
                let name = Name::new(&policy.meta.name.namespace, &to.name);
                let service = store
                    .services
                    .get(&name)
                    .filter(|_| to.is_to("", "Service"))?;
                let has = |section: &Arc<str>| service.ports.iter().any(|one| one.name == *section);
                let is_there = to.section.as_ref().is_none_or(has);
                is_there.then(|| ("Service", name, to.section.clone()))
            };
            let told = take(policy, &policy.meta, &policy.targets, found, &mut taken);
            statuses.tell(Kind::TargetPolicy, &policy.meta, told);
        }
        TargetPolicies(taken)
    }

    /// The policy for a port of a Service.
    pub(super) fn find(&self, service: &Name, port: &ServicePort) -> Option<&Arc<TargetPolicy>> {
        let of = |section: Option<Arc<str>>| self.0.get(&("Service", service.clone(), section));
        let own = of(Some(Arc::clone(&port.name))).filter(|_| !port.name.is_empty());
        own.or_else(|| of(None))
    }
}

fn in_order<'a, T>(
    all: impl Iterator<Item = &'a Arc<T>>,
    meta: fn(&T) -> &Meta,
) -> Vec<&'a Arc<T>> {
    let mut all: Vec<_> = all.collect();
    all.sort_by(|one, other| meta(one).age().cmp(&meta(other).age()));
    all
}

/// Gives a policy those of its targets that no older one has; what is told of each.
fn take<T>(
    policy: &Arc<T>,
    meta: &Meta,
    targets: &[Reference],
    found: impl Fn(&Reference) -> Option<Target>,
    taken: &mut Taken<T>,
) -> Body {
    let mut told: Vec<(ParentRef, Vec<Condition>)> = Vec::new();
    for to in targets {
        let ancestor = ancestor(to, meta);
        if told.iter().any(|(known, _)| *known == ancestor) {
            continue;
        }
        let fault = match (meta.fault(), found(to)) {
            (Some(fault), _) => Some(("Invalid", fault)),
            (None, None) => Some(("TargetNotFound", not_found(to))),
            (None, Some(target)) => take_target(policy, target, taken),
        };
        told.push((ancestor, vec![condition(fault)]));
    }
    Body::Ancestors(told)
}

fn take_target<T>(policy: &Arc<T>, target: Target, taken: &mut Taken<T>) -> Option<Fault> {
    match taken.entry(target) {
        Entry::Vacant(free) => {
            free.insert(Arc::clone(policy));
            None
        }
        Entry::Occupied(_) => {
            let message = "another policy comes first for the same target".to_owned();
            Some(("Conflicted", message))
        }
    }
}

fn not_found(to: &Reference) -> String {
    let section = to.section.as_ref();
    let part = section.map_or(String::new(), |part| format!(" with {part}"));
    format!("there is no {} {}{part} for this policy", to.kind, to.name)
}

fn ancestor(to: &Reference, meta: &Meta) -> ParentRef {
    let namespace = Some(Arc::clone(&meta.name.namespace));
    ParentRef {
        to: Reference {
            namespace,
            ..to.clone()
        },
        port: None,
    }
}

fn condition(fault: Option<Fault>) -> Condition {
    match fault {
        None => Condition::holds("Accepted", "Accepted", "The policy holds for this target"),
        Some((reason, message)) => Condition::fails("Accepted", reason, message),
    }
}
