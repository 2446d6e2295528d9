//! Where shares go: weights, references that lead nowhere, endpoints.

use super::super::objects::Kind;
use super::asked::ask;
use super::{BASE, Compiled, compile, conditions, route};

fn check(compiled: &Compiled, table: &[(&str, &str)]) {
    for (request, expected) in table {
        assert_eq!(ask(compiled, request), *expected, "{request}");
    }
}

/// What is told of the route of the base.
fn told(compiled: &Compiled) -> String {
    conditions(compiled, Kind::HttpRoute, "infra/r").join("; ")
}

const FAR: &str = "
{apiVersion: v1, kind: Service, metadata: {name: far, namespace: apps},
    spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice,
 metadata: {name: far-1, namespace: apps, labels: {kubernetes.io/service-name: far}},
 addressType: IPv4, ports: [{name: '', port: 3000}], endpoints: [{addresses: [10.1.0.1]}]}";

fn grant(from: &str, to: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, \
          metadata: {{name: g, namespace: apps}}, spec: {{from: [{from}], to: [{to}]}}}}"
    )
}

const OF_ROUTES: &str = "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: infra}";

#[test]
fn each_backend_has_its_share_and_one_that_leads_nowhere_answers_500_for_its() {
    let compiled = compile(&[
        BASE,
        &route(
            "[{backendRefs: [
        {name: a, port: 8080, weight: 70}, {name: b, port: 8080, weight: 30},
        {name: c, port: 8080, weight: 0}, {name: none, port: 8080, weight: 10}]}]",
        ),
    ]);
    check(&compiled, &[("h/", "a*70 b*30 500*10")]);
    assert_eq!(
        told(&compiled),
        "Accepted=True/Accepted ResolvedRefs=False/BackendNotFound"
    );
}

#[test]
fn no_backend_and_no_weight_are_500() {
    let compiled = compile(&[
        BASE,
        &route(
            "[
        {matches: [{path: {value: /none}}]},
        {matches: [{path: {value: /empty}}], backendRefs: []},
        {matches: [{path: {value: /zero}}], backendRefs: [{name: a, port: 8080, weight: 0}]}]",
        ),
    ]);
    check(
        &compiled,
        &[("h/none", "500"), ("h/empty", "500"), ("h/zero", "500")],
    );
    assert_eq!(
        told(&compiled),
        "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs"
    );
}

#[test]
fn what_leads_nowhere_is_told_with_its_reason() {
    let external = "{apiVersion: v1, kind: Service, metadata: {name: x, namespace: infra}, \
                    spec: {type: ExternalName, externalName: a.example, ports: [{port: 80}]}}";
    let other = "{apiVersion: v1, kind: Service, metadata: {name: y, namespace: infra}, \
                 spec: {ports: [{port: 80, appProtocol: kubernetes.io/unheard-of}]}}";
    for (backend, reason) in [
        ("{name: none, port: 8080}", "BackendNotFound"),
        ("{name: a, port: 81}", "BackendNotFound"),
        (
            "{name: a, port: 8080, kind: Bucket, group: x.example}",
            "InvalidKind",
        ),
        ("{name: far, namespace: apps, port: 80}", "RefNotPermitted"),
        ("{name: x, port: 80}", "InvalidKind"),
        ("{name: y, port: 80}", "UnsupportedProtocol"),
    ] {
        let rule = format!("[{{backendRefs: [{backend}]}}]");
        let compiled = compile(&[BASE, FAR, external, other, &route(&rule)]);
        check(&compiled, &[("h/", "500")]);
        let expected = format!("Accepted=True/Accepted ResolvedRefs=False/{reason}");
        assert_eq!(told(&compiled), expected, "{backend}");
    }
}

#[test]
fn a_grant_allows_what_it_names_and_no_more() {
    let all = "{group: '', kind: Service}";
    let cases = [
        (grant(OF_ROUTES, all), "far"),
        (
            grant(OF_ROUTES, "{group: '', kind: Service, name: far}"),
            "far",
        ),
        (
            grant(OF_ROUTES, "{group: '', kind: Service, name: other}"),
            "500",
        ),
        (
            grant(OF_ROUTES, "{group: '', kind: Service, name: 7}"),
            "500",
        ),
        (grant(OF_ROUTES, "{group: '', kind: Secret}"), "500"),
        (grant(OF_ROUTES, "{group: x.example, kind: Service}"), "500"),
        (grant(&OF_ROUTES.replace("infra", "web"), all), "500"),
        (
            grant(&OF_ROUTES.replace("HTTPRoute", "Gateway"), all),
            "500",
        ),
        (
            grant(
                &OF_ROUTES.replace("gateway.networking.k8s.io", "x.example"),
                all,
            ),
            "500",
        ),
        (grant(OF_ROUTES, all).replace("apps}", "infra}"), "500"),
    ];
    for (grant, expected) in cases {
        let rule = "[{backendRefs: [{name: far, namespace: apps, port: 80}]}]";
        let compiled = compile(&[BASE, FAR, &grant, &route(rule)]);
        assert_eq!(ask(&compiled, "h/"), expected, "{grant}");
    }
}

