//! What is different of target groups and their targets.

use std::sync::Arc;

use super::change::{Change, Tunnels, differ, each, tell};
use crate::config::model::{Config, Target, TargetGroup, TargetTls};

pub(super) fn between(before: &Config, now: &Config, changes: &mut Vec<Change>) {
    let (before, now) = (&before.target_groups, &now.target_groups);
    let named = |group: &Arc<TargetGroup>| group.name.clone();
    each(before, now, named, |name, before, now| {
        match (before, now) {
            (Some(before), Some(now)) if Arc::ptr_eq(before, now) => {}
            (Some(before), Some(now)) => group(name, before, now, changes),
            (None, Some(now)) => {
                let count = now.targets.len() + now.named.len();
                let s = if count == 1 { "" } else { "s" };
                let what = format!("target group {name}: added, with {count} target{s}");
                changes.push(Change::new(what));
            }
            (Some(before), None) => {
                changes.push(Change::new(format!("target group {name}: removed")));
                let targets = all(before);
                let gone = targets
                    .iter()
                    .map(|(place, target)| gone(name, place, target));
                changes.extend(gone);
            }
            (None, None) => {}
        }
    });
}

fn group(name: &str, before: &TargetGroup, now: &TargetGroup, changes: &mut Vec<Change>) {
    let object = format!("target group {name}");
    let keys = [
        ("algorithm", before.algorithm != now.algorithm),
        ("TLS", tls_differs(before.tls.as_ref(), now.tls.as_ref())),
        ("protocolVersion", before.http_version != now.http_version),
        (
            "sourceAddresses",
            before.source_addresses != now.source_addresses,
        ),
        (
            "healthCheck",
            differ(&before.health_check, &now.health_check),
        ),
        (
            "connectTimeout",
            before.connect_timeout != now.connect_timeout,
        ),
        (
            "responseTimeout",
            before.response_timeout != now.response_timeout,
        ),
        (
            "deregistrationDelay",
            before.deregistration_delay != now.deregistration_delay,
        ),
        ("rebalance", before.rebalance != now.rebalance),
        ("stickiness", before.stickiness != now.stickiness),
        ("slowStart", before.slow_start != now.slow_start),
        ("failOpen", before.fail_open != now.fail_open),
        ("onUnhealthy", before.on_unhealthy != now.on_unhealthy),
        (
            "outlierDetection",
            differ(&before.outlier_detection, &now.outlier_detection),
        ),
    ];
    tell(&object, &keys, changes);
    let place = |target: &(String, &Target)| target.0.clone();
    each(
        &all(before),
        &all(now),
        place,
        |place, before, now| match (before, now) {
            (Some((_, before)), Some((_, now))) => target(name, place, before, now, changes),
            (None, Some((_, now))) => {
                let what = format!("{object}: target {place}: added, weight {}", now.weight);
                changes.push(Change::new(what));
            }
            (Some((_, before)), None) => changes.push(gone(name, place, before)),
            (None, None) => {}
        },
    );
}

/// The targets, each with its place as the file has it.
fn all(group: &TargetGroup) -> Vec<(String, &Target)> {
    let by_address = group.targets.iter();
    let by_address = by_address.map(|target| (target.address.to_string(), target));
    let named = group.named.iter();
    let named = named.map(|named| (format!("{}:{}", named.host, named.port), &named.target));
    by_address.chain(named).collect()
}

fn gone(group: &str, place: &str, target: &Target) -> Change {
    let address = target.address.clone();
    Change {
        what: format!("target group {group}: target {place}: removed"),
        tunnels: match target.host {
            Some(_) => Tunnels::None,
            None => Tunnels::To(group.to_owned(), address, "after deregistrationDelay"),
        },
    }
}

fn target(group: &str, place: &str, before: &Target, now: &Target, changes: &mut Vec<Change>) {
    let object = format!("target group {group}: target {place}");
    if before.weight != now.weight {
        let (old, new) = (before.weight, now.weight);
        changes.push(Change::new(format!("{object}: weight {new}, not {old}")));
    }
    let is_drained = |target: &Target| target.maintenance_enabled && target.maintenance_drain;
    let (word, is_ended) = match (now.maintenance_enabled, is_drained(now)) {
        (false, _) => ("no maintenance any more", false),
        (true, false) => ("maintenance: takes nothing new", false),
        (true, true) => ("maintenance: takes nothing new, and is emptied", true),
    };
    if before.maintenance_enabled != now.maintenance_enabled
        || is_drained(before) != is_drained(now)
    {
        let address = now.address.clone();
        changes.push(Change {
            what: format!("{object}: {word}"),
            tunnels: match is_ended && now.host.is_none() {
                true => Tunnels::To(group.to_owned(), address, "at the pace of a drain"),
                false => Tunnels::None,
            },
        });
    }
    let keys = [
        (
            "healthCheckEnabled",
            before.health_check_enabled != now.health_check_enabled,
        ),
        (
            "healthCheckPort",
            before.health_check_port != now.health_check_port,
        ),
        ("proxyProtocol", before.proxy_protocol != now.proxy_protocol),
        (
            "maxConnections",
            before.max_connections != now.max_connections,
        ),
    ];
    tell(&object, &keys, changes);
}

