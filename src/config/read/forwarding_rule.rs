//! An entry of `forwardingRules`: the listening address and its HTTP rules.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::super::model::{Action, ForwardingRule, HttpRule, Source, Subject, Tls, Tunnel};
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;
use super::super::words::quoted;
use super::addresses::{Addresses, Families};
use super::{defaults, http_rule, limits, tls, tunnel};

/// What a forwarding rule may name.
pub(super) struct Named<'a> {
    pub(super) target_groups: HashSet<&'a str>,
    pub(super) certificates: HashSet<&'a str>,
}

pub(super) const KEYS: &[&str] = &[
    "name",
    "protocol",
    "listenerIp",
    "listenerPort",
    "v6only",
    "clientTimeout",
    "proxyProtocol",
    "trustedProxies",
    "underscoresInHeaders",
    "maxConnections",
    "maxConnectionsPerClient",
    "maxRequestsPerSecond",
    "maxRequestsPerSecondPerClient",
    "maxHandshakesPerSecond",
    "maxHandshakesPerSecondPerClient",
    "maxTlsHandshakesPerSecond",
    "maxTlsHandshakesPerSecondPerClient",
    "maxHeaderBytes",
    "maxHeaders",
    "maxRequestBodyBytes",
    "minimumRate",
    "serverCertificates",
    "minTlsVersion",
    "strictSni",
    "http2",
    "h2c",
    "maxConcurrentStreams",
    "http2WebSockets",
    "clientCertificates",
    "tunnel",
    "httpRules",
];

pub(super) const PROXY_PROTOCOL_KEYS: &[&str] = &["from"];

const PROTOCOLS: &[(&str, Protocol)] = &[("HTTP", Protocol::Http), ("HTTPS", Protocol::Https)];

/// Certificates mean TLS, whichever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    Https,
}

/// `named` is what the rule may name.
pub(super) fn read(
    node: Node,
    names: &mut Unique<String>,
    addresses: &mut Addresses,
    named: &Named,
) -> Option<ForwardingRule> {
    let node = node.unwrapped()?;
    let mapping = node.mapping(KEYS)?;
    let name = mapping.required("name", |node| node.name(names));
    let protocol = mapping.required("protocol", |node| node.choice(PROTOCOLS, &[]));
    let listen = listen(&mapping);
    let v6_only = mapping.or("v6only", true, Node::boolean);
    if let Some((listen, v6_only)) = listen.zip(v6_only) {
        if !v6_only && !is_any_ipv6(listen) {
            mapping.problem::<()>("v6only", "false is only valid where listenerIp is \"::\"");
        }
        let families = Families::of(listen, v6_only);
        addresses.enter(listen, families, node.path(), &mapping, "listenerPort");
    }
    let client_timeout = mapping.or("clientTimeout", defaults::CLIENT_TIMEOUT, Node::duration);
    let (tls, h2c) = encryption(&mapping, named, protocol);
    let max_concurrent_streams = mapping.or(
        "maxConcurrentStreams",
        defaults::MAX_CONCURRENT_STREAMS,
        |node| node.integer(1..=10_000),
    );
    let web_sockets = defaults::HTTP2_WEB_SOCKETS;
    let http2_web_sockets = mapping.or("http2WebSockets", web_sockets, Node::boolean);
    let proxy_protocol = mapping.section("proxyProtocol", PROXY_PROTOCOL_KEYS);
    let proxy_protocol_from = proxy_protocol.and_then(|section| networks(&section, "from"));
    let trusted_proxies = networks(&mapping, "trustedProxies");
    let underscores = defaults::UNDERSCORES_IN_HEADERS;
    let underscores_in_headers = mapping.or("underscoresInHeaders", underscores, Node::boolean);
    let limit = |key| mapping.or(key, None, |node: &Node| node.connections().map(Some));
    let max_connections = limit("maxConnections");
    let max_connections_per_client = limit("maxConnectionsPerClient");
    let rates = limits::rates(&mapping, !matches!(tls, Some(None)));
    let bounds = limits::bounds(&mapping);
    let tunnel = tunnel::read(&mapping, &Tunnel::default());
    let outer = tunnel.clone().unwrap_or_default();
    let http_rules = http_rules(&mapping, &named.target_groups, &outer);
    if let (Some(rules), Some(false)) = (&http_rules, underscores_in_headers) {
        warn_of_dropped_headers(rules, &mapping);
    }
    protocol?;
    Some(ForwardingRule {
        source: Source::File,
        name: name?,
        listen: listen?,
        v6_only: v6_only?,
        client_timeout: client_timeout?,
        proxy_protocol_from: proxy_protocol_from?,
        trusted_proxies: trusted_proxies?,
        underscores_in_headers: underscores_in_headers?,
        max_connections: max_connections?,
        max_connections_per_client: max_connections_per_client?,
        rates: rates?,
        bounds: bounds?,
        tls: tls?,
        h2c: h2c?,
        max_concurrent_streams: max_concurrent_streams?,
        http2_web_sockets: http2_web_sockets?,
        tunnel: tunnel?,
        http_rules: http_rules?.into_iter().map(Arc::new).collect(),
        in_order: false,
    })
}

