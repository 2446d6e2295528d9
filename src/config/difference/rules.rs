//! What is different of forwarding rules and their HTTP rules.

use std::sync::Arc;

use super::change::{Change, Tunnels, differ, each, tell};
use crate::config::model::{Config, ForwardingRule, HttpRule, Tls};

pub(super) fn between(before: &Config, now: &Config, changes: &mut Vec<Change>) {
    let (before, now) = (&before.forwarding_rules, &now.forwarding_rules);
    let named = |rule: &Arc<ForwardingRule>| rule.name.clone();
    each(before, now, named, |name, before, now| {
        match (before, now) {
            (Some(before), Some(now)) if Arc::ptr_eq(before, now) => {}
            (Some(before), Some(now)) => rule(name, before, now, changes),
            (None, Some(now)) => changes.push(Change::new(format!(
                "forwarding rule {name}: added, listens on {}",
                now.listen
            ))),
            (Some(before), None) => changes.push(Change {
                what: format!(
                    "forwarding rule {name}: removed, {} is closed",
                    before.listen
                ),
                tunnels: Tunnels::Of(name.to_owned()),
            }),
            (None, None) => {}
        }
    });
}

fn rule(name: &str, before: &ForwardingRule, now: &ForwardingRule, changes: &mut Vec<Change>) {
    let object = format!("forwarding rule {name}");
    if before.listen != now.listen {
        let (old, new) = (before.listen, now.listen);
        changes.push(Change {
            what: format!("{object}: listens on {new}, {old} is closed"),
            tunnels: Tunnels::Of(name.to_owned()),
        });
    }
    let keys = [
        ("v6only", before.v6_only != now.v6_only),
        ("clientTimeout", before.client_timeout != now.client_timeout),
        (
            "proxyProtocol",
            before.proxy_protocol_from != now.proxy_protocol_from,
        ),
        (
            "trustedProxies",
            before.trusted_proxies != now.trusted_proxies,
        ),
        (
            "underscoresInHeaders",
            before.underscores_in_headers != now.underscores_in_headers,
        ),
        (
            "maxConnections",
            before.max_connections != now.max_connections,
        ),
        (
            "maxConnectionsPerClient",
            before.max_connections_per_client != now.max_connections_per_client,
        ),
        ("rates", differ(&before.rates, &now.rates)),
        ("sizes of requests", before.bounds != now.bounds),
        ("TLS", tls_differs(before.tls.as_ref(), now.tls.as_ref())),
        ("h2c", before.h2c != now.h2c),
        (
            "maxConcurrentStreams",
            before.max_concurrent_streams != now.max_concurrent_streams,
        ),
        (
            "http2WebSockets",
            before.http2_web_sockets != now.http2_web_sockets,
        ),
        ("tunnel", differ(&before.tunnel, &now.tunnel)),
    ];
    tell(&object, &keys, changes);
    http_rules(&object, &before.http_rules, &now.http_rules, changes);
}

fn tls_differs(before: Option<&Tls>, now: Option<&Tls>) -> bool {
    differ(&before, &now)
}

fn http_rules(
    object: &str,
    before: &[Arc<HttpRule>],
    now: &[Arc<HttpRule>],
    changes: &mut Vec<Change>,
) {
    let named = |rule: &Arc<HttpRule>| rule.name.clone();
    let told = changes.len();
    each(before, now, named, |name, before, now| {
        let what = match (before, now) {
            (None, _) => "added",
            (_, None) => "removed",
            (Some(before), Some(now)) if !Arc::ptr_eq(before, now) && differ(before, now) => {
                "changed"
            }
            (Some(_), Some(_)) => return,
        };
        changes.push(Change::new(format!("{object}: HTTP rule {name}: {what}")));
    });
    let names = |rules: &[Arc<HttpRule>]| rules.iter().map(named).collect::<Vec<_>>();
    if told == changes.len() && names(before) != names(now) {
        changes.push(Change::new(format!(
            "{object}: HTTP rules in another order"
        )));
    }
}
