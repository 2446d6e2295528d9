//! An entry of `forwardingRules`: the listening address and its HTTP rules.

use std::collections::HashSet;
use std::net::SocketAddr;

use super::super::file::{Action, ForwardingRule, HttpRule, Tunnel};
use super::super::tree::{Mapping, Node};
use super::super::unique::Unique;
use super::super::words::quoted;
use super::addresses::Addresses;
use super::{Named, defaults, http_rule, tls, tunnel};

pub(super) const KEYS: &[&str] = &[
    "name",
    "protocol",
    "listenerIp",
    "listenerPort",
    "clientTimeout",
    "serverCertificates",
    "minTlsVersion",
    "strictSni",
    "tunnel",
    "httpRules",
];

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
    if let Some(listen) = listen {
        addresses.enter(listen, node.path(), &mapping, "listenerPort");
    }
    let client_timeout = mapping.or("clientTimeout", defaults::CLIENT_TIMEOUT, Node::duration);
    let tls = tls::read(&mapping, &named.certificates);
    if protocol == Some(Protocol::Https) && matches!(tls, Some(None)) {
        mapping.problem::<()>("protocol", "HTTPS needs serverCertificates");
    }
    let tunnel = tunnel::read(&mapping, &Tunnel::default());
    let outer = tunnel.clone().unwrap_or_default();
    let http_rules = http_rules(&mapping, &named.target_groups, &outer);
    protocol?;
    Some(ForwardingRule {
        name: name?,
        listen: listen?,
        client_timeout: client_timeout?,
        tls: tls?,
        tunnel: tunnel?,
        http_rules: http_rules?,
    })
}

fn listen(mapping: &Mapping) -> Option<SocketAddr> {
    let ip = mapping.required("listenerIp", Node::ip);
    let port = mapping.required("listenerPort", Node::port);
    Some(SocketAddr::new(ip?, port?))
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

/// Notes the rules that come after one without conditions, in the order of evaluation: the `FORWARD` rules last.
fn warn_of_unreachable_rules(rules: &[HttpRule], list: &Node) {
    let Some(nodes) = list.entries() else { return };
    let mut in_order: Vec<_> = rules.iter().zip(nodes).collect();
    in_order.sort_by_key(|(rule, _)| matches!(rule.action, Action::Forward { .. }));
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
