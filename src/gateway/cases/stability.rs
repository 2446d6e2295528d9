//! The same objects give the same, in whatever order and how often they come; and what did not
//! change stays what it was.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};

use super::super::objects::{Kind, Name, Object, Place};
use super::super::statuses::Body;
use super::super::{Compiled, Compiler, Lowerer, Statuses, Store};
use super::{BASE, manifests, noon, route_named, settings};
use crate::config::model::{HttpRule, Source};

fn many() -> Vec<Object> {
    let to = |name: &str| format!("[{{backendRefs: [{{name: {name}, port: 8080}}]}}]");
    let other = BASE
        .split_once("---\n")
        .unwrap()
        .0
        .replace("name: edge", "name: other");
    let texts = [
        BASE.to_owned(),
        other,
        route_named("one", "hostnames: [a.example, '*.b.example'],", &to("a")),
        route_named("two", "hostnames: [a.example],", &to("b")),
        route_named("three", "", &to("none")).replace("{name: edge}", "{name: other}"),
    ];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    manifests(&texts).objects
}

/// All that can be told of what was compiled.
fn print(compiled: &Compiled) -> String {
    let sockets = compiled.sockets.iter().map(|socket| {
        let listeners = socket.listeners.iter().map(|listener| {
            let entries = listener.entries.iter().map(|entry| {
                let name = &entry.rule.route.meta.name;
                format!(
                    "{name} {} {} {:?}",
                    entry.rule.index, entry.place, entry.host
                )
            });
            format!("{} {:?}", listener.name, entries.collect::<Vec<_>>())
        });
        format!("{} {:?}", socket.address, listeners.collect::<Vec<_>>())
    });
    let sockets: Vec<_> = sockets.collect();
    let statuses = compiled.statuses.to_json("c");
    let groups = compiled.groups.values();
    let groups: Vec<_> = groups
        .map(|group| format!("{} {}", group.name, group.h2c))
        .collect();
    format!(
        "{sockets:?} {groups:?} {:?} {statuses:?}",
        compiled.endpoints
    )
}

fn compiled(objects: Vec<Object>) -> Compiled {
    let store = Store::of(objects);
    Compiler::default().compile(&store, &settings(), &Statuses::default(), noon())
}

proptest! {
    #[test]
    fn the_order_of_the_objects_changes_nothing(
        order in Just(many()).prop_shuffle(),
    ) {
        prop_assert_eq!(print(&compiled(order)), print(&compiled(many())));
    }
}

/// Objects of which any may come, change and go: routes, Services, their endpoints, grants.
fn pieces() -> Vec<Object> {
    let backends = |names: &[&str]| {
        let all = names
            .iter()
            .map(|name| format!("{{name: {name}, port: 8080}}"));
        format!(
            "[{{backendRefs: [{}]}}]",
            all.collect::<Vec<_>>().join(", ")
        )
    };
    let far = "[{matches: [{method: GET}, {path: {value: /far}}], backendRefs:
        [{name: far, namespace: apps, port: 8080}]}]";
    let texts = [
        route_named("r1", "", &backends(&["a"])),
        route_named("r1", "", &backends(&["b", "c"])),
        route_named("r1", "hostnames: [x.example],", &backends(&["a", "none"])),
        route_named(
            "r2",
            "hostnames: [x.example, '*.example'],",
            &backends(&["a"]),
        ),
        route_named("r2", "", far),
        route_named("r3", "", far),
        "{apiVersion: gateway.networking.k8s.io/v1, kind: ReferenceGrant, metadata: {name: g,
          namespace: apps}, spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute,
          namespace: infra}], to: [{group: '', kind: Service}]}}"
            .to_owned(),
        "{apiVersion: v1, kind: Service, metadata: {name: far, namespace: apps}, spec: {ports:
          [{port: 8080}]}}"
            .to_owned(),
        "{apiVersion: v1, kind: Endpoints, metadata: {name: far, namespace: apps}, subsets:
          [{addresses: [{ip: 10.7.0.1}], ports: [{port: 1}]}]}"
            .to_owned(),
        "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: infra}, spec: {ports:
          [{port: 8080, appProtocol: kubernetes.io/h2c}]}}"
            .to_owned(),
        "{apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy, metadata: {name: p,
          namespace: infra}, spec: {targetRefs: [{group: '', kind: Service, name: b}],
          validation: {hostname: b.example, caCertificateRefs: [{group: '', kind: ConfigMap,
          name: none}]}}}"
            .to_owned(),
    ];
    let all = texts.iter().flat_map(|text| manifests(&[text]).objects);
    all.collect()
}

