//! Gateways and their listeners: which of them serve, with which certificates, and what is told of
//! those that do not.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use super::addresses::Assigned;
use super::certificates::{Fault, Reasons, authorities, referrer, secret};
use super::grants::Grants;
use super::objects::{GROUP, Gateway, Host, Listener, Reference, Validation, told};
use super::secrets::Secrets;
use super::store::Store;
use crate::config::model::{Certificate, ClientCertificateMode, ClientCertificates};

/// A Gateway of ours.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) gateway: Arc<Gateway>,
    /// Why it is not accepted as a whole.
    pub(super) fault: Option<Fault>,
    pub(super) assigned: Assigned,
    /// Those of the Gateway, in its order.
    pub(super) listeners: Vec<Planned>,
    /// What it shows to endpoints, if it shows anything.
    pub(super) own: Option<Result<Arc<Certificate>, Fault>>,
}

/// A listener of a Gateway.
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// Why it is not accepted.
    pub(super) fault: Option<Fault>,
    /// With which other listener it cannot be.
    pub(super) conflict: Option<Fault>,
    /// What it refers to and cannot use.
    pub(super) unresolved: Option<Fault>,
    /// Another listener's TLS that is good for the same hosts.
    pub(super) overlap: Option<Fault>,
    /// The kinds of routes that it takes.
    pub(super) kinds: Vec<&'static str>,
    /// What it shows to clients.
    pub(super) certificates: Vec<Arc<Certificate>>,
    /// Who vouches for clients.
    pub(super) clients: Option<Arc<ClientCertificates>>,
}

impl Planned {
    /// Whether routes may attach to it.
    pub(super) fn is_accepted(&self) -> bool {
        self.fault.is_none() && self.conflict.is_none()
    }

    /// Whether it serves.
    pub(super) fn is_programmed(&self, listener: &Listener) -> bool {
        let is_open = listener.protocol.as_ref() == "HTTP" || !self.certificates.is_empty();
        self.is_accepted() && is_open && !self.kinds.is_empty()
    }
}

impl Plan {
    /// Whether it serves at all.
    pub(super) fn is_served(&self) -> bool {
        self.fault.is_none() && self.assigned.unsupported.is_none()
    }

    /// Its listeners with what is known of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Listener, &Planned)> {
        self.gateway.listeners.iter().zip(&self.listeners)
    }
}

/// What listeners are planned with.
pub(super) struct Means<'a> {
    pub(super) store: &'a Store,
    pub(super) grants: &'a Grants<'a>,
    pub(super) secrets: &'a Secrets,
}

/// What is to become of a Gateway that has these addresses.
pub(super) fn plan(gateway: &Arc<Gateway>, assigned: Assigned, means: &Means) -> Plan {
    let fault = gateway.meta.fault().map(|fault| ("Invalid", fault));
    let parameters = gateway.parameters.as_ref().map(|parameters| {
        let (kind, name) = (&parameters.kind, &parameters.name);
        let message = format!("infrastructure.parametersRef: {kind} {name} is of no use here");
        ("InvalidParameters", message)
    });
    let mut listeners: Vec<_> = gateway
        .listeners
        .iter()
        .map(|listener| planned(gateway, listener, means))
        .collect();
    find_conflicts(&gateway.listeners, &mut listeners);
    find_overlaps(&gateway.listeners, &mut listeners);
    let shown = gateway.client_certificate.as_ref();
    Plan {
        fault: fault.or(parameters),
        assigned,
        listeners,
        own: shown.map(|reference| own_certificate(gateway, reference, means)),
        gateway: Arc::clone(gateway),
    }
}

const SERVER: Reasons = Reasons {
    invalid: "InvalidCertificateRef",
    kind: "InvalidCertificateRef",
};
const CLIENT: Reasons = Reasons {
    invalid: "InvalidClientCertificateRef",
    kind: "InvalidClientCertificateRef",
};
const AUTHORITY: Reasons = Reasons {
    invalid: "InvalidCACertificateRef",
    kind: "InvalidCACertificateKind",
};

fn own_certificate(
    gateway: &Gateway,
    reference: &Reference,
    means: &Means,
) -> Result<Arc<Certificate>, Fault> {
    let from = referrer("Gateway", &gateway.meta.name);
    let secret = secret(reference, from, means.store, means.grants, &CLIENT)?;
    let fault = |fault| {
        (
            CLIENT.invalid,
            format!("Secret {}: {fault}", secret.meta.name),
        )
    };
    means.secrets.certificate(secret).map_err(fault)
}

