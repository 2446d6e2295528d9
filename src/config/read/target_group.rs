//! An entry of `targetGroups`: the targets, how one is chosen, and how they are checked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use rustls::pki_types::DnsName;

use super::super::model::{
    HttpVersion, NamedTarget, OnUnhealthy, ProxyProtocol, Source, Target, TargetGroup,
};
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;
use super::{balance, defaults, health_check, outlier_detection, rebalance, target_tls};
use crate::target_address::TargetAddress;

pub(super) const KEYS: &[&str] = &[
    "name",
    "algorithm",
    "hashKey",
    "protocol",
    "serverName",
    "subjectAltNames",
    "caFile",
    "verifyCertificate",
    "clientCertificate",
    "protocolVersion",
    "targets",
    "healthCheck",
    "httpHealthCheck",
    "connectTimeout",
    "responseTimeout",
    "deregistrationDelay",
    "rebalance",
    "stickiness",
    "sourceAddresses",
    "slowStart",
    "failOpen",
    "onUnhealthy",
    "outlierDetection",
];

pub(super) const TARGET_KEYS: &[&str] = &[
    "ip",
    "port",
    "unix",
    "weight",
    "healthCheckEnabled",
    "maintenanceEnabled",
    "maintenanceDrain",
    "proxyProtocol",
    "maxConnections",
    "host",
    "healthCheckPort",
];

const HTTP_VERSIONS: &[(&str, HttpVersion)] =
    &[("HTTP1", HttpVersion::Http1), ("HTTP2", HttpVersion::Http2)];

const PROXY_PROTOCOLS: &[(&str, Option<ProxyProtocol>)] = &[
    ("none", None),
    ("v1", Some(ProxyProtocol::V1)),
    ("v2", Some(ProxyProtocol::V2)),
    ("v2ssl", Some(ProxyProtocol::V2Ssl)),
];

const ON_UNHEALTHY: &[(&str, OnUnhealthy)] =
    &[("keep", OnUnhealthy::Keep), ("close", OnUnhealthy::Close)];

/// How many targets a group may have.
const MOST_TARGETS: usize = 65535;

pub(super) fn read(
    node: Node,
    names: &mut Unique<String>,
    certificates: &target_tls::Certificates,
) -> Option<TargetGroup> {
    let mapping = node.unwrapped()?.mapping(KEYS)?;
    let name = mapping.required("name", |node| node.name(names));
    let algorithm = balance::algorithm(&mapping);
    let tls = target_tls::read(&mapping, certificates);
    let http_version = mapping.or("protocolVersion", defaults::HTTP_VERSION, |node| {
        node.choice(HTTP_VERSIONS, &[])
    });
    let targets = targets(&mapping);
    let health_check = health_check::read(&mapping);
    let connect_timeout = mapping.or("connectTimeout", defaults::CONNECT_TIMEOUT, Node::duration);
    let response_timeout = mapping.or(
        "responseTimeout",
        defaults::RESPONSE_TIMEOUT,
        Node::duration,
    );
    let deregistration_delay = mapping.or(
        "deregistrationDelay",
        defaults::DEREGISTRATION_DELAY,
        Node::delay,
    );
    let stickiness = mapping.or("stickiness", None, |node| {
        balance::stickiness(node).map(Some)
    });
    let is_sticky = stickiness.as_ref().is_some_and(Option::is_some);
    let rebalance = rebalance::read(&mapping, algorithm.as_ref(), is_sticky);
    let slow_start = mapping.or("slowStart", defaults::SLOW_START, Node::delay);
    let fail_open = mapping.or("failOpen", defaults::FAIL_OPEN, Node::boolean);
    let on_unhealthy = mapping.or("onUnhealthy", defaults::ON_UNHEALTHY, |node| {
        node.choice(ON_UNHEALTHY, &[])
    });
    // A name may have any number of addresses.
    let all = targets.as_ref().filter(|(_, named)| named.is_empty());
    let count = all.map(|(targets, _)| targets.len());
    let outlier_detection = outlier_detection::read(&mapping, count);
    let source_addresses = source_addresses(&mapping);
    let targets = targets?;
    Some(TargetGroup {
        source: Source::File,
        name: name?,
        algorithm: algorithm?,
        tls: tls?,
        http_version: http_version?,
        targets: targets.0,
        named: targets.1,
        source_addresses: source_addresses?,
        health_check: health_check?,
        connect_timeout: connect_timeout?,
        response_timeout: response_timeout?,
        deregistration_delay: deregistration_delay?,
        rebalance: rebalance?,
        stickiness: stickiness?,

        slow_start: slow_start?,
        fail_open: fail_open?,
        on_unhealthy: on_unhealthy?,
        outlier_detection: outlier_detection?,
    })
}

fn source_addresses(group: &Mapping) -> Option<Vec<IpAddr>> {
    let mut addresses = Unique::new("address");
    group.or("sourceAddresses", Vec::new(), |list| {
        list.each(|node| {
            let ip = node.ip()?;
            let is_one = !ip.is_unspecified() && !ip.is_multicast();
            // Nothing is sent, and no port of TCP is taken.
            if !is_one || UdpSocket::bind((ip, 0)).is_err() {
                return node.problem(format!("{ip} is no address of this machine"));
            }
            addresses.enter(ip, &node);
            Some(ip)
        })
    })
}

