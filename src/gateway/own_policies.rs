//! TunnelPolicies and TargetPolicies: which holds for what. Of two for one target the older does;
//! that of a route takes the place of that of its Gateway, as a whole.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::certificates::Fault;
use super::compiled::Tunnels;
use super::objects::{GROUP, Kind, Meta, Name, Reference, ServicePort, TargetPolicy};
use super::statuses::{Body, Condition, Statuses};
use super::store::Store;

/// A target of a policy: its kind, its name, and a part of it.
type Target = (&'static str, Name, Option<Arc<str>>);

/// Which policy holds for which target.
type Taken<T> = BTreeMap<Target, Arc<T>>;

/// The TunnelPolicies that take effect; what becomes of each is told.
pub(super) fn tunnels(store: &Store, statuses: &mut Statuses) -> Tunnels {
    let mut taken = Taken::new();
    for policy in in_order(store.tunnel_policies.values(), |policy| &policy.meta) {
        let found = |to: &Reference| {
            let name = Name::new(&policy.meta.name.namespace, &to.name);
            let kind = match (&*to.group, &*to.kind) {
                (GROUP, "Gateway") if store.gateways.contains_key(&name) => "Gateway",
                (GROUP, "HTTPRoute") if store.routes.contains_key(&name) => "HTTPRoute",
                _ => return None,
            };
            Some((kind, name, None))
        };
        let fault = take(policy, &policy.meta, &policy.targets, found, &mut taken);
        tell(Kind::TunnelPolicy, &policy.meta, fault, statuses);
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
            let fault = take(policy, &policy.meta, &policy.targets, found, &mut taken);
            tell(Kind::TargetPolicy, &policy.meta, fault, statuses);
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

/// Gives a policy those of its targets that no older one has; or says why it has none.
fn take<T>(
    policy: &Arc<T>,
    meta: &Meta,
    targets: &[Reference],
    found: impl Fn(&Reference) -> Option<Target>,
    taken: &mut Taken<T>,
) -> Option<Fault> {
    if let Some(fault) = meta.fault() {
        return Some(("Invalid", fault));
    }
    let there: Vec<Target> = targets.iter().filter_map(found).collect();
    if there.is_empty() {
        let message = "nothing is there that targetRefs names";
        return Some(("TargetNotFound", message.to_owned()));
    }
    let mut has_any = false;
    for target in there {
        if let Entry::Vacant(free) = taken.entry(target) {
            free.insert(Arc::clone(policy));
            has_any = true;
        }
    }
    let message = "another policy comes first for the same target".to_owned();
    (!has_any).then_some(("Conflicted", message))
}

fn tell(kind: Kind, meta: &Meta, fault: Option<Fault>, statuses: &mut Statuses) {
    let condition = match fault {
        None => Condition::holds("Accepted", "Accepted", format!("Valid {}", kind.as_str())),
        Some((reason, message)) => Condition::fails("Accepted", reason, message),
    };
    statuses.tell(kind, meta, Body::Conditions(vec![condition]));
}
