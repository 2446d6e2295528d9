//! Whatever an object looks like, nothing but what depends on it changes, and nothing panics.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::objects::{Object, Place};
use super::super::{Compiled, Compiler, Statuses, Store};
use super::asked::ask;
use super::{BASE, manifests, noon, route_named, settings};

/// Objects of all kinds with all their fields; none of the base depends on one.
fn samples() -> Vec<Value> {
    let tls = json!({"mode": "Terminate", "certificateRefs": [{"name": "x", "namespace": "y"}]});
    let backend = json!({"name": "x", "port": 80, "weight": 1, "filters": [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a",
            "value": "b"}]}}]});
    vec![
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "x", "namespace": "x", "generation": 1, "labels": {"a": "b"},
                "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"gatewayClassName": "ours", "addresses": [{"type": "IPAddress",
                "value": "192.0.2.50"}],
                "infrastructure": {"labels": {}},
                "tls": {"frontend": {"default": {"validation": {"mode": "AllowValidOnly",
                    "caCertificateRefs":
                    [{"group": "", "kind": "ConfigMap", "name": "x"}]}},
                        "perPort": [{"port": 443, "tls": {}}]},
                    "backend": {"clientCertificateRef": {"name": "x"}}},
                "listeners": [
                    {"name": "a", "port": 80, "protocol": "HTTP", "hostname": "*.x.example",
                        "allowedRoutes":
                        {"kinds": [{"kind": "HTTPRoute"}], "namespaces": {"from": "Selector",
                            "selector":
                            {"matchLabels": {"a": "b"}, "matchExpressions":
                                [{"key": "a", "operator": "In", "values": ["b"]}]}}}},
                    {"name": "b", "port": 443, "protocol": "HTTPS", "tls": tls}]}}),
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "x", "namespace": "x"},
            "spec": {"parentRefs": [{"name": "x"}, {"name": "edge", "namespace": "infra",
                "port": 80}],
                "hostnames": ["mutant.example"], "rules": [{"name": "r",
                    "matches": [{"path": {"type": "PathPrefix", "value": "/x"}, "method": "GET",
                        "headers": [{"type": "Exact", "name": "a", "value": "b"}],
                        "queryParams": [{"type": "RegularExpression", "name": "a",
                            "value": "b+"}]}],
                    "filters": [
                        {"type": "URLRewrite", "urlRewrite": {"hostname": "y.example",
                            "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/y"}}},
                        {"type": "RequestMirror", "requestMirror": {"backendRef": backend.clone(),
                            "fraction": {"numerator": 1, "denominator": 2}}},
                        {"type": "CORS", "cors": {"allowOrigins": ["*"], "maxAge": 5}}],
                    "timeouts": {"request": "10s", "backendRequest": "1s"},
                    "retry": {"codes": [500], "attempts": 1, "backoff": "1s"},
                    "backendRefs": [backend]},
                    {"filters": [{"type": "RequestRedirect", "requestRedirect":
                        {"scheme": "https", "port": 443, "statusCode": 301}}]}]}}),
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy",
            "metadata": {"name": "x", "namespace": "x"},
            "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "x",
                "sectionName": "p"}],
                "validation": {"hostname": "x.example", "caCertificateRefs":
                    [{"group": "", "kind": "ConfigMap", "name": "x"}],
                    "subjectAltNames": [{"type": "Hostname", "hostname": "y.example"}]}}}),
        json!({"apiVersion": "alb.networking.azure.io/v1", "kind": "HealthCheckPolicy",
            "metadata": {"name": "x", "namespace": "x"},
            "spec": {"targetRef": {"group": "", "kind": "Service", "name": "x"},
                "default": {"interval": "5s",
                "timeout": "3s", "healthyThreshold": 1, "http": {"path": "/", "match":
                    {"statusCodes": [{"start": 200, "end": 299}]}}}}}),
        json!({"apiVersion": "culvert.dev/v1alpha1", "kind": "TunnelPolicy",
            "metadata": {"name": "x", "namespace": "x"}, "spec": {"targetRefs": [
                {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "x"}],
                "tunnel": {"idleTimeout": "1h"}, "allowedOrigins": ["https://a.example"]}}),
        json!({"apiVersion": "culvert.dev/v1alpha1", "kind": "TargetPolicy",
            "metadata": {"name": "x", "namespace": "x"}, "spec": {"targetRefs": [
                {"group": "", "kind": "Service", "name": "x"}], "algorithm": "RANDOM",
                "healthCheck": {"type": "WEBSOCKET", "path": "/"}, "slowStart": "10s"}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "namespace": "x"},
            "spec": {"type": "ClusterIP", "ports": [{"name": "p", "port": 80, "protocol": "TCP",
                "appProtocol": "kubernetes.io/ws"}]}}),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "x", "namespace": "x",
                "labels": {"kubernetes.io/service-name": "x"}},
            "ports": [{"name": "p", "port": 3000}], "endpoints": [{"addresses": ["10.0.0.7"],
                "conditions": {"ready": true, "serving": true, "terminating": false}}]}),
        json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "x",
            "namespace": "x"},
            "subsets": [{"addresses": [{"ip": "10.0.0.7"}], "ports": [{"port": 3000}]}]}),
        json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": "x", "namespace": "x"}, "data": {"tls.crt": "YQ==",
                "tls.key": "YQ=="}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x",
            "namespace": "x"},
            "data": {"ca.crt": "x"}}),
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "ReferenceGrant",
            "metadata": {"name": "x", "namespace": "x"}, "spec": {"from": [{"group": "g",
                "kind": "k",
                "namespace": "n"}], "to": [{"group": "", "kind": "Service", "name": "x"}]}}),
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
            "metadata": {"name": "x"}, "spec": {"controllerName": "culvert.dev/gateway"}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x",
            "labels": {"a": "b"}}}),
    ]
}