proptest! {
    #[test]
    fn step_by_step_comes_to_the_same_as_at_once(
        steps in proptest::collection::vec((0..pieces().len(), any::<bool>()), 1..20),
    ) {
        let pieces = pieces();
        let mut store = Store::of(many());
        let (mut compiler, mut former) = (Compiler::default(), Statuses::default());
        let mut lowerer = Lowerer::default();
        for (piece, comes) in steps {
            let piece = &pieces[piece];
            match comes {
                true => store.put(piece.clone()),
                false => store.remove(piece.kind(), &piece.meta().name),
            }
            let step = compiler.compile(&store, &settings(), &former, noon());
            let fresh = Compiler::default();
            let whole = { fresh }.compile(&store, &settings(), &Statuses::default(), noon());
            prop_assert_eq!(print(&step), print(&whole));
            let source = |_: &str| Source::default();
            let lowered = lowerer.lower(&step, &source);
            let at_once = { Lowerer::default() }.lower(&whole, &source);
            prop_assert_eq!(format!("{lowered:?}"), format!("{at_once:?}"));
            former = step.statuses;
        }
    }
}

#[test]
fn rules_of_routes_that_did_not_change_are_the_same_objects() {
    let mut store = Store::of(many());
    let (mut compiler, mut lowerer) = (Compiler::default(), Lowerer::default());
    let mut go = |store: &Store| {
        let compiled = compiler.compile(store, &settings(), &Statuses::default(), noon());
        let lowered = lowerer.lower(&compiled, &|_| Source::default());
        let rules = lowered.forwarding_rules.iter();
        rules
            .flat_map(|one| one.http_rules.clone())
            .collect::<Vec<_>>()
    };
    let before = go(&store);
    let changed = route_named("two", "hostnames: [a.example],", "[{}, {}]");
    store.put(manifests(&[&changed]).objects.remove(0));
    let now = go(&store);
    let is_known = |rule: &&Arc<HttpRule>| before.iter().any(|one| Arc::ptr_eq(one, rule));
    let new = now.iter().filter(|rule| !is_known(rule));
    let new: Vec<&str> = new.map(|rule| &*rule.name).collect();
    assert_eq!(new, ["infra/two/0", "infra/two/1"]);
    assert!(now.len() > new.len() + 1);
}

#[test]
fn what_did_not_change_is_what_it_was() {
    let mut store = Store::of(many());
    let mut compiler = Compiler::default();
    let before = compiler.compile(&store, &settings(), &Statuses::default(), noon());
    let changed = route_named("three", "", "[{backendRefs: [{name: c, port: 8080}]}]")
        .replace("{name: edge}", "{name: other}");
    let changed = manifests(&[&changed]).objects.remove(0);
    store.put(changed);
    let now = compiler.compile(&store, &settings(), &before.statuses, noon());
    let entries = |compiled: &Compiled, gateway: &str| {
        let mut sockets = compiled.sockets.iter();
        let found = sockets.find_map(|socket| {
            let mut listeners = socket.listeners.iter();
            listeners.find(|one| *one.name == *gateway)
        });
        Arc::clone(&found.unwrap().entries)
    };
    let same = |gateway| Arc::ptr_eq(&entries(&before, gateway), &entries(&now, gateway));
    assert!(same("infra/edge/http"));
    assert!(!same("infra/other/http"));
    let same = |group: &str| Arc::ptr_eq(&before.endpoints[group], &now.endpoints[group]);
    assert!(same("infra/a:8080") && same("infra/b:8080"));
}

#[test]
fn a_slice_changes_the_groups_of_its_service_and_no_others() {
    let mut store = Store::of(many());
    let mut compiler = Compiler::default();
    compiler.compile(&store, &settings(), &Statuses::default(), noon());
    let text = "{apiVersion: v1, kind: Endpoints, metadata: {name: a, namespace: infra},
        subsets: [{addresses: [{ip: 10.0.0.9}], ports: [{port: 3000}]}]}";
    store.put(manifests(&[text]).objects.remove(0));
    let changed = compiler.endpoints_of(&store, &Name::new("infra", "a"));
    let told: Vec<_> = changed
        .iter()
        .map(|(name, all)| format!("{name} {all:?}"))
        .collect();
    assert_eq!(told, ["infra/a:8080 [10.0.0.9:3000]"]);
}

