//! BackendTLSPolicies: which holds for which port of which Service, and whether it can be kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::certificates::{Fault, Reasons, authorities, referrer};
use super::grants::Grants;
use super::objects::{BackendTlsPolicy, Kind, Name, ParentRef, Service, ServicePort};
use super::statuses::{Body, Condition, Statuses};
use super::store::Store;
use super::system::trusts_system;
use crate::config::model::Authorities;

/// How many ancestors a status may have.
const MOST_ANCESTORS: usize = 16;

/// A policy, and what it comes to.
#[derive(Debug)]
pub(super) struct Judged<'a> {
    pub(super) policy: &'a Arc<BackendTlsPolicy>,
    /// Who vouches; the system's where there is none and nothing is wrong.
    pub(super) authorities: Option<Authorities>,
    /// Why it is not accepted.
    pub(super) fault: Option<Fault>,
    /// What it refers to and cannot use.
    pub(super) unresolved: Option<Fault>,
}

/// All policies.
#[derive(Debug)]
pub(super) struct TlsPolicies<'a> {
    judged: BTreeMap<&'a Name, Judged<'a>>,
    /// By Service, and by the name of a port or for all of them.
    targets: BTreeMap<(Name, Option<Arc<str>>), &'a Name>,
}

const REASONS: Reasons = Reasons {
    invalid: "InvalidCACertificateRef",
    kind: "InvalidKind",
};

impl<'a> TlsPolicies<'a> {
    pub(super) fn of(store: &'a Store, grants: &Grants) -> Self {
        let mut in_order: Vec<_> = store.tls_policies.values().collect();
        in_order.sort_by_key(|policy| policy.meta.age());
        let mut policies = TlsPolicies {
            judged: BTreeMap::new(),
            targets: BTreeMap::new(),
        };
        for policy in in_order {
            let conflict = policies.take_targets(policy, store);
            let mut judged = judge(policy, store, grants);
            judged.fault = judged.fault.or(conflict);
            policies.judged.insert(&policy.meta.name, judged);
        }
        policies
    }

    /// Gives a policy those of its targets that no older one has.
    fn take_targets(&mut self, policy: &'a BackendTlsPolicy, store: &Store) -> Option<Fault> {
        let (mut has_any, mut older) = (false, None);
        for target in &policy.targets {
            let service = Name::new(&policy.meta.name.namespace, &target.name);
            let found = store.services.get(&service);
            let is_there = target.is_to("", "Service")
                && found.is_some_and(|found| has_port(found, target.section.as_deref()));
            if !is_there {
                continue;
            }
            let key = (service, target.section.clone());
            match self.targets.get(&key) {
                Some(other) => older = older.or(Some(*other)),
                None => {
                    self.targets.insert(key, &policy.meta.name);
                    has_any = true;
                }
            }
        }
        match (has_any, older) {
            (true, _) => None,
            (false, Some(other)) => {
                let message = format!("BackendTLSPolicy {other} is older and has the same target");
                Some(("Conflicted", message))
            }
            (false, None) => {
                let message = "no Service and port is there that targetRefs names";
                Some(("TargetNotFound", message.to_owned()))
            }
        }
    }

    /// The policy for a port of a Service.
    pub(super) fn find(&self, service: &Name, port: &ServicePort) -> Option<&Judged<'a>> {
        let of = |section: Option<Arc<str>>| self.targets.get(&(service.clone(), section));
        let own = of(Some(Arc::clone(&port.name))).filter(|_| !port.name.is_empty());
        self.judged.get(own.or_else(|| of(None))?)
    }

    /// Tells what becomes of each, where `users` are the Gateways that have use for it.
    pub(super) fn tell(&self, users: &BTreeMap<Name, BTreeSet<Name>>, statuses: &mut Statuses) {
        for (name, judged) in &self.judged {
            let conditions = judged.conditions();
            let own = users.get(*name).into_iter().flatten();
            let ancestors = own.take(MOST_ANCESTORS);
            let ancestors =
                ancestors.map(|gateway| (ParentRef::gateway(gateway), conditions.clone()));
            let body = Body::Ancestors(ancestors.collect());
            statuses.tell(Kind::BackendTlsPolicy, &judged.policy.meta, body);
        }
    }

    /// The policies that want this Service, used or not.
    pub(super) fn wanting(&self, service: &Name) -> impl Iterator<Item = &Name> {
        let all = self.judged.values().filter(move |judged| {
            let policy = &judged.policy;
            let is_target = |target: &Name| target == service;
            let names = policy.targets.iter();
            let mut names =
                names.map(|target| Name::new(&policy.meta.name.namespace, &target.name));
            names.any(|name| is_target(&name))
        });
        all.map(|judged| &judged.policy.meta.name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.judged.is_empty()
    }
}

impl Judged<'_> {
    fn conditions(&self) -> Vec<Condition> {
        let accepted = match &self.fault {
            Some((reason, message)) => Condition::fails("Accepted", reason, message),
            None => Condition::holds("Accepted", "Accepted", "Valid BackendTLSPolicy"),
        };
        let resolved = match &self.unresolved {
            Some((reason, message)) => Condition::fails("ResolvedRefs", reason, message),
            None => Condition::holds("ResolvedRefs", "ResolvedRefs", "All references are there"),
        };
        vec![accepted, resolved]
    }
}

fn has_port(service: &Service, section: Option<&str>) -> bool {
    section.is_none_or(|section| service.ports.iter().any(|port| &*port.name == section))
}

fn judge<'a>(policy: &'a Arc<BackendTlsPolicy>, store: &Store, grants: &Grants) -> Judged<'a> {
    let mut judged = Judged {
        policy,
        authorities: None,
        fault: policy.meta.fault().map(|fault| ("Invalid", fault)),
        unresolved: None,
    };
    if judged.fault.is_none() && policy.trusts_system && !trusts_system() {
        let message = "the system of this node trusts no authority".to_owned();
        judged.fault = Some(("NoValidCACertificate", message));
    }
    if judged.fault.is_some() || policy.trusts_system {
        return judged;
    }
    let from = referrer("BackendTLSPolicy", &policy.meta.name);
    let (found, unresolved) = authorities(&policy.authorities, from, store, grants, &REASONS);
    if found.is_none() {
        let message = unresolved.as_ref().map(|(_, message)| message.clone());
        judged.fault = Some(("NoValidCACertificate", message.unwrap_or_default()));
    }
    judged.authorities = found;
    judged.unresolved = unresolved;
    judged
}