/// What a value can become.
fn strange() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "\\PC{0,20}".prop_map(Value::from),
        "[a-zA-Z/*.:0-9(\\[-]{0,12}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null, 1, "x", {}])),
        Just(json!({"name": 7, "type": "Magic", "value": []})),
        Just(json!("x".repeat(5000))),
        Just(json!(vec![json!({"name": "x", "port": 80}); 300])),
    ]
}

/// How many values there are in this one, itself included.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(entries) => entries.iter().map(size).sum(),
        Value::Object(fields) => fields.values().map(size).sum(),
        _ => 0,
    }
}

/// Puts something strange in the place of the value of this number, or leaves it out.
fn mutate(value: &mut Value, number: &mut usize, strange: &Option<Value>) {
    if *number == 0 {
        *value = strange.clone().unwrap_or(Value::Null);
    }
    *number = number.wrapping_sub(1);
    match value {
        Value::Array(entries) => entries
            .iter_mut()
            .for_each(|one| mutate(one, number, strange)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|one| mutate(one, number, strange)),
        _ => {}
    }
}

fn rest() -> Vec<Object> {
    let rules = "[{backendRefs: [{name: a, port: 8080}]}]";
    // Which address it has depends on the other Gateways, unless it names one.
    let base = BASE.replacen(
        "gatewayClassName: ours",
        "gatewayClassName: ours\n  addresses: [{value: 192.0.2.1}]",
        1,
    );
    manifests(&[
        &base,
        &route_named("r", "hostnames: [good.example],", rules),
    ])
    .objects
}

fn compile(objects: Vec<Object>) -> Compiled {
    let store = Store::of(objects);
    Compiler::default().compile(&store, &settings(), &Statuses::default(), noon())
}

/// What is told of the objects of the base.
fn told(compiled: &Compiled) -> Vec<String> {
    let all = compiled.statuses.0.iter();
    let of_base = all.filter(|((_, name), _)| &*name.namespace == "infra");
    of_base
        .map(|(key, status)| format!("{key:?} {:?}", status.status("c")))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_strange_object_changes_nothing_of_what_does_not_depend_on_it(
        kind in 0..samples().len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(),
            proptest::option::of(strange())), 1..4),
    ) {
        let mut samples = samples();
        for (place, strange) in changes {
            let mut number = place.index(size(&samples[kind]));
            mutate(&mut samples[kind], &mut number, &strange);
        }
        let mut objects: Vec<_> = samples
            .iter()
            .filter_map(|value| Object::read(value, Place::default()).ok())
            .collect();
        objects.extend(rest());
        let compiled = compile(objects);
        prop_assert_eq!(ask(&compiled, "good.example/any"), "a");
        let own = compile(rest());
        // Only how many routes there are on the listener may differ: the strange one may be.
        let plain = |all: Vec<String>| -> Vec<String> {
            let all = all.into_iter();
            all.map(|line| line.replace("\"attachedRoutes\": Number(2)",
                "\"attachedRoutes\": Number(1)"))
                .collect()
        };
        prop_assert_eq!(plain(told(&compiled)), plain(told(&own)));
        let _ = compiled.statuses.to_json("c");
    }
}

#[test]
fn the_samples_are_whole() {
    let flaws: Vec<_> = samples()
        .iter()
        .map(|value| Object::read(value, Place::default()).unwrap())
        .filter(|object| !object.meta().flaws.is_empty())
        .map(|object| format!("{:?}", object.meta()))
        .collect();
    assert_eq!(flaws, Vec::<String>::new());
}
