//! Which Secrets and ConfigMaps are referred to: no others are read from a cluster.

use std::collections::BTreeSet;

use super::certificates::referrer;
use super::grants::Grants;
use super::news::Key;
use super::objects::{Gateway, Kind, Name, Reference};
use super::store::Store;

/// Those to which Gateways of this controller, and policies of TLS, refer and may refer.
pub(super) fn of(store: &Store, controller: &str) -> BTreeSet<Key> {
    let grants = Grants::of(store);
    let mut found = BTreeSet::new();
    let ours = store.gateways.values().filter(|gateway| {
        let class = store.classes.get(&Name::new("", &gateway.class));
        class.is_some_and(|class| *class.controller == *controller)
    });
    for gateway in ours {
        for reference in of_gateway(gateway) {
            add(
                &mut found,
                "Gateway",
                &gateway.meta.name,
                reference,
                &grants,
            );
        }
    }
    for policy in store.tls_policies.values() {
        for reference in &policy.authorities {
            let name = &policy.meta.name;
            add(&mut found, "BackendTLSPolicy", name, reference, &grants);
        }
    }
    found
}

fn of_gateway(gateway: &Gateway) -> impl Iterator<Item = &Reference> {
    let listeners = gateway.listeners.iter();
    let shown = listeners.flat_map(|listener| &listener.certificates);
    let frontend = &gateway.frontend;
    let validations = frontend.ports.values().chain([&frontend.default]);
    let authorities = validations.flatten().flat_map(|one| &one.authorities);
    shown.chain(authorities).chain(&gateway.client_certificate)
}

fn add(found: &mut BTreeSet<Key>, by: &str, from: &Name, to: &Reference, grants: &Grants) {
    let kind = match (&*to.group, &*to.kind) {
        ("", "Secret") => Kind::Secret,
        ("", "ConfigMap") => Kind::ConfigMap,
        _ => return,
    };
    let namespace = to.namespace.as_deref().unwrap_or(&from.namespace);
    let name = Name::new(namespace, &to.name);
    let from = referrer(by, from);
    if grants.allow(from, "", kind.as_str(), &name) {
        found.insert((kind, name));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::gateway::objects::{Object, Place};

    const GROUP: &str = "gateway.networking.k8s.io";

    fn store(objects: &[Value]) -> Store {
        let mut store = Store::default();
        for object in objects {
            store.put(Object::read(object, Place::default()).unwrap());
        }
        store
    }

    fn class(name: &str, controller: &str) -> Value {
        json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "GatewayClass",
            "metadata": {"name": name}, "spec": {"controllerName": controller},
        })
    }

    fn gateway(name: &str, class: &str, certificates: &Value) -> Value {
        let tls = json!({"certificateRefs": certificates});
        let listener = json!({"name": "a", "port": 443, "protocol": "HTTPS", "tls": tls});
        json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "Gateway",
            "metadata": {"name": name, "namespace": "apps"},
            "spec": {"gatewayClassName": class, "listeners": [listener]},
        })
    }

    fn found(objects: &[Value]) -> Vec<String> {
        let found = of(&store(objects), "a/b").into_iter();
        found
            .map(|(kind, name)| format!("{} {name}", kind.as_str()))
            .collect()
    }

    #[test]
    fn only_what_gateways_of_this_controller_may_refer_to_is_read() {
        let refs = json!([{"name": "own"}, {"name": "far", "namespace": "certs"}]);
        let mut objects = vec![
            class("ours", "a/b"),
            class("other", "c/d"),
            gateway("one", "ours", &refs),
            gateway("two", "other", &json!([{"name": "foreign"}])),
            gateway("three", "nowhere", &json!([{"name": "lost"}])),
        ];
        assert_eq!(found(&objects), ["Secret apps/own"]);
        objects.push(json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "ReferenceGrant",
            "metadata": {"name": "g", "namespace": "certs"},
            "spec": {
                "from": [{"group": GROUP, "kind": "Gateway", "namespace": "apps"}],
                "to": [{"group": "", "kind": "Secret", "name": "far"}],
            },
        }));
        assert_eq!(found(&objects), ["Secret apps/own", "Secret certs/far"]);
    }

    #[test]
    fn authorities_of_policies_are_read() {
        let authority = json!({"group": "", "kind": "ConfigMap", "name": "ca"});
        let policy = json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "BackendTLSPolicy",
            "metadata": {"name": "p", "namespace": "apps"},
            "spec": {
                "targetRefs": [{"group": "", "kind": "Service", "name": "s"}],
                "validation": {"hostname": "a.example", "caCertificateRefs": [authority]},
            },
        });
        assert_eq!(found(&[policy]), ["ConfigMap apps/ca"]);
    }
}
