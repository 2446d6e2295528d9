//! HealthCheckPolicies: which holds for which port of which Service.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::certificates::Fault;
use super::objects::{HealthCheck, HealthCheckPolicy, Kind, Name, Reference, Service, ServicePort};
use super::statuses::{Body, Condition, Statuses};
use super::store::Store;
use super::tls_policies::TlsPolicies;

/// The policies that take effect: by Service, and by the name of a port or for all of them.
#[derive(Debug, Default)]
pub(super) struct HealthPolicies<'a>(BTreeMap<(Name, Option<Arc<str>>), &'a HealthCheckPolicy>);

impl<'a> HealthPolicies<'a> {
    /// Those that take effect; what becomes of each is told.
    pub(super) fn of(store: &'a Store, tls: &TlsPolicies, statuses: &mut Statuses) -> Self {
        let mut in_order: Vec<_> = store.health_policies.values().collect();
        in_order.sort_by_key(|policy| policy.meta.age());
        let mut policies = HealthPolicies::default();
        for policy in in_order {
            let condition = match policies.take(policy, store, tls) {
                None => Condition::holds("Accepted", "Accepted", "Valid HealthCheckPolicy"),
                Some((reason, message)) => Condition::fails("Accepted", reason, message),
            };
            let body = Body::Conditions(vec![condition]);
            statuses.tell(Kind::HealthCheckPolicy, &policy.meta, body);
        }
        policies
    }

    fn take(
        &mut self,
        policy: &'a HealthCheckPolicy,
        store: &Store,
        tls: &TlsPolicies,
    ) -> Option<Fault> {
        if let Some(fault) = policy.meta.fault() {
            return Some(("InvalidHealthCheckPolicy", fault));
        }
        let Some(target) = &policy.target else {
            return Some(("NoTargetReference", "spec.targetRef is required".to_owned()));
        };
        let namespace = &policy.meta.name.namespace;
        let is_near = target
            .namespace
            .as_ref()
            .is_none_or(|other| other == namespace);
        if !target.is_to("", "Service") || !is_near {
            let message = "spec.targetRef must be to a Service of the same namespace";
            return Some(("InvalidTargetReference", message.to_owned()));
        }
        let service = Name::new(namespace, &target.name);
        let Some(found) = store.services.get(&service) else {
            let message = format!("there is no Service {service}");
            return Some(("InvalidServiceReference", message));
        };
        if let Some(section) = &target.section
            && !found.ports.iter().any(|port| port.name == *section)
        {
            let message = format!("Service {service} has no port named {section}");
            return Some(("InvalidPort", message));
        }
        if policy.check.tls && !speaks_tls(target, found, tls) {
            let message = "TLS needs a BackendTLSPolicy for the Service: checks speak TLS then";
            return Some(("InvalidHealthCheckPolicy", message.to_owned()));
        }
        let key = (service, target.section.clone());
        if let Some(older) = self.0.get(&key) {
            let older = &older.meta.name;
            let message = format!("HealthCheckPolicy {older} comes first for the same target");
            return Some(("Conflicted", message));
        }
        self.0.insert(key, policy);
        None
    }

    /// How the endpoints of a port of a Service are checked.
    pub(super) fn find(&self, service: &Name, port: &ServicePort) -> Option<&HealthCheck> {
        let of = |section: Option<Arc<str>>| self.0.get(&(service.clone(), section));
        let own = of(Some(Arc::clone(&port.name))).filter(|_| !port.name.is_empty());
        own.or_else(|| of(None)).map(|policy| &policy.check)
    }
}

/// Whether all ports that are meant are spoken to in TLS.
fn speaks_tls(target: &Reference, service: &Service, tls: &TlsPolicies) -> bool {
    let section = target.section.as_ref();
    let meant = service.ports.iter();
    let mut meant = meant.filter(|port| section.is_none_or(|name| *name == port.name));
    meant.all(|port| tls.find(&service.meta.name, port).is_some())
}
