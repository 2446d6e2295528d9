//! What is told of GatewayClasses, Gateways, listeners and policies: each row of conditions.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::super::FEATURES;
use super::super::objects::Kind;
use super::{BASE, addresses, compile, compile_with, conditions, route, settings};

/// A Secret with a certificate for these names.
pub(super) fn secret(namespace: &str, name: &str, hosts: &[&str]) -> String {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(hosts).unwrap();
    let (cert, key) = (
        STANDARD.encode(cert.pem()),
        STANDARD.encode(signing_key.serialize_pem()),
    );
    format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}, namespace: {namespace}}}, \
          type: kubernetes.io/tls, data: {{tls.crt: {cert}, tls.key: {key}}}}}"
    )
}

pub(super) fn gateway(spec: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, \
          metadata: {{name: g, namespace: infra, generation: 4}}, \
          spec: {{gatewayClassName: ours, {spec}}}}}"
    )
}

pub(super) const GOOD: &str = "Accepted=True/Accepted Programmed=True/Programmed";
pub(super) const LISTENER: &str = "Accepted=True/Accepted Programmed=True/Programmed \
                        ResolvedRefs=True/ResolvedRefs Conflicted=False/NoConflicts";
pub(super) const HTTP: &str = "{name: http, port: 80, protocol: HTTP}";

fn check(manifests: &[&str], expected: &[&str]) {
    let compiled = compile(manifests);
    let told = conditions(&compiled, Kind::Gateway, "infra/g");
    assert_eq!(told, expected, "{manifests:?}");
}

#[test]
fn a_class_is_ours_by_its_controller_and_has_no_parameters() {
    let class = |spec: &str| {
        let text = "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass,
            metadata: {name: ours}, spec: {SPEC}}";
        text.replace("SPEC", spec)
    };
    let ours = "controllerName: culvert.dev/gateway";
    let with = format!("{ours}, parametersRef: {{group: x, kind: Y, name: z}}");
    for (spec, expected, serves) in [
        (ours, Some("Accepted=True/Accepted"), 1),
        (&with, Some("Accepted=False/InvalidParameters"), 0),
        ("controllerName: x.example/other", None, 0),
    ] {
        let compiled = compile(&[&class(spec), &gateway(&format!("listeners: [{HTTP}]"))]);
        let told = conditions(&compiled, Kind::GatewayClass, "ours");
        assert_eq!(told.first().map(String::as_str), expected, "{spec}");
        assert_eq!(compiled.sockets.len(), serves, "{spec}");
    }
    for (bundle, expected) in [
        (
            "v1.6.3",
            "Accepted=True/Accepted SupportedVersion=True/SupportedVersion",
        ),
        (
            "v0.8.0",
            "Accepted=True/Accepted SupportedVersion=False/UnsupportedVersion",
        ),
    ] {
        let bundle = Some(bundle.to_owned());
        let compiled = compile_with(
            &[&class(ours)],
            &super::Settings {
                bundle,
                ..settings()
            },
        );
        assert_eq!(
            conditions(&compiled, Kind::GatewayClass, "ours"),
            [expected]
        );
    }
}

#[test]
fn a_gateway_of_a_foreign_class_is_left_alone() {
    let class = "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, \
                 metadata: {name: ours}, spec: {controllerName: x.example/other}}";
    let compiled = compile(&[
        class,
        BASE,
        &route("[{backendRefs: [{name: a, port: 8080}]}]"),
    ]);
    assert!(compiled.statuses.0.is_empty(), "{:?}", compiled.statuses);
    assert!(compiled.sockets.is_empty());
}

#[test]
fn a_gateway_is_accepted_as_far_as_its_listeners_are() {
    check(
        &[&gateway(&format!("listeners: [{HTTP}]"))],
        &[GOOD, &format!("http [HTTPRoute] 0: {LISTENER}")],
    );
    let strange = "{name: strange, port: 81, protocol: unheard.of/thing}";
    let unsupported = "strange [] 0: Accepted=False/UnsupportedProtocol Programmed=False/Invalid \
                       ResolvedRefs=True/ResolvedRefs Conflicted=False/NoConflicts";
    check(
        &[&gateway(&format!("listeners: [{HTTP}, {strange}]"))],
        &[
            "Accepted=True/ListenersNotValid Programmed=True/Programmed",
            &format!("http [HTTPRoute] 0: {LISTENER}"),
            unsupported,
        ],
    );
    check(
        &[&gateway(&format!("listeners: [{strange}]"))],
        &[
            "Accepted=False/ListenersNotValid Programmed=False/Invalid",
            unsupported,
        ],
    );
}