/// A Service `infra/s` with two ports, these slices, and what its group at `web` comes to.
fn endpoints(slices: &[&str]) -> Vec<String> {
    let service = "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: infra}, \
                   spec: {ports: [{name: web, port: 80}, {name: admin, port: 81}]}}";
    let rule = route("[{backendRefs: [{name: s, port: 80}]}]");
    let mut texts = vec![BASE, service, &rule];
    texts.extend(slices);
    let compiled = compile(&texts);
    let found = compiled.endpoints["infra/s:80"].iter();
    found.map(ToString::to_string).collect()
}

fn slice(name: &str, ports: &str, endpoints: &str) -> String {
    format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, \
          metadata: {{name: {name}, namespace: infra,
              labels: {{kubernetes.io/service-name: s}}}}, \
          ports: {ports}, endpoints: {endpoints}}}"
    )
}

#[test]
fn endpoints_are_those_of_the_port_of_this_name_in_all_slices_of_both_families() {
    let ports = "[{name: admin, port: 9000}, {name: web, port: 3000}]";
    let one = slice(
        "s1",
        ports,
        "[{addresses: [10.0.0.2]}, {addresses: [10.0.0.1]}]",
    );
    let two = slice(
        "s2",
        ports,
        "[{addresses: ['fd00::1']}, {addresses: [10.0.0.1]}]",
    );
    let other = slice(
        "s3",
        "[{name: web, port: 3001}]",
        "[{addresses: [10.0.0.3]}]",
    );
    assert_eq!(
        endpoints(&[&one, &two, &other]),
        [
            "10.0.0.1:3000",
            "10.0.0.2:3000",
            "10.0.0.3:3001",
            "[fd00::1]:3000"
        ]
    );
}

#[test]
fn what_is_not_ready_is_not_used_and_what_ends_only_where_nothing_else_is_left() {
    let ports = "[{name: web, port: 3000}]";
    let ready = "{addresses: [10.0.0.1], conditions: {ready: true}}";
    let not = "{addresses: [10.0.0.2], conditions: {ready: false}}";
    let ending =
        "{addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}}";
    let gone =
        "{addresses: [10.0.0.4], conditions: {ready: false, serving: false, terminating: true}}";
    let of = |all: &[&str]| {
        let all = format!("[{}]", all.join(", "));
        endpoints(&[&slice("s1", ports, &all)]).join(" ")
    };
    assert_eq!(of(&[ready, not, ending, gone]), "10.0.0.1:3000");
    assert_eq!(of(&[not, ending, gone]), "10.0.0.3:3000");
    assert_eq!(of(&[not, gone]), "");
    assert_eq!(of(&["{addresses: [10.0.0.5]}"]), "10.0.0.5:3000");
}

#[test]
fn a_service_without_endpoints_is_503_and_slices_come_before_plain_endpoints() {
    let none = "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: infra}, \
                spec: {ports: [{port: 80}]}}";
    let rule = route("[{backendRefs: [{name: s, port: 80}]}]");
    let compiled = compile(&[BASE, none, &rule]);
    check(&compiled, &[("h/", "503")]);
    assert_eq!(
        told(&compiled),
        "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs"
    );
    let plain = "{apiVersion: v1, kind: Endpoints, metadata: {name: s, namespace: infra}, \
                 subsets: [{addresses: [{ip: 10.9.9.9}], ports: [{name: web, port: 1}]}]}";
    let one = slice(
        "s1",
        "[{name: web, port: 3000}]",
        "[{addresses: [10.0.0.1]}]",
    );
    assert_eq!(endpoints(&[plain, &one]), ["10.0.0.1:3000"]);
    assert_eq!(endpoints(&[plain]), ["10.9.9.9:1"]);
}

#[test]
fn the_protocol_of_a_port_is_that_of_its_group() {
    for (word, h2c) in [
        ("kubernetes.io/h2c", true),
        ("kubernetes.io/ws", false),
        ("http", false),
        ("HTTP", false),
    ] {
        let service = format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: s, namespace: infra}}, \
              spec: {{ports: [{{port: 80, appProtocol: {word}}}]}}}}"
        );
        let compiled = compile(&[
            BASE,
            &service,
            &route("[{backendRefs: [{name: s, port: 80}]}]"),
        ]);
        assert_eq!(compiled.groups["infra/s:80"].h2c, h2c, "{word}");
    }
}
