//! The top of a file: from a value tree to a [`Config`], with every problem noted on the way.
//!
//! One file per kind of object. Each has its known keys in a list, each reader takes one node and
//! returns the value that `config::model` describes. Whatever looks at several objects (unique
//! names, overlapping addresses, dangling references) sits where their list is read.

mod access_log;
mod acme;
pub(super) mod addresses;
mod admin;
mod api;
mod api_store;
mod balance;
mod certificate;
mod changes;
mod client_certificates;
mod condition;
mod cors;
mod defaults;
mod expression;
mod forwarding_rule;
mod gateway;
mod handshake;
mod health_check;
mod host_name;
mod http_rule;
mod limits;
mod mirror;
mod operators;
mod outlier_detection;
mod pem;
mod rebalance;
mod redirect;
mod retry;
mod secret_keys;
mod server;
#[cfg(feature = "acme")]
mod stand_in;
mod target_group;
mod target_groups;
mod target_tls;
mod tls;
mod tunnel;
mod values_file;

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use self::addresses::Addresses;
pub(super) use self::changes::why_not;
pub(super) use self::health_check::is_for_websockets;
use super::model::{
    Action, Admin, Authorities, BlocksFile, Certificate, Config, ForwardingRule, Parts,
    SessionTicketKeys, TargetGroup,
};
use super::tree::{Mapping, Node};
use super::unique::Unique;

pub(super) const KEYS: &[&str] = &[
    "include",
    "server",
    "admin",
    "api",
    "gateway",
    "accessLog",
    "tracing",
    "certificates",
    "forwardingRules",
    "targetGroups",
];

/// Only `admin` of a file, whatever else is in it.
pub(super) fn only_admin(top: &Node) -> Option<Admin> {
    let mapping = top.mapping(KEYS)?;
    admin::read(&mapping, &mut Addresses::default())
}

/// The whole file.
pub(super) fn config(top: &Node) -> Option<Config> {
    let mapping = top.mapping(KEYS)?;
    let mut addresses = Addresses::default();
    let server = server::read(&mapping);
    let admin = admin::read(&mapping, &mut addresses);
    let api = api::read(
        &mapping,
        &mut addresses,
        &names_in(&mapping, "certificates"),
    );
    let gateway = gateway::read(&mapping);
    let access_log = access_log::read(&mapping);
    let tracing = access_log::tracing(&mapping);
    let certificates = certificates(&mapping);
    let forwarding_rules = forwarding_rules(&mapping, &mut addresses);
    let target_groups = target_groups(&mapping, certificates.as_deref().unwrap_or_default());
    let config = Config {
        server: server?,
        admin: admin?,
        api: api?,
        gateway: gateway?,
        access_log: access_log?,
        tracing: tracing?,
        certificates: certificates?,
        forwarding_rules: forwarding_rules?,
        target_groups: target_groups?,
        parts: Parts::default(),
    };
    acme::check(&config, &mapping);
    warn_of_unused_certificates(&config, &mapping);
    // With an API there are forwarding rules that are not in the file. Those of a gateway name
    // nothing that is.
    if config.api.is_none() {
        warn_of_unused_groups(&config, &mapping);
    }
    check_shared_keys(&config, &mapping);
    balance::warn_of_cookies(&config, &mapping);
    health_check::warn_of_websockets(&config, &mapping);
    Some(config)
}

/// Notes where keys are in a file that nodes have in common.
fn check_shared_keys(config: &Config, top: &Mapping) {
    if !config.shares_keys() {
        return;
    }
    let server = top.get("server");
    for key in ["sessionTicketKeyFile", "stickinessKeyFile"] {
        if server
            .as_ref()
            .is_some_and(|server| server.value.get(key).is_some())
        {
            top.problem::<()>(
                "server",
                format!("{key} is not for api.store.sealingKeyFile"),
            );
        }
    }
}

/// An entry of `certificates` by itself.
pub(super) fn certificate(node: Node) -> Option<Certificate> {
    certificate::read(node, &mut Unique::new("name"))
}

