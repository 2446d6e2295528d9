//! Cases for the compiler: objects in, a request in, the chosen backend or the status out.
//!
//! A request is written as one line: `POST example.com:8080/a?b=c name:value sni:host @address`.
//! The method is GET, the port 80 (443 after `https:`, where the SNI is the host), the address the
//! first that has the port.

mod asked;
mod azure;
mod backends;
mod bad_input;
mod conditions;
mod conditions_of_policies;
mod conditions_of_routes;
mod conditions_of_tls;
mod filters;
mod former;
mod hosts;
mod lowering;
mod matching;
mod own_policies;
mod request;
mod served;
mod stability;

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::manifests::{Loader, Manifests};
use super::objects::{Kind, Name};
use super::statuses::{Body, Condition, Truth};
use super::{Compiled, Compiler, Settings, Statuses, Store};

/// A Gateway `infra/edge` that takes all on port 80, and Services `a`, `b` and `c` in `infra`, each
/// with one endpoint on port 8080.
const BASE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: infra}
spec:
  gatewayClassName: ours
  listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service,
   metadata: {name: a, namespace: infra},
   spec: {ports: [{port: 8080}]}}
- {apiVersion: v1, kind: Service,
   metadata: {name: b, namespace: infra},
   spec: {ports: [{port: 8080}]}}
- {apiVersion: v1, kind: Service,
   metadata: {name: c, namespace: infra},
   spec: {ports: [{port: 8080}]}}
- {apiVersion: v1, kind: Endpoints,
   metadata: {name: a, namespace: infra},
   subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 3000}]}]}
- {apiVersion: v1, kind: Endpoints,
   metadata: {name: b, namespace: infra},
   subsets: [{addresses: [{ip: 10.0.0.2}], ports: [{port: 3000}]}]}
- {apiVersion: v1, kind: Endpoints,
   metadata: {name: c, namespace: infra},
   subsets: [{addresses: [{ip: 10.0.0.3}], ports: [{port: 3000}]}]}
";

fn settings() -> Settings {
    let address = |last| IpAddr::from([192, 0, 2, last]);
    Settings {
        controller: "culvert.dev/gateway".to_owned(),
        addresses: vec![address(1), address(2), address(3)],
        is_alone: true,
        unusable: [address(99)].into(),
        taken: [([192, 0, 2, 1], 9900).into()].into(),
        bundle: None,
    }
}

fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn manifests(texts: &[&str]) -> Manifests {
    let texts: Vec<_> = texts.iter().map(|text| ("case.yaml", *text)).collect();
    let whole: Vec<String> = texts.iter().map(|(_, text)| (*text).to_owned()).collect();
    Loader::default().parse(&[("case.yaml", &whole.join("\n---\n"))])
}

fn compile_with(texts: &[&str], settings: &Settings) -> Compiled {
    let found = manifests(texts);
    assert_eq!(found.problems, []);
    let store = Store::of(found.objects);
    Compiler::default().compile(&store, settings, &Statuses::default(), noon())
}

/// What comes of these manifests.
fn compile(texts: &[&str]) -> Compiled {
    compile_with(texts, &settings())
}

/// A route `infra/r` on the Gateway of the base, with these rules in YAML of flow style.
fn route(rules: &str) -> String {
    route_named("r", "", rules)
}

/// A route of this name in `infra`, with more fields of its `spec`.
fn route_named(name: &str, spec: &str, rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {{name: {name}, namespace: infra}}\n\
         spec: {{parentRefs: [{{name: edge}}], {spec} rules: {rules}}}\n"
    )
}

/// `Type=True/Reason …`
fn told(conditions: &[Condition]) -> String {
    let one = |condition: &Condition| {
        let status = match condition.status {
            Truth::True => "True",
            Truth::False => "False",
        };
        format!("{}={status}/{}", condition.kind, condition.reason)
    };
    conditions.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// The conditions of an object `namespace/name`, and of its parts, one line each.
fn conditions(compiled: &Compiled, kind: Kind, name: &str) -> Vec<String> {
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    let Some(status) = compiled.statuses.of(kind, &Name::new(namespace, name)) else {
        return Vec::new();
    };
    match &status.body {
        Body::Class(conditions, _) | Body::Conditions(conditions) => vec![told(conditions)],
        Body::Gateway {
            conditions,
            listeners,
            ..
        } => {
            let listeners = listeners.iter().map(|listener| {
                let (name, kinds) = (&listener.name, listener.kinds.join(","));
                let conditions = told(&listener.conditions);
                format!("{name} [{kinds}] {}: {conditions}", listener.attached)
            });
            std::iter::once(told(conditions)).chain(listeners).collect()
        }
        Body::Parents(parents) => parents.iter().map(|(_, all)| told(all)).collect(),
        Body::Ancestors(ancestors) => {
            let ancestors = ancestors.iter();
            ancestors
                .map(|(to, all)| {
                    let to = &to.to;
                    let namespace = to.namespace.as_deref().unwrap_or_default();
                    format!("{namespace}/{}: {}", to.name, told(all))
                })
                .collect()
        }
    }
}

/// The addresses of a Gateway.
fn addresses(compiled: &Compiled, name: &str) -> Vec<String> {
    let (namespace, name) = name.split_once('/').unwrap();
    let status = compiled
        .statuses
        .of(Kind::Gateway, &Name::new(namespace, name));
    match &status.unwrap().body {
        Body::Gateway { addresses, .. } => addresses.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}
