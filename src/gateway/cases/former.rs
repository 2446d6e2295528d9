//! Statuses as they are written to objects, and read from them again.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::objects::{Object, Place};
use super::super::{Compiler, Settings, Statuses, Store};
use super::{BASE, compile, manifests, noon, route, settings};

const TO_A: &str = "[{backendRefs: [{name: a, port: 8080}]}]";
const CLASS: &str = "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass,
    metadata: {name: ours}, spec: {controllerName: culvert.dev/gateway}}";

#[test]
fn a_status_is_written_as_kubectl_prints_it() {
    let compiled = compile(&[BASE, &route(TO_A)]);
    let told = compiled.statuses.to_json("culvert.dev/gateway");
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": message,
            "observedGeneration": 1, "lastTransitionTime": "2027-01-15T08:00:00Z"})
    };
    let gateway = &told[0];
    assert_eq!(gateway["kind"], "Gateway");
    assert_eq!(gateway["metadata"]["namespace"], "infra");
    assert_eq!(gateway["status"]["addresses"][0]["type"], "IPAddress");
    assert_eq!(
        gateway["status"]["conditions"][0],
        condition("Accepted", "True", "Accepted", "Valid Gateway")
    );
    let listener = &gateway["status"]["listeners"][0];
    assert_eq!(listener["attachedRoutes"], 1);
    assert_eq!(
        listener["supportedKinds"],
        json!([{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}])
    );
    assert_eq!(
        told[1]["status"],
        json!({"parents": [{
            "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"},
            "controllerName": "culvert.dev/gateway",
            "conditions": [
                condition("Accepted", "True", "Accepted", "Route is accepted"),
                condition("ResolvedRefs", "True", "ResolvedRefs", "All references are there"),
            ],
        }]})
    );
}

/// The objects of these manifests, each with the status that was told of it.
fn with_statuses(texts: &[&str], told: &[Value]) -> Store {
    let mut store = Store::of(manifests(texts).objects);
    let values = texts.iter().flat_map(|text| text.split("---\n"));
    let values = values.map(|text| serde_yaml::from_str::<Value>(text).unwrap());
    for mut value in values.filter(|value| value["kind"] != "List") {
        let is_it = |status: &&Value| {
            status["kind"] == value["kind"]
                && status["metadata"]["name"] == value["metadata"]["name"]
        };
        if let Some(status) = told.iter().find(is_it) {
            value["status"] = status["status"].clone();
            store.put(Object::read(&value, Place::default()).unwrap());
        }
    }
    store
}

#[test]
fn whoever_begins_anew_keeps_the_times_of_what_the_objects_say() {
    let health = "{apiVersion: alb.networking.azure.io/v1, kind: HealthCheckPolicy,
        metadata: {name: p, namespace: infra}, spec: {targetRef: {group: '', kind: Service,
        name: a}, default: {interval: 1s}}}";
    let tls = "{apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy,
        metadata: {name: t, namespace: infra}, spec: {targetRefs: [{group: '', kind: Service,
        name: a}], validation: {hostname: a.example, wellKnownCACertificates: System}}}";
    let route = route(TO_A);
    let texts = [BASE, CLASS, &route, health, tls];
    let controller = settings().controller;
    let first = compile(&texts).statuses;
    let told = first.to_json(&controller);
    let store = with_statuses(&texts, &told);
    let later = noon() + Duration::from_secs(3600);
    let former = Statuses::of_objects(&store, &controller);
    let again = Compiler::default().compile(&store, &settings(), &former, later);
    assert_eq!(again.statuses.to_json(&controller), told);
    let others = Statuses::of_objects(&store, "x.example/other");
    let again = Compiler::default().compile(&store, &settings(), &others, later);
    assert_ne!(again.statuses.to_json(&controller), told);
}

#[test]
fn strange_statuses_are_no_statuses() {
    for status in [
        json!(7),
        json!({"conditions": 7}),
        json!({"conditions": [7, {"type": "Accepted"}, {"type": 7, "status": "True"}]}),
        json!({"parents": [{"controllerName": "culvert.dev/gateway", "parentRef": 7}]}),
        json!({"addresses": [{"value": 7}], "listeners": [{}, 7]}),
    ] {
        let text = BASE.split("---\n").next().unwrap();
        let mut value: Value = serde_yaml::from_str(text).unwrap();
        value["status"] = status.clone();
        let mut store = Store::of(manifests(&[BASE, CLASS]).objects);
        store.put(Object::read(&value, Place::default()).unwrap());
        let former = Statuses::of_objects(&store, "culvert.dev/gateway");
        let compiled = Compiler::default().compile(&store, &settings(), &former, noon());
        let told = super::conditions(&compiled, super::Kind::Gateway, "infra/edge");
        assert_eq!(
            told[0], "Accepted=True/Accepted Programmed=True/Programmed",
            "{status}"
        );
    }
}

#[test]
fn in_a_cluster_others_gateways_are_left_alone_and_ours_outlive_their_class() {
    let cluster = Settings {
        is_alone: false,
        ..settings()
    };
    let mut store = Store::of(manifests(&[BASE, &route(TO_A)]).objects);
    let mut compiler = Compiler::default();
    let mut go = |store: &Store| {
        let compiled = compiler.compile(store, &cluster, &Statuses::default(), noon());
        (compiled.sockets.len(), compiled.statuses.0.len())
    };
    assert_eq!(go(&store), (0, 0), "a class that is not there is not ours");
    let class = manifests(&[CLASS]).objects.remove(0);
    store.put(class.clone());
    assert_eq!(go(&store), (1, 3));
    store.remove(class.kind(), &class.meta().name);
    assert_eq!(go(&store), (1, 2));
}