/// The targets with an address, and those with a name.
fn targets(group: &Mapping) -> Option<(Vec<Target>, Vec<NamedTarget>)> {
    let mut places = Unique::new("target");
    let targets = group.or("targets", Vec::new(), |list| {
        let count = list.entries()?.len();
        if count > MOST_TARGETS {
            return list.problem(format!(
                "must have at most {MOST_TARGETS} entries, not {count}"
            ));
        }
        list.each(|node| target(node, &mut places))
    })?;
    if let Some(reason) = why_none_takes_anything(&targets) {
        group.warning("targets", reason);
    }
    let (named, by_address): (Vec<_>, Vec<_>) = targets
        .into_iter()
        .partition(|target| target.host.is_some());
    let named = named.into_iter().filter_map(|target| {
        let host = target.host.clone()?;
        let port = target.address.inet()?.port();
        Some(NamedTarget { host, port, target })
    });
    Some((by_address, named.collect()))
}

fn why_none_takes_anything(targets: &[Target]) -> Option<&'static str> {
    if targets.is_empty() {
        return Some("no targets: every request for this group is refused");
    }
    let idle = |target: &Target| target.weight == 0 || target.maintenance_enabled;
    targets.iter().all(idle).then_some(
        "every target has weight 0 or is in maintenance: every request for this group is refused",
    )
}

fn target(node: Node, places: &mut Unique<Place>) -> Option<Target> {
    if let Some((key, host, port)) = node.value.as_str().and_then(in_one_word) {
        return node.wrong_but(
            "a mapping",
            &format!("; write {{{key}: {host}, port: {port}}}"),
        );
    }
    let mapping = node.mapping(TARGET_KEYS)?;
    let place = place(&mapping);
    if let Some(place) = &place {
        places.enter(place.clone(), &node);
    }
    let weight = mapping.or("weight", defaults::WEIGHT, |node| node.integer(0..=256));
    let health_check_enabled = mapping.or(
        "healthCheckEnabled",
        defaults::HEALTH_CHECK_ENABLED,
        Node::boolean,
    );
    let maintenance_enabled = mapping.or(
        "maintenanceEnabled",
        defaults::MAINTENANCE_ENABLED,
        Node::boolean,
    );
    let maintenance_drain = mapping.or(
        "maintenanceDrain",
        defaults::MAINTENANCE_DRAIN,
        Node::boolean,
    );
    if maintenance_drain == Some(true) && maintenance_enabled == Some(false) {
        mapping.warning(
            "maintenanceDrain",
            "has no effect without maintenanceEnabled",
        );
    }
    let proxy_protocol = mapping.or("proxyProtocol", None, |node| {
        node.choice(PROXY_PROTOCOLS, &[])
    });
    let max_connections = mapping.or("maxConnections", None, |node| node.connections().map(Some));
    let health_check_port = mapping.or("healthCheckPort", None, |node| node.port().map(Some));
    let (address, host) = match place? {
        Place::Address(address) => (address, None),
        Place::Host(host, port) => {
            let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            (nowhere.into(), Some(host))
        }
    };
    Some(Target {
        address,
        weight: weight?,
        health_check_enabled: health_check_enabled?,
        maintenance_enabled: maintenance_enabled?,
        maintenance_drain: maintenance_drain?,
        proxy_protocol: proxy_protocol?,

        max_connections: max_connections?,
        host,

        health_check_port: health_check_port?,
    })
}

/// Where a target is, which may occur once.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Place {
    Address(TargetAddress),
    Host(Arc<str>, u16),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Address(address) => write!(f, "{address}"),
            Place::Host(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

fn place(target: &Mapping) -> Option<Place> {
    if let Some(node) = target.get("unix") {
        return unix(target, &node);
    }
    let machine = match (target.get("ip"), target.get("host")) {
        (Some(_), Some(_)) => target.problem("host", "cannot be combined with ip"),
        (None, Some(node)) => host(&node).map(Err),
        (Some(node), None) => match node.value.as_str().is_some_and(is_name) {
            true => node.wrong_but("an IP address", "; a name goes in host:"),
            false => node.ip().map(Ok),
        },
        (None, None) => target.problem("ip", "is required, or host, or unix"),
    };
    let port = target.required("port", Node::port);
    Some(match machine? {
        Ok(ip) => Place::Address(SocketAddr::new(ip, port?).into()),
        Err(host) => Place::Host(host, port?),
    })
}

/// A host and a port in one word, and the key that the host goes in.
fn in_one_word(word: &str) -> Option<(&'static str, String, u16)> {
    if let Ok(address) = word.parse::<SocketAddr>() {
        return Some(match address.ip() {
            IpAddr::V4(ip) => ("ip", ip.to_string(), address.port()),
            IpAddr::V6(ip) => ("ip", format!("\"{ip}\""), address.port()),
        });
    }
    let (host, port) = word.rsplit_once(':')?;
    Some(("host", host.to_owned(), port.parse().ok()?)).filter(|_| is_name(host))
}

/// Whether a text is a name, and no address that is written wrongly.
fn is_name(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    let has_letter = last.bytes().any(|byte| byte.is_ascii_alphabetic());
    has_letter && DnsName::try_from(text).is_ok()
}

fn unix(target: &Mapping, node: &Node) -> Option<Place> {
    for key in ["ip", "host", "port", "healthCheckPort"] {
        target.forbidden(key, "cannot be combined with unix");
    }
    match TargetAddress::unix(node.string()?) {
        Ok(address) => Some(Place::Address(address)),
        Err(expected) => node.wrong(expected),
    }
}

fn host(node: &Node) -> Option<Arc<str>> {
    let text = node.string()?.to_ascii_lowercase();
    match DnsName::try_from(text.as_str()) {
        Ok(_) if !text.starts_with('*') => Some(text.into()),
        _ => node.wrong("a DNS name"),
    }
}