fn planned(gateway: &Gateway, listener: &Listener, means: &Means) -> Planned {
    let mut planned = Planned {
        fault: told(&listener.flaws).map(|fault| ("UnsupportedValue", fault)),
        ..Planned::default()
    };
    if !["HTTP", "HTTPS"].contains(&&*listener.protocol) && planned.fault.is_none() {
        let message = format!("protocol {} is not supported", listener.protocol);
        planned.fault = Some(("UnsupportedProtocol", message));
    }
    if planned.fault.is_some() {
        return planned;
    }
    find_kinds(listener, &mut planned);
    if &*listener.protocol == "HTTPS" {
        find_certificates(gateway, listener, &mut planned, means);
        find_authorities(gateway, listener, &mut planned, means);
    }
    planned
}

fn find_kinds(listener: &Listener, planned: &mut Planned) {
    let is_route = |kind: &(Arc<str>, Arc<str>)| (&*kind.0, &*kind.1) == (GROUP, "HTTPRoute");
    if listener.kinds.is_empty() || listener.kinds.iter().any(is_route) {
        planned.kinds.push("HTTPRoute");
    }
    if let Some((group, kind)) = listener.kinds.iter().find(|kind| !is_route(kind)) {
        let message = format!("routes of kind {group}/{kind} are not supported");
        planned.unresolved = Some(("InvalidRouteKinds", message));
    }
}

fn find_certificates(gateway: &Gateway, listener: &Listener, planned: &mut Planned, means: &Means) {
    let from = referrer("Gateway", &gateway.meta.name);
    for reference in &listener.certificates {
        let secret = secret(reference, from, means.store, means.grants, &SERVER);
        let certificate = secret.and_then(|secret| {
            let fault = |fault| {
                (
                    SERVER.invalid,
                    format!("Secret {}: {fault}", secret.meta.name),
                )
            };
            means.secrets.certificate(secret).map_err(fault)
        });
        match certificate {
            Ok(certificate) => planned.certificates.push(certificate),
            Err(fault) => planned.unresolved = planned.unresolved.take().or(Some(fault)),
        }
    }
    if planned.certificates.is_empty() && planned.unresolved.is_none() {
        let message = "tls.certificateRefs names no certificate".to_owned();
        planned.unresolved = Some((SERVER.invalid, message));
    }
}

/// What `tls.frontend` says of the port of a listener.
fn validation<'a>(gateway: &'a Gateway, listener: &Listener) -> Option<&'a Validation> {
    let frontend = &gateway.frontend;
    let of_port = frontend.ports.get(&listener.port).map(Option::as_ref);
    of_port.unwrap_or(frontend.default.as_ref())
}

fn find_authorities(gateway: &Gateway, listener: &Listener, planned: &mut Planned, means: &Means) {
    let Some(validation) = validation(gateway, listener) else {
        return;
    };
    let from = referrer("Gateway", &gateway.meta.name);
    let references = &validation.authorities;
    let (found, fault) = authorities(references, from, means.store, means.grants, &AUTHORITY);
    let mode = match validation.is_optional {
        true => ClientCertificateMode::Optional,
        false => ClientCertificateMode::Require,
    };
    let clients = found.map(|authorities| ClientCertificates {
        ca_file: None,
        authorities,
        mode,
    });
    if clients.is_none() {
        let message = fault.as_ref().map(|(_, message)| message.clone());
        let message = message.unwrap_or_else(|| "caCertificateRefs has no entry".to_owned());
        planned.fault = Some(("NoValidCACertificate", message));
    }
    planned.clients = clients.map(Arc::new);
    planned.unresolved = planned.unresolved.take().or(fault);
}

/// Of two listeners that cannot be told apart neither serves.
fn find_conflicts(listeners: &[Listener], planned: &mut [Planned]) {
    let mut ports: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (place, listener) in listeners.iter().enumerate() {
        if planned[place].fault.is_none() {
            ports.entry(listener.port).or_default().push(place);
        }
    }
    for places in ports.values() {
        for place in places {
            let one = &listeners[*place];
            let mut others = places.iter().filter(|other| *other != place);
            let conflict = others.find_map(|other| conflict(one, &listeners[*other]));
            planned[*place].conflict = conflict;
        }
    }
}

fn conflict(one: &Listener, other: &Listener) -> Option<Fault> {
    let name = &other.name;
    if one.protocol != other.protocol {
        let protocol = &other.protocol;
        let message = format!("listener {name} has this port with protocol {protocol}");
        return Some(("ProtocolConflict", message));
    }
    (one.host == other.host).then(|| {
        let message = format!("listener {name} has this port and the same hostname");
        ("HostnameConflict", message)
    })
}

