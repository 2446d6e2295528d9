//! References of routes to backends: to which group they lead, or why to none.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::certificates::Fault;
use super::compiled::{Group, GroupName, GroupTls, Sticky};
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

/// A Service, a port, the Gateway if that shows a certificate, and the rule if that keeps clients
/// at their endpoints.
type Key = (Name, u16, Option<Name>, Option<Arc<str>>);

/// What a reference is to, beside the Service.
#[derive(Debug, Clone, Copy)]
pub(super) struct To<'a> {
    pub(super) port: Option<u16>,
    pub(super) sticky: Option<&'a Sticky>,
}

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
        part: To,
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
            part.port.unwrap_or(0),
            user.own.map(|_| user.gateway.clone()),
            part.sticky.map(|sticky| Arc::clone(&sticky.rule)),
        );
        if let Some(found) = self.found.borrow().get(&key) {
            return found.clone();
        }
        let found = match self.find(&key.0, key.1, part.sticky, user) {
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

    fn find(
        &self,
        name: &Name,
        port: u16,
        sticky: Option<&Sticky>,
        user: User,
    ) -> Result<Arc<GroupName>, Option<Fault>> {
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
        let group = Group {
            name: Arc::new(GroupName::of(name, port.port, None, sticky)),
            port_name: Arc::clone(&port.name),
            h2c,
            tls: None,
            health: self.health.find(name, port).cloned(),
            policy: self.targets.find(name, port).cloned(),
            sticky: sticky.cloned(),
        };
        Ok(self.put(group, policy, user))
    }

    /// Puts a group among those that are led to, with its TLS; what it is called then.
    fn put(&self, group: Group, policy: Option<&Judged>, user: User) -> Arc<GroupName> {
        let own = user.own.filter(|_| policy.is_some());
        let GroupName { service, port, .. } = &*group.name;
        let gateway = own.map(|_| user.gateway);
        let name = GroupName::of(service, *port, gateway, group.sticky.as_ref());
        let name = Arc::new(name);
        let tls = policy.map(|judged| GroupTls {
            host: Arc::clone(&judged.policy.host),
            authorities: judged.authorities.clone(),
            alternatives: judged.policy.alternatives.clone(),
            own: own.cloned(),
        });
        let group = Group {
            name: Arc::clone(&name),
            tls,
            ..group
        };
        let mut groups = self.groups.borrow_mut();
        groups.insert(Arc::clone(&name.text), Arc::new(group));
        name
    }
}

/// Whether a port speaks HTTP/2 without TLS; or why it cannot be spoken to. Names of services know
/// no case (RFC 6335 section 5.1).
fn speaks_h2c(port: &ServicePort, has_tls: bool) -> Result<bool, String> {
    let protocol = port.app_protocol.as_ref();
    match protocol.map(|word| word.to_ascii_lowercase()).as_deref() {
        None | Some("http" | "kubernetes.io/ws") => Ok(false),
        Some("kubernetes.io/h2c") => Ok(true),
        Some("https" | "kubernetes.io/wss") if has_tls => Ok(false),
        Some(word @ ("https" | "kubernetes.io/wss")) => {
            Err(format!("appProtocol {word} needs a BackendTLSPolicy"))
        }
        Some(word) => Err(format!("appProtocol {word} is not supported")),
    }
}