fn since(statuses: &Statuses) -> Vec<SystemTime> {
    let name = Name::new("infra", "three");
    match &statuses.of(Kind::HttpRoute, &name).unwrap().body {
        Body::Parents(parents) => parents[0].1.iter().map(|one| one.since).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let mut store = Store::of(many());
    let mut compiler = Compiler::default();
    let first = compiler.compile(&store, &settings(), &Statuses::default(), noon());
    assert_eq!(since(&first.statuses), [noon(), noon()]);
    let later = noon() + Duration::from_secs(60);
    let other = |to: &str, generation: u8| {
        let rules = format!("[{{backendRefs: [{{name: {to}, port: 8080}}]}}]");
        let text = route_named("three", "", &rules).replace("{name: edge}", "{name: other}");
        let text = text.replace(
            "metadata: {",
            &format!("metadata: {{generation: {generation}, "),
        );
        manifests(&[&text]).objects.remove(0)
    };
    store.put(other("lost", 2));
    let second = compiler.compile(&store, &settings(), &first.statuses, later);
    assert_eq!(since(&second.statuses), [noon(), noon()]);
    assert_eq!(
        second
            .statuses
            .of(Kind::HttpRoute, &Name::new("infra", "three"))
            .unwrap()
            .generation,
        2
    );
    store.put(other("c", 3));
    let third = compiler.compile(&store, &settings(), &second.statuses, later);
    assert_eq!(since(&third.statuses), [noon(), later]);
}

#[test]
fn gateways_keep_their_addresses_when_others_come_and_go() {
    let gateway = |name: &str| {
        let text = BASE
            .split_once("---\n")
            .unwrap()
            .0
            .replace("name: edge", &format!("name: {name}"));
        manifests(&[&text]).objects.remove(0)
    };
    let all: Vec<_> = (0..30).map(|n| gateway(&format!("g{n}"))).collect();
    let mut settings = settings();
    settings.addresses = (1..=60).map(|last| [192, 0, 2, last].into()).collect();
    let found = |objects: Vec<Object>| {
        let store = Store::of(objects);
        let compiled = Compiler::default().compile(&store, &settings, &Statuses::default(), noon());
        move |name: &str| super::addresses(&compiled, name).concat()
    };
    let (before, after) = (found(all.clone()), found(all[1..].to_vec()));
    let names = (1..30).map(|n| format!("infra/g{n}"));
    let moved = names.filter(|name| before(name) != after(name)).count();
    assert!(moved <= 3, "{moved} of 29 have another address");
}

#[test]
fn a_gateway_keeps_the_address_that_its_status_says() {
    let text = BASE.split_once("---\n").unwrap().0;
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        let given =
            format!("{text}status: {{addresses: [{{type: IPAddress, value: {address}}}]}}\n");
        let compiled = compiled(manifests(&[&given]).objects);
        assert_eq!(super::addresses(&compiled, "infra/edge"), [address]);
    }
}

/// The time that this thread has had a processor.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

/// 1,000 routes of 10 rules, 5,000 endpoints: what it costs is printed.
#[test]
fn many_routes_compile_and_one_changed_route_costs_little() {
    let mut objects = many();
    let service = |number: usize| {
        serde_json::json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": format!("s{number}"), "namespace": "infra"},
            "spec": {"ports": [{"port": 80}]}})
    };
    let slice = |number: usize| {
        let addresses = (0..5).map(|last| {
            let address = format!("10.{}.{}.{last}", number / 250, number % 250);
            serde_json::json!({"addresses": [address]})
        });
        serde_json::json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": format!("s{number}"), "namespace": "infra",
                "labels": {"kubernetes.io/service-name": format!("s{number}")}},
            "ports": [{"port": 3000}], "endpoints": addresses.collect::<Vec<_>>()})
    };
    let route = |number: usize, to: usize| {
        let rules = (0..10).map(|rule| {
            serde_json::json!({"matches": [{"path": {"value": format!("/r{rule}")}}],
                "backendRefs": [{"name": format!("s{to}"), "port": 80}]})
        });
        serde_json::json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": format!("r{number}"), "namespace": "infra"},
            "spec": {"parentRefs": [{"name": "edge"}],
                "hostnames": [format!("h{number}.example")],
                "rules": rules.collect::<Vec<_>>()}})
    };
    let values = (0..1000).flat_map(|n| [service(n), slice(n), route(n, n)]);
    let values: Vec<_> = values.collect();
    let start = cpu();
    let read = values
        .iter()
        .map(|value| Object::read(value, Place::default()).unwrap());
    objects.extend(read);
    let mut store = Store::of(objects);
    let reading = cpu() - start;
    let (mut compiler, mut lowerer) = (Compiler::default(), Lowerer::default());
    let source = |_: &str| Source::default();
    let start = cpu();
    let first = compiler.compile(&store, &settings(), &Statuses::default(), noon());
    let whole = cpu() - start;
    let start = cpu();
    lowerer.lower(&first, &source);
    let lowered = cpu() - start;
    store.put(Object::read(&route(7, 8), Place::default()).unwrap());
    let start = cpu();
    let second = compiler.compile(&store, &settings(), &first.statuses, noon());
    let one = cpu() - start;
    let start = cpu();
    lowerer.lower(&second, &source);
    let again = cpu() - start;
    println!(
        "1,000 routes of 10 rules: read {reading:?}, compiled {whole:?}, lowered {lowered:?}; \
         one changed: compiled {one:?}, lowered {again:?}"
    );
    let entries = |compiled: &Compiled| {
        let listeners = compiled.sockets.iter().flat_map(|socket| &socket.listeners);
        listeners
            .map(|listener| listener.entries.len())
            .sum::<usize>()
    };
    assert!(entries(&first) >= 10_000 && entries(&second) == entries(&first));
}