/// Connections that browsers take for one listener may be meant for another.
fn find_overlaps(listeners: &[Listener], planned: &mut [Planned]) {
    let is_tls =
        |place: &usize| &*listeners[*place].protocol == "HTTPS" && planned[*place].is_accepted();
    let places: Vec<usize> = (0..listeners.len()).filter(is_tls).collect();
    let overlap = |place: usize| {
        let one = &listeners[place];
        let mut others = places
            .iter()
            .filter(|other| **other != place && listeners[**other].port == one.port);
        others.find_map(|other| overlap(one, &listeners[*other], &planned[place].certificates))
    };
    let found: Vec<_> = places
        .iter()
        .map(|place| (*place, overlap(*place)))
        .collect();
    for (place, overlap) in found {
        planned[place].overlap = overlap;
    }
}

fn overlap(one: &Listener, other: &Listener, shown: &[Arc<Certificate>]) -> Option<Fault> {
    let name = &other.name;
    let hosts = match (&one.host, &other.host) {
        (Some(one), Some(other)) => one.common(other).is_some(),
        _ => true,
    };
    if hosts {
        let message = format!("the hostname overlaps with that of listener {name}");
        return Some(("OverlappingHostnames", message));
    }
    let names = shown.iter().flat_map(|certificate| &certificate.names);
    let mut hosts = names.filter_map(|name| Host::parse(name));
    let is_good = hosts.any(|host| {
        let common = other.host.as_ref().and_then(|other| other.common(&host));
        common.is_some()
    });
    is_good.then(|| {
        let message = format!("the certificate is good for the hostname of listener {name}");
        ("OverlappingCertificates", message)
    })
}

/// What is at an address and port already.
struct First {
    is_tls: bool,
    hosts: HashMap<Option<Host>, String>,
    clients: Option<Arc<ClientCertificates>>,
}

/// Takes listeners out that collide with one of an older Gateway at the same address, or with what
/// else listens there. The plans are in the order of their age.
pub(super) fn find_collisions(plans: &mut [Plan], taken: &dyn Fn(SocketAddr) -> bool) {
    let mut sockets: HashMap<SocketAddr, First> = HashMap::new();
    for plan in plans {
        if !plan.is_served() {
            continue;
        }
        let name = plan.gateway.meta.name.clone();
        for (listener, planned) in plan.gateway.listeners.iter().zip(&mut plan.listeners) {
            if !planned.is_accepted() {
                continue;
            }
            let addresses = plan.assigned.addresses.iter();
            let addresses = addresses.map(|ip| SocketAddr::new(*ip, listener.port));
            let addresses: Vec<_> = addresses.collect();
            let mut faults = addresses.iter().filter_map(|address| {
                let first = sockets.get(address);
                collision(*address, listener, planned, first, taken)
            });
            planned.fault = faults.next().map(|message| ("PortUnavailable", message));
            if planned.fault.is_some() {
                continue;
            }
            for address in addresses {
                let first = sockets.entry(address).or_insert_with(|| First {
                    is_tls: &*listener.protocol == "HTTPS",
                    hosts: HashMap::new(),
                    clients: planned.clients.clone(),
                });
                let owner = format!("{name}, listener {}", listener.name);
                first.hosts.entry(listener.host.clone()).or_insert(owner);
            }
        }
    }
}

fn collision(
    address: SocketAddr,
    listener: &Listener,
    planned: &Planned,
    first: Option<&First>,
    taken: &dyn Fn(SocketAddr) -> bool,
) -> Option<String> {
    if taken(address) {
        return Some(format!("{address} is used by something else of this node"));
    }
    let first = first?;
    let other = first.hosts.values().min();
    let other = other.map_or("another Gateway", String::as_str);
    if first.is_tls != (&*listener.protocol == "HTTPS") {
        return Some(format!("{address} has another protocol for {other}"));
    }
    if !same_clients(first.clients.as_deref(), planned.clients.as_deref()) {
        return Some(format!(
            "{address} asks for other client certificates for {other}"
        ));
    }
    let owner = first.hosts.get(&listener.host)?;
    Some(format!("{address} serves this hostname for {owner}"))
}

pub(super) fn same_clients(
    one: Option<&ClientCertificates>,
    other: Option<&ClientCertificates>,
) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            let (these, those) = (&one.authorities, &other.authorities);
            one.mode == other.mode && these.certificates == those.certificates
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}