/// A condition's `valuesFile` by itself.
pub(super) fn values_file(node: &Node) -> Option<BlocksFile> {
    values_file::read(node)
}

/// `clientCertificates.caFile` by itself.
pub(super) fn authorities(node: &Node) -> Option<Authorities> {
    client_certificates::authorities(node)
}

/// `server.sessionTicketKeyFile` by itself.
pub(super) fn session_ticket_keys(node: &Node) -> Option<SessionTicketKeys> {
    secret_keys::session_tickets(node)
}

/// An entry of `targetGroups` by itself.
pub(super) fn target_group(node: Node, certificates: &[Certificate]) -> Option<TargetGroup> {
    let names = certificates.iter().map(|one| one.name.as_str()).collect();
    let certificates = target_tls::Certificates {
        names,
        read: certificates,
    };
    target_group::read(node, &mut Unique::new("name"), &certificates)
}

/// An entry of `forwardingRules` by itself, which may name these target groups and certificates.
pub(super) fn forwarding_rule(
    node: Node,
    target_groups: &HashSet<&str>,
    certificates: &HashSet<&str>,
) -> Option<ForwardingRule> {
    let named = forwarding_rule::Named {
        target_groups: target_groups.clone(),
        certificates: certificates.clone(),
    };
    let (names, addresses) = (&mut Unique::new("name"), &mut Addresses::default());
    forwarding_rule::read(node, names, addresses, &named)
}

fn certificates(top: &Mapping) -> Option<Vec<Certificate>> {
    let mut names = Unique::new("name");
    top.or("certificates", Vec::new(), |list| {
        list.each(|node| match acme::is_for(&node) {
            true => acme::entry(&node, &mut names),
            false => certificate::read(node, &mut names),
        })
    })
}

fn forwarding_rules(top: &Mapping, addresses: &mut Addresses) -> Option<Vec<Arc<ForwardingRule>>> {
    let named = forwarding_rule::Named {
        target_groups: names_in(top, "targetGroups"),
        certificates: names_in(top, "certificates"),
    };
    let has_others = ["api", "gateway"].iter().any(|key| top.get(key).is_some());
    if has_others && top.get("forwardingRules").is_none() {
        return Some(Vec::new());
    }
    let mut names = Unique::new("name");
    top.required("forwardingRules", |list| {
        if list.entries()?.is_empty() && !has_others {
            return list.problem("must have at least one entry");
        }
        list.each(|node| forwarding_rule::read(node, &mut names, addresses, &named).map(Arc::new))
    })
}

/// The names in a list, even of those with problems, so that a rule may name them.
fn names_in<'a>(top: &Mapping<'a>, list: &str) -> HashSet<&'a str> {
    let list = top.get(list).and_then(|node| node.value.as_array());
    let name = |entry: &'a Value| {
        let entry = entry.get("properties").unwrap_or(entry);
        entry.get("name")?.as_str()
    };
    list.into_iter().flatten().filter_map(name).collect()
}

fn target_groups(top: &Mapping, read: &[Certificate]) -> Option<Vec<Arc<TargetGroup>>> {
    let certificates = target_tls::Certificates {
        names: names_in(top, "certificates"),
        read,
    };
    let mut names = Unique::new("name");
    top.or("targetGroups", Vec::new(), |list| {
        list.each(|node| target_group::read(node, &mut names, &certificates).map(Arc::new))
    })
}

fn warn_of_unused_certificates(config: &Config, top: &Mapping) {
    let rules = config.forwarding_rules.iter();
    let named: HashSet<&str> = rules
        .filter_map(|rule| rule.tls.as_ref())
        .flat_map(|tls| tls.certificates.iter().map(String::as_str))
        .collect();
    let groups = config.target_groups.iter();
    let shown: HashSet<&str> = groups
        .filter_map(|group| group.tls.as_ref()?.client_certificate.as_ref())
        .map(|own| own.name.as_str())
        .collect();
    let Some(nodes) = top.get("certificates").and_then(|list| list.entries()) else {
        return;
    };
    for (certificate, node) in config.certificates.iter().zip(nodes) {
        let name = certificate.name.as_str();
        // With an API there are forwarding rules that are not in the file.
        if config.api.is_none() && !named.contains(name) && !shown.contains(name) {
            node.warning("no forwarding rule names this certificate, and no target group");
        }
        if certificate.names.is_empty() && named.contains(name) {
            let warning = "has no DNS name: it is shown as the default only";
            node.warning_of("certificateChain", warning);
        }
    }
}

