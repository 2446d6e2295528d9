//! References of routes to backends: to which group they lead, or why to none.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::certificates::Fault;
use super::compiled::{Group, GroupName, GroupTls};
use super::grants::{Grants, Referrer};
use super::health::HealthPolicies;
use super::objects::{GROUP, Name, Reference, ServicePort};
use super::own_policies::TargetPolicies;
use super::store::Store;
use super::tls_policies::{Judged, TlsPolicies};
use crate::config::model::Certificate;

/// Where a reference leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resolved {
    /// To a group.
    Group(Arc<GroupName>),
    /// Nowhere: the reason of a condition, and words.
    Nowhere(&'static str, String),
    /// Nowhere, though it is resolved: its TLS cannot be had.
    Unsafe,
}

/// A Gateway whose routes are resolved.
#[derive(Debug, Clone, Copy)]
pub(super) struct User<'a> {
    pub(super) gateway: &'a Name,
    /// What it shows to endpoints.
    pub(super) own: Option<&'a Arc<Certificate>>,
}

/// Groups by name.
pub(super) type Groups = BTreeMap<Arc<str>, Arc<Group>>;

/// The Gateways that have use for each BackendTLSPolicy.
pub(super) type Users = BTreeMap<Name, BTreeSet<Name>>;

/// What references are resolved with, and the groups to which they have led.
pub(super) struct Backends<'a> {
    pub(super) store: &'a Store,
    pub(super) grants: &'a Grants<'a>,
    pub(super) tls: &'a TlsPolicies<'a>,
    pub(super) health: &'a HealthPolicies<'a>,
    pub(super) targets: &'a TargetPolicies,
    /// The groups of before, where they all are still what they were.
    before: Option<&'a Groups>,
    found: RefCell<HashMap<Key, Resolved>>,
    groups: RefCell<Groups>,
    users: RefCell<Users>,
}

/// A Service, a port, and the Gateway if that shows a certificate.
type Key = (Name, u16, Option<Name>);

impl<'a> Backends<'a> {
    pub(super) fn new(
        store: &'a Store,
        grants: &'a Grants<'a>,
        tls: &'a TlsPolicies<'a>,
        health: &'a HealthPolicies<'a>,
        targets: &'a TargetPolicies,
        before: Option<&'a Groups>,
    ) -> Self {
        Backends {
            store,
            grants,
            tls,
            health,
            targets,
            before,
            found: RefCell::default(),
            groups: RefCell::default(),
            users: RefCell::default(),
        }
    }

    /// The groups, and the Gateways that have use for each BackendTLSPolicy.
    pub(super) fn into_parts(self) -> (Groups, Users) {
        (self.groups.into_inner(), self.users.into_inner())
    }

    /// Takes groups of before for those of now, if they are; these Services are referred to.
    pub(super) fn reuse(
        &self,
        names: &BTreeSet<Arc<GroupName>>,
        services: &BTreeSet<Name>,
        user: User,
    ) -> bool {
        let Some(before) = self.before else {
            return false;
        };
        if !names.iter().all(|name| before.contains_key(&name.text)) {
            return false;
        }
        let mut groups = self.groups.borrow_mut();
        for name in names {
            let known = before.get(&name.text).map(Arc::clone);
            groups.extend(known.map(|group| (Arc::clone(&name.text), group)));
        }
        for service in services {
            self.note_user(service, user.gateway);
        }
        true
    }