#[test]
fn parameters_and_what_is_no_gateway_are_told_of_the_whole() {
    let infrastructure = "infrastructure: {parametersRef: {group: x, kind: Y, name: z}}";
    let compiled = compile(&[&gateway(&format!("{infrastructure}, listeners: [{HTTP}]"))]);
    let told = conditions(&compiled, Kind::Gateway, "infra/g");
    assert_eq!(
        told[0],
        "Accepted=False/InvalidParameters Programmed=False/Invalid"
    );
    let compiled = compile(&[&gateway("listeners: []")]);
    let told = conditions(&compiled, Kind::Gateway, "infra/g");
    assert_eq!(told[0], "Accepted=False/Invalid Programmed=False/Invalid");
}

#[test]
fn addresses_are_what_is_asked_for_or_are_told() {
    for (spec, expected, found) in [
        ("", GOOD, None),
        ("addresses: [{type: IPAddress}],", GOOD, None),
        (
            "addresses: [{value: 192.0.2.77}],",
            GOOD,
            Some("192.0.2.77"),
        ),
        (
            "addresses: [{type: alb.networking.azure.io/alb-frontend, value: FRONTEND}],",
            GOOD,
            None,
        ),
        (
            "addresses: [{type: test/fake, value: x}],",
            "Accepted=False/UnsupportedAddress Programmed=False/Invalid",
            Some(""),
        ),
        (
            "addresses: [{type: Hostname, value: x.example}],",
            "Accepted=False/UnsupportedAddress Programmed=False/Invalid",
            Some(""),
        ),
        (
            "addresses: [{value: 192.0.2.99}],",
            "Accepted=True/Accepted Programmed=False/AddressNotUsable",
            Some(""),
        ),
    ] {
        let compiled = compile(&[&gateway(&format!("{spec} listeners: [{HTTP}]"))]);
        let told = conditions(&compiled, Kind::Gateway, "infra/g");
        assert_eq!(told[0], expected, "{spec}");
        let addresses = addresses(&compiled, "infra/g").concat();
        let is_of_pool = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].contains(&addresses.as_str());
        match found {
            Some(found) => assert_eq!(addresses, found, "{spec}"),
            None => assert!(is_of_pool, "{spec} {addresses}"),
        }
    }
}

#[test]
fn when_no_address_is_left_that_is_told_and_a_single_one_is_shared() {
    let all: Vec<String> = ["g", "h", "i", "j"]
        .iter()
        .map(|name| {
            let text = gateway(&format!("listeners: [{HTTP}]"));
            text.replace("name: g,", &format!("name: {name},"))
        })
        .collect();
    let texts: Vec<&str> = all.iter().map(String::as_str).collect();
    let compiled = compile(&texts);
    let told = |name: &str| conditions(&compiled, Kind::Gateway, name)[0].clone();
    let names = ["infra/g", "infra/h", "infra/i"];
    assert!(names.iter().all(|name| told(name) == GOOD));
    assert_eq!(
        told("infra/j"),
        "Accepted=True/Accepted Programmed=False/AddressNotAssigned"
    );
    let one = |last| vec![IpAddr::from([192, 0, 2, last])];
    let single = super::Settings {
        addresses: one(7),
        ..settings()
    };
    let compiled = compile_with(&texts[..2], &single);
    let second = conditions(&compiled, Kind::Gateway, "infra/h");
    assert_eq!(
        second[0],
        "Accepted=False/ListenersNotValid Programmed=False/Invalid"
    );
    assert!(
        second[1].contains("Accepted=False/PortUnavailable"),
        "{second:?}"
    );
    let other = all[1].replace("port: 80,", "port: 80, hostname: x.example,");
    let compiled = compile_with(&[&all[0], &other], &single);
    assert_eq!(conditions(&compiled, Kind::Gateway, "infra/h")[0], GOOD);
    assert_eq!(compiled.sockets.len(), 1);
    let none = super::Settings {
        addresses: Vec::new(),
        ..settings()
    };
    let compiled = compile_with(&texts[..1], &none);
    let told = conditions(&compiled, Kind::Gateway, "infra/g");
    assert_eq!(
        told[0],
        "Accepted=True/Accepted Programmed=False/AddressNotAssigned"
    );
}