fn warn_of_unused_groups(config: &Config, top: &Mapping) {
    let rules = config
        .forwarding_rules
        .iter()
        .flat_map(|rule| &rule.http_rules);
    let named: HashSet<&str> = rules
        .filter_map(|rule| match &rule.action {
            Action::Forward(forward) => Some(forward.all_groups()),
            Action::Redirect(_) | Action::Static { .. } => None,
        })
        .flatten()
        .collect();
    let Some(nodes) = top.get("targetGroups").and_then(|list| list.entries()) else {
        return;
    };
    for (group, node) in config.target_groups.iter().zip(nodes) {
        if !named.contains(group.name.as_str()) {
            node.warning("no HTTP rule forwards to this target group");
        }
    }
}

#[cfg(test)]
/// The keys of objects that may come one by one.
pub(super) fn keys(object: &str) -> &'static [&'static str] {
    match object {
        "target group" => target_group::KEYS,
        "target" => target_group::TARGET_KEYS,
        "health check" => health_check::KEYS,
        "HTTP health check" => health_check::HTTP_KEYS,
        "hash key" => balance::HASH_KEY_KEYS,
        "stickiness" => balance::STICKINESS_KEYS,
        "rebalance" => rebalance::KEYS,
        "outlier detection" => outlier_detection::KEYS,
        "tunnel" => tunnel::KEYS,
        "forwarding rule" => forwarding_rule::KEYS,
        "HTTP rule" => http_rule::KEYS,
        "condition" => condition::KEYS,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document;

    /// Every key of a tree, at any depth.
    fn keys<'a>(value: &'a Value, found: &mut HashSet<&'a str>) {
        match value {
            Value::Array(list) => list.iter().for_each(|value| keys(value, found)),
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                found.insert(key);
                keys(value, found);
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn the_manual_has_every_key() {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/culvert.yaml"));
        let top = document::parse(text).unwrap();
        let mut found = HashSet::new();
        keys(&top, &mut found);
        let known = [
            KEYS,
            server::KEYS,
            server::DRAIN_KEYS,
            server::MEMORY_KEYS,
            server::UPGRADE_KEYS,
            server::RESOLVER_KEYS,
            admin::KEYS,
            access_log::KEYS,
            access_log::HEADERS_KEYS,
            access_log::TRACING_KEYS,
            forwarding_rule::KEYS,
            forwarding_rule::PROXY_PROTOCOL_KEYS,
            tunnel::KEYS,
            http_rule::KEYS,
            changes::HEADERS_KEYS,
            changes::CHANGES_KEYS,
            changes::REWRITE_KEYS,
            target_groups::KEYS,
            condition::KEYS,
            target_group::KEYS,
            balance::HASH_KEY_KEYS,
            target_group::TARGET_KEYS,
            health_check::KEYS,
            health_check::HTTP_KEYS,
            outlier_detection::KEYS,
        ];
        for key in known.concat() {
            let is_example = text.contains(&format!("#   {key}:"));
            assert!(found.contains(key) || is_example, "{key}");
        }
        // These are in examples in comments.
        let examples = [
            api::KEYS,
            api_store::KEYS,
            api::DATACENTER_KEYS,
            api::LAN_KEYS,
            gateway::KEYS,
            gateway::KUBERNETES_KEYS,
            certificate::KEYS,
            acme::KEYS,
            acme::ACCOUNT_KEYS,
            client_certificates::KEYS,
            rebalance::KEYS,
            balance::STICKINESS_KEYS,
            retry::KEYS,
            cors::KEYS,
            mirror::KEYS,
            mirror::FRACTION_KEYS,
        ];
        for key in examples.concat() {
            assert!(text.contains(&format!("{key}:")), "{key}");
        }
    }
}