    /// Where a reference of an HTTPRoute in this namespace leads.
    pub(super) fn resolve(
        &self,
        namespace: &str,
        to: &Reference,
        port: Option<u16>,
        user: User,
    ) -> Resolved {
        if !to.is_to("", "Service") {
            let message = format!("{}/{} {} is no Service", to.group, to.kind, to.name);
            return Resolved::Nowhere("InvalidKind", message);
        }
        let name = Name::new(to.namespace.as_deref().unwrap_or(namespace), &to.name);
        let from = Referrer {
            group: GROUP,
            kind: "HTTPRoute",
            namespace,
        };
        if !self.grants.allow(from, "", "Service", &name) {
            let message = format!("no ReferenceGrant allows Service {name}");
            return Resolved::Nowhere("RefNotPermitted", message);
        }
        self.note_user(&name, user.gateway);
        let key = (
            name,
            port.unwrap_or(0),
            user.own.map(|_| user.gateway.clone()),
        );
        if let Some(found) = self.found.borrow().get(&key) {
            return found.clone();
        }
        let found = match self.find(&key.0, key.1, user) {
            Ok(group) => Resolved::Group(group),
            Err(Some((reason, message))) => Resolved::Nowhere(reason, message),
            Err(None) => Resolved::Unsafe,
        };
        self.found.borrow_mut().insert(key, found.clone());
        found
    }

    fn note_user(&self, service: &Name, gateway: &Name) {
        if self.tls.is_empty() {
            return;
        }
        let mut users = self.users.borrow_mut();
        for policy in self.tls.wanting(service) {
            let gateways = users.entry(policy.clone()).or_default();
            if !gateways.contains(gateway) {
                gateways.insert(gateway.clone());
            }
        }
    }

    fn find(&self, name: &Name, port: u16, user: User) -> Result<Arc<GroupName>, Option<Fault>> {
        let missing = |message: String| Some(("BackendNotFound", message));
        let service = self.store.services.get(name);
        let service = service.ok_or_else(|| missing(format!("there is no Service {name}")))?;
        if service.is_external {
            let message = format!("Service {name} is an ExternalName, which is not supported");
            return Err(Some(("InvalidKind", message)));
        }
        if let Some(fault) = service.meta.fault() {
            return Err(missing(format!("Service {name}: {fault}")));
        }
        let found = service.ports.iter().find(|one| one.port == port);
        let port = found.ok_or_else(|| missing(format!("Service {name} has no port {port}")))?;
        let policy = self.tls.find(name, port);
        if policy.is_some_and(|policy| policy.fault.is_some()) {
            return Err(None);
        }
        let h2c = speaks_h2c(port, policy.is_some())
            .map_err(|message| ("UnsupportedProtocol", format!("Service {name}: {message}")))?;
        Ok(self.group(name, port, policy, h2c, user))
    }

    fn group(
        &self,
        service: &Name,
        port: &ServicePort,
        policy: Option<&Judged>,
        h2c: bool,
        user: User,
    ) -> Arc<GroupName> {
        let own = user.own.filter(|_| policy.is_some());
        let name = GroupName::of(service, port.port, own.map(|_| user.gateway));
        let name = Arc::new(name);
        let tls = policy.map(|judged| GroupTls {
            host: Arc::clone(&judged.policy.host),
            authorities: judged.authorities.clone(),
            alternatives: judged.policy.alternatives.clone(),
            own: own.cloned(),
        });
        let group = Group {
            name: Arc::clone(&name),
            port_name: Arc::clone(&port.name),
            h2c,
            tls,
            health: self.health.find(service, port).cloned(),
            policy: self.targets.find(service, port).cloned(),
        };
        let mut groups = self.groups.borrow_mut();
        groups.insert(Arc::clone(&name.text), Arc::new(group));
        name
    }
}

/// Whether a port speaks HTTP/2 without TLS; or why it cannot be spoken to.
fn speaks_h2c(port: &ServicePort, has_tls: bool) -> Result<bool, String> {
    // They are IANA's names, of which the case does not matter.
    let word = port.app_protocol.as_deref().map(str::to_ascii_lowercase);
    match word.as_deref() {
        None | Some("http" | "kubernetes.io/ws") => Ok(false),
        Some("kubernetes.io/h2c") => Ok(true),
        Some("https" | "kubernetes.io/wss") if has_tls => Ok(false),
        Some(word @ ("https" | "kubernetes.io/wss")) => {
            Err(format!("appProtocol {word} needs a BackendTLSPolicy"))
        }
        Some(word) => Err(format!("appProtocol {word} is not supported")),
    }
}