#[test]
fn a_port_that_something_else_of_the_node_has_is_unavailable() {
    let spec =
        "addresses: [{value: 192.0.2.1}], listeners: [{name: x, port: 9900, protocol: HTTP}]";
    let compiled = compile(&[&gateway(spec)]);
    let told = conditions(&compiled, Kind::Gateway, "infra/g");
    assert!(
        told[1].contains("Accepted=False/PortUnavailable"),
        "{told:?}"
    );
}

#[test]
fn listeners_that_cannot_be_told_apart_conflict() {
    let two = "{name: b, port: 80, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}";
    let same = "{name: c, port: 81, protocol: HTTP, hostname: a.example}, \
                {name: d, port: 81, protocol: HTTP, hostname: a.example}, \
                {name: e, port: 81, protocol: HTTP, hostname: b.example}";
    let cert = secret("infra", "cert", &["a.example"]);
    let compiled = compile(&[
        &gateway(&format!("listeners: [{HTTP}, {two}, {same}]")),
        &cert,
    ]);
    let told = conditions(&compiled, Kind::Gateway, "infra/g");
    assert_eq!(
        told[0],
        "Accepted=True/ListenersNotValid Programmed=True/Programmed"
    );
    for (place, reason) in [
        (1, "ProtocolConflict"),
        (2, "ProtocolConflict"),
        (3, "HostnameConflict"),
        (4, "HostnameConflict"),
    ] {
        assert!(
            told[place].contains(&format!("Accepted=False/{reason}")),
            "{told:?}"
        );
        assert!(
            told[place].contains(&format!("Conflicted=True/{reason}")),
            "{told:?}"
        );
    }
    assert!(told[5].ends_with(LISTENER), "{told:?}");
}

#[test]
fn kinds_of_routes_are_those_asked_for_and_supported() {
    for (kinds, expected) in [
        ("{kind: HTTPRoute}", format!("x [HTTPRoute] 0: {LISTENER}")),
        (
            "{kind: Magic}",
            "x [] 0: Accepted=True/Accepted Programmed=False/Invalid \
             ResolvedRefs=False/InvalidRouteKinds Conflicted=False/NoConflicts"
                .to_owned(),
        ),
        (
            "{kind: Magic}, {kind: HTTPRoute}",
            "x [HTTPRoute] 0: Accepted=True/Accepted Programmed=True/Programmed \
             ResolvedRefs=False/InvalidRouteKinds Conflicted=False/NoConflicts"
                .to_owned(),
        ),
    ] {
        let listener =
            format!("{{name: x, port: 80, protocol: HTTP, allowedRoutes: {{kinds: [{kinds}]}}}}");
        let compiled = compile(&[&gateway(&format!("listeners: [{listener}]"))]);
        assert_eq!(
            conditions(&compiled, Kind::Gateway, "infra/g")[1],
            expected,
            "{kinds}"
        );
    }
}

#[test]
fn a_flaw_of_a_listener_is_that_listeners() {
    for flaw in [
        "{name: x, port: 0, protocol: HTTP}",
        "{name: x, protocol: HTTP}",
        "{name: x, port: 81, protocol: HTTP, tls: {certificateRefs: [{name: c}]}}",
        "{name: x, port: 81, protocol: HTTPS}",
        "{name: x, port: 81, protocol: HTTPS, tls: {mode: Passthrough}}",
        "{name: x, port: 81, protocol: HTTP, hostname: Not_a_name}",
        "{name: http, port: 81, protocol: HTTP}",
        "{name: x, port: 81, protocol: HTTP, allowedRoutes: {namespaces: {from: Nearby}}}",
        "{name: 7, port: 81, protocol: HTTP}",
        "seven",
    ] {
        let compiled = compile(&[&gateway(&format!("listeners: [{HTTP}, {flaw}]"))]);
        let told = conditions(&compiled, Kind::Gateway, "infra/g");
        assert_eq!(
            told[0], "Accepted=True/ListenersNotValid Programmed=True/Programmed",
            "{flaw}"
        );
        assert!(
            told[2].contains("Accepted=False/UnsupportedValue"),
            "{flaw} {told:?}"
        );
        assert_eq!(compiled.sockets.len(), 1);
    }
}

#[test]
fn the_features_are_sorted_as_the_specification_wants_them() {
    let mut sorted = FEATURES.to_vec();
    sorted.sort_unstable();
    assert_eq!(FEATURES, sorted);
}
