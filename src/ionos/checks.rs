//! What is not allowed of an object because of others: a listener that another rule has, a group
//! that is not there or that is in use.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::canonical::named_groups;
use super::error::{ApiError, INVALID, Problem, TAKEN};
use super::kind::Kind;
use super::object::Object;
use super::objects::Objects;
use super::path::ResourcePath;

pub(super) fn check_rule(
    objects: &Objects,
    place: &ResourcePath,
    rule: &Object,
) -> Result<(), ApiError> {
    let balancer = place.parent().and_then(|balancer| objects.get(&balancer));
    let ip = rule.text("listenerIp");
    if let Some(balancer) = balancer
        && !has_ip(balancer, ip)
    {
        let message = "must be one of the ips of the application load balancer";
        return Err(ApiError::invalid(vec![Problem::new(
            "properties.listenerIp",
            message,
        )]));
    }
    for (other, theirs) in objects.all(Kind::ForwardingRule) {
        if other != place && listener(theirs) == listener(rule) {
            let port = rule
                .properties
                .get("listenerPort")
                .cloned()
                .unwrap_or_default();
            let message = format!(
                "[(root).properties.listenerIp] Listener IP and port combination {ip}:{port} \
                 already used by {} ({})",
                theirs.name(),
                other.id()
            );
            return Err(ApiError::new(422, TAKEN, message));
        }
    }
    check_groups(objects, rule)
}

fn check_groups(objects: &Objects, rule: &Object) -> Result<(), ApiError> {
    let mut problems = Vec::new();
    let rules = rule.properties.get("httpRules").and_then(Value::as_array);
    for (number, http_rule) in rules.into_iter().flatten().enumerate() {
        let one = Map::from_iter([("httpRules".to_owned(), Value::from(vec![http_rule.clone()]))]);
        for id in named_groups(&one) {
            let place = ResourcePath::of(Kind::TargetGroup, None, &id.to_ascii_lowercase());
            if objects.get(&place).is_none() {
                let path = format!("properties.httpRules[{number}].targetGroup");
                problems.push(Problem::new(path, format!("there is no target group {id}")));
            }
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid(problems)),
    }
}

/// Errors: a rule of the balancer listens on an address that it has no more.
pub(super) fn check_listeners(
    objects: &Objects,
    place: &ResourcePath,
    balancer: &Object,
) -> Result<(), ApiError> {
    for (other, rule) in objects.list(Kind::ForwardingRule, Some(place)) {
        let ip = rule.text("listenerIp");
        if !has_ip(balancer, ip) {
            let message = format!("the forwarding rule {} listens on {ip}", other.id());
            return Err(ApiError::invalid(vec![Problem::new(
                "properties.ips",
                message,
            )]));
        }
    }
    Ok(())
}

pub(super) fn check_unused(objects: &Objects, group: &ResourcePath) -> Result<(), ApiError> {
    for (place, rule) in objects.all(Kind::ForwardingRule) {
        let named = named_groups(&rule.properties);
        if named.iter().any(|id| id.eq_ignore_ascii_case(group.id())) {
            let message = format!("the forwarding rule {} forwards to it", place.id());
            return Err(ApiError::new(422, INVALID, message));
        }
    }
    Ok(())
}

pub(super) fn check_no_balancer_in(objects: &Objects, lan: &ResourcePath) -> Result<(), ApiError> {
    let datacenter = lan.parent();
    let number = lan.id().parse::<i64>().ok();
    for (place, balancer) in objects.list(Kind::Balancer, datacenter.as_ref()) {
        let names = |name| balancer.properties.get(name).and_then(Value::as_i64) == number;
        if names("listenerLan") || names("targetLan") {
            let message = format!(
                "LAN {} is delete-protected by the application load balancer {}",
                lan.id(),
                place.id()
            );
            return Err(ApiError::new(403, INVALID, message));
        }
    }
    Ok(())
}

/// The addresses that a balancer or an IP block has.
pub(super) fn ips(object: &Object) -> impl Iterator<Item = IpAddr> {
    let ips = object.properties.get("ips").and_then(Value::as_array);
    let ips = ips.into_iter().flatten();
    ips.filter_map(|ip| address(ip.as_str()?))
}

fn has_ip(balancer: &Object, ip: &str) -> bool {
    address(ip).is_some_and(|ip| ips(balancer).any(|one| one == ip))
}

fn listener(rule: &Object) -> (Option<IpAddr>, Option<i64>) {
    let port = rule.properties.get("listenerPort").and_then(Value::as_i64);
    (address(rule.text("listenerIp")), port)
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().map(|ip: IpAddr| ip.to_canonical()).ok()
}