fn tls_differs(before: Option<&TargetTls>, now: Option<&TargetTls>) -> bool {
    differ(&before, &now)
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    fn told(before: &str, now: &str) -> Vec<String> {
        let file = |own: &str| {
            let text = format!(
                "forwardingRules:\n- {{name: a, protocol: HTTP, listenerIp: 127.0.0.1, \
                 listenerPort: 80, httpRules: [{{name: r, type: STATIC, responseMessage: x}}]}}\n\
                 {own}"
            );
            parse("file", &text).unwrap().config
        };
        let changes = crate::config::difference::between(&file(before), &file(now));
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn targets_that_come_and_go_and_other_keys_are_told_by_their_places() {
        let group = |keys: &str| {
            format!("targetGroups: [{{name: g, protocol: HTTP, algorithm: ROUND_ROBIN, {keys}}}]")
        };
        let before = group(
            "targets: [{ip: 10.0.0.1, port: 80}, {ip: 10.0.0.2, port: 80}, {ip: '::1', port: 80}]",
        );
        let now = group(
            "slowStart: 10s, targets: [{ip: '::1', port: 80, maintenanceEnabled: true}, \
             {ip: 10.0.0.1, port: 80, weight: 3}, {host: b.example, port: 80}]",
        );
        let expected = [
            "target group g: changed: slowStart",
            "target group g: target 10.0.0.1:80: weight 3, not 1",
            "target group g: target 10.0.0.2:80: removed",
            "target group g: target [::1]:80: maintenance: takes nothing new",
            "target group g: target b.example:80: added, weight 1",
        ];
        assert_eq!(told(&before, &now), expected);
        assert_eq!(told(&before, &before), [""; 0]);
        let expected = ["target group g: added, with 3 targets"];
        assert_eq!(told("", &before), expected);
        assert_eq!(told(&before, "").len(), 4);
    }

    #[test]
    fn rules_and_settings_are_told_by_their_keys() {
        let rule = |name: &str, keys: &str, http_rules: &str| {
            format!(
                "forwardingRules: [{{name: {name}, protocol: HTTP, listenerIp: 127.0.0.1, \
                 listenerPort: 81, {keys} httpRules: [{http_rules}]}}]"
            )
        };
        let config = |text: &str| parse("file", text).unwrap().config;
        let told = |before: &str, now: &str| -> Vec<String> {
            let changes = crate::config::difference::between(&config(before), &config(now));
            changes.iter().map(ToString::to_string).collect()
        };
        let (x, y) = (
            "{name: x, type: STATIC, responseMessage: x}",
            "{name: y, type: STATIC, responseMessage: y, conditions: [{type: HOST, condition: \
             EQUALS, value: a}]}",
        );
        let before = rule("a", "", &format!("{y}, {x}"));
        let other = y.replace("EQUALS", "CONTAINS");
        let now = rule(
            "a",
            "clientTimeout: 9s, h2c: true,",
            &format!("{other}, {x}"),
        );
        let expected = [
            "forwarding rule a: changed: clientTimeout, h2c",
            "forwarding rule a: HTTP rule y: changed",
        ];
        assert_eq!(told(&before, &now), expected);
        let turned = rule("a", "", &format!("{x}, {y}"));
        let expected = ["forwarding rule a: HTTP rules in another order"];
        assert_eq!(told(&before, &turned), expected);
        let renamed = rule("b", "", &format!("{y}, {x}"));
        let expected = [
            "forwarding rule a: removed, 127.0.0.1:81 is closed",
            "forwarding rule b: added, listens on 127.0.0.1:81",
        ];
        assert_eq!(told(&before, &renamed), expected);
        let server =
            format!("{before}\nserver: {{drain: {{deadline: 9s}}}}\naccessLog: {{sample: 0}}");
        let expected = ["server: changed: drain", "accessLog: changed"];
        assert_eq!(told(&before, &server), expected);
    }
}
