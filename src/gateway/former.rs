//! What is told of objects already, in their own `status`: for whoever has just begun, so that
//! conditions keep their times.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use super::objects::{Kind, Meta, ParentRef};
use super::statuses::{Body, Condition, ListenerStatus, Status, Statuses, Truth};
use super::store::{All, Store};

/// The kinds of conditions that are ours to write.
pub(super) const KINDS: [&str; 8] = [
    "Accepted",
    "Programmed",
    "ResolvedRefs",
    "Conflicted",
    "SupportedVersion",
    "PartiallyInvalid",
    "OverlappingTLSConfig",
    "InsecureFrontendValidationMode",
];

impl Statuses {
    /// What the objects of a store say themselves, as far as this controller has written it.
    pub fn of_objects(store: &Store, controller: &str) -> Self {
        let mut statuses = Statuses::default();
        let whole = |status: &Value| Some(Body::Conditions(conditions(status)));
        let class = |status: &Value| Some(Body::Class(conditions(status), &[]));
        let parents = |status: &Value| parents(status, controller);
        let ancestors = |status: &Value| ancestors(status, controller);
        let out = &mut statuses;
        take(
            Kind::GatewayClass,
            &store.classes,
            |one| &one.meta,
            &class,
            out,
        );
        take(
            Kind::Gateway,
            &store.gateways,
            |one| &one.meta,
            &gateway,
            out,
        );
        take(
            Kind::HttpRoute,
            &store.routes,
            |one| &one.meta,
            &parents,
            out,
        );
        let policies = &store.tls_policies;
        take(
            Kind::BackendTlsPolicy,
            policies,
            |one| &one.meta,
            &ancestors,
            out,
        );
        let policies = &store.health_policies;
        take(
            Kind::HealthCheckPolicy,
            policies,
            |one| &one.meta,
            &whole,
            out,
        );
        take(
            Kind::TunnelPolicy,
            &store.tunnel_policies,
            |one| &one.meta,
            &ancestors,
            out,
        );
        take(
            Kind::TargetPolicy,
            &store.target_policies,
            |one| &one.meta,
            &ancestors,
            out,
        );
        statuses
    }
}

fn take<T>(
    kind: Kind,
    all: &All<T>,
    meta: fn(&T) -> &Meta,
    body: &dyn Fn(&Value) -> Option<Body>,
    statuses: &mut Statuses,
) {
    for (name, object) in all {
        let meta = meta(object);
        let body = meta.status.as_ref().and_then(body);
        let status = body.map(|body| Status {
            place: meta.place.clone(),
            generation: meta.generation,
            body,
        });
        let key = (kind, name.clone());
        statuses
            .0
            .extend(status.map(|status| (key, Arc::new(status))));
    }
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn conditions(of: &Value) -> Vec<Condition> {
    list(of, "conditions").filter_map(condition).collect()
}

fn condition(value: &Value) -> Option<Condition> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let kind = KINDS.into_iter().find(|kind| text("type") == Some(kind))?;
    let status = match text("status")? {
        "True" => Truth::True,
        "False" => Truth::False,
        _ => return None,
    };
    let since = humantime::parse_rfc3339_weak(text("lastTransitionTime")?).ok()?;
    Some(Condition {
        kind,
        status,
        reason: "",
        message: String::new(),
        since: since.max(SystemTime::UNIX_EPOCH),
    })
}

fn gateway(status: &Value) -> Option<Body> {
    let listeners = list(status, "listeners").filter_map(|listener| {
        Some(ListenerStatus {
            name: listener.get("name")?.as_str()?.into(),
            kinds: Vec::new(),
            attached: 0,
            conditions: conditions(listener),
        })
    });
    Some(Body::Gateway {
        addresses: Vec::new(),
        conditions: conditions(status),
        listeners: listeners.collect(),
    })
}

fn is_ours(entry: &Value, controller: &str) -> bool {
    entry.get("controllerName").and_then(Value::as_str) == Some(controller)
}

fn parents(status: &Value, controller: &str) -> Option<Body> {
    let ours = list(status, "parents").filter(|entry| is_ours(entry, controller));
    let parents = ours.filter_map(|entry| {
        let parent = ParentRef::parse(entry.get("parentRef")?)?;
        Some((parent, conditions(entry)))
    });
    Some(Body::Parents(parents.collect()))
}

fn ancestors(status: &Value, controller: &str) -> Option<Body> {
    let ours = list(status, "ancestors").filter(|entry| is_ours(entry, controller));
    let ancestors = ours.filter_map(|entry| {
        let ancestor = ParentRef::parse(entry.get("ancestorRef")?)?;
        Some((ancestor, conditions(entry)))
    });
    Some(Body::Ancestors(ancestors.collect()))
}
