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