/// The keys of TLS, and `h2c`: they must agree with each other and with `protocol`.
fn encryption(
    mapping: &Mapping,
    named: &Named,
    protocol: Option<Protocol>,
) -> (Option<Option<Tls>>, Option<bool>) {
    let tls = tls::read(mapping, &named.certificates);
    if protocol == Some(Protocol::Https) && matches!(tls, Some(None)) {
        mapping.problem::<()>("protocol", "HTTPS needs serverCertificates");
    }
    let h2c = mapping.or("h2c", defaults::H2C, Node::boolean);
    if h2c == Some(true) && matches!(tls, Some(Some(_))) {
        let why = "is HTTP/2 without TLS, and this rule has TLS: see http2";
        mapping.problem::<()>("h2c", why);
    }
    (tls, h2c)
}

fn listen(mapping: &Mapping) -> Option<SocketAddr> {
    let ip = mapping.required("listenerIp", Node::ip);
    let port = mapping.required("listenerPort", Node::port);
    Some(SocketAddr::new(ip?, port?))
}

fn is_any_ipv6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

/// Whose word is taken.
fn networks(mapping: &Mapping, key: &str) -> Option<Vec<IpNet>> {
    let networks = mapping.or(key, Vec::new(), Node::blocks)?;
    if networks.iter().any(|network| network.prefix_len() == 0) {
        mapping.warning(
            key,
            "every client is among these, and may say that it has any address",
        );
    }
    Some(networks)
}

fn http_rules(mapping: &Mapping, groups: &HashSet<&str>, tunnel: &Tunnel) -> Option<Vec<HttpRule>> {
    let mut names = Unique::new("name");
    let rules = mapping.or("httpRules", Vec::new(), |list| {
        let rules = list.each(|node| http_rule::read(node, &mut names, groups, tunnel))?;
        warn_of_unreachable_rules(&rules, list);
        Some(rules)
    })?;
    if rules.is_empty() {
        mapping.warning("httpRules", "no rules: every request gets a 404");
    }
    Some(rules)
}

/// Notes the rules that come after one without conditions, in the order of evaluation: the
/// `FORWARD` rules last.
fn warn_of_unreachable_rules(rules: &[HttpRule], list: &Node) {
    let Some(nodes) = list.entries() else { return };
    let mut in_order: Vec<_> = rules.iter().zip(nodes).collect();
    in_order.sort_by_key(|(rule, _)| matches!(rule.action, Action::Forward(_)));
    let mut in_order = in_order.into_iter();
    let Some((always, _)) = in_order.find(|(rule, _)| rule.conditions.is_empty()) else {
        return;
    };
    let reason = format!(
        "never reached: the rule {} before it has no conditions",
        quoted(&always.name)
    );
    for (_, node) in in_order {
        node.warning(reason.as_str());
    }
}

/// Notes the conditions on headers that are dropped before any condition sees them.
fn warn_of_dropped_headers(rules: &[HttpRule], mapping: &Mapping) {
    let list = mapping.get("httpRules");
    let nodes = list.as_ref().and_then(Node::entries);
    for (rule, node) in rules.iter().zip(nodes.into_iter().flatten()) {
        for condition in &rule.conditions {
            if let Subject::Header(name, _) = &condition.subject
                && name.contains('_')
            {
                let name = quoted(name);
                node.warning(format!(
                    "the header {name} is dropped: see underscoresInHeaders"
                ));
            }
        }
    }
}
