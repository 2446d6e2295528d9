//! Which listener takes a request, and which hosts of a route count there.

use super::super::objects::Kind;
use super::asked::ask;
use super::{BASE, Compiled, compile, conditions, route_named};

/// A Gateway `infra/edge` with these listeners, and the Services of the base.
fn gateway(listeners: &str) -> String {
    let (_, services) = BASE.split_once("---\n").unwrap();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
         metadata: {{name: edge, namespace: infra}}\n\
         spec: {{gatewayClassName: ours, listeners: {listeners}}}\n---\n{services}"
    )
}

fn to(service: &str) -> String {
    format!("[{{backendRefs: [{{name: {service}, port: 8080}}]}}]")
}

fn at(name: &str, section: &str, hosts: &str, service: &str) -> String {
    let text = route_named(name, &format!("hostnames: [{hosts}],"), &to(service));
    text.replace(
        "{name: edge}",
        &format!("{{name: edge, sectionName: {section}}}"),
    )
}

fn check(compiled: &Compiled, table: &[(&str, &str)]) {
    for (request, expected) in table {
        assert_eq!(ask(compiled, request), *expected, "{request}");
    }
}

#[test]
fn hosts_of_a_route_count_as_far_as_the_listener_takes_them() {
    let listeners = "[
        {name: one, port: 80, protocol: HTTP, hostname: very.specific.com},
        {name: two, port: 80, protocol: HTTP, hostname: '*.wildcard.io'},
        {name: three, port: 80, protocol: HTTP, hostname: '*.anotherwildcard.io'}]";
    let specific = at(
        "a",
        "one",
        "non.matching.com, '*.nonmatching.io', very.specific.com",
        "a",
    );
    let wildcard = at(
        "b",
        "two",
        "foo.wildcard.io, '*.deep.wildcard.io', other.com",
        "b",
    );
    let none = at("c", "three", "example.com", "c");
    let compiled = compile(&[&gateway(listeners), &specific, &wildcard, &none]);
    check(
        &compiled,
        &[
            ("very.specific.com/", "a"),
            ("non.matching.com/", "404"),
            ("foo.nonmatching.io/", "404"),
            ("foo.wildcard.io/", "b"),
            ("x.deep.wildcard.io/", "b"),
            ("x.y.deep.wildcard.io/", "b"),
            ("deep.wildcard.io/", "404"),
            ("bar.wildcard.io/", "404"),
            ("wildcard.io/", "404"),
            ("x.anotherwildcard.io/", "404"),
        ],
    );
    let told = conditions(&compiled, Kind::HttpRoute, "infra/c");
    assert_eq!(
        told,
        ["Accepted=False/NoMatchingListenerHostname ResolvedRefs=True/ResolvedRefs"]
    );
}

#[test]
fn the_listener_with_the_most_specific_host_takes_a_request_and_no_other_listener_sees_it() {
    let listeners = "[
        {name: empty, port: 80, protocol: HTTP},
        {name: wild, port: 80, protocol: HTTP, hostname: '*.example.com'},
        {name: wilder, port: 80, protocol: HTTP, hostname: '*.foo.example.com'},
        {name: exact, port: 80, protocol: HTTP, hostname: abc.foo.example.com}]";
    let rule = |path: &str, service: &str| {
        format!(
            "[{{matches: [{{path: {{value: {path}}}}}], \
              backendRefs: [{{name: {service}, port: 8080}}]}}]"
        )
    };
    let own = |name: &str, path: &str, service: &str| {
        let text = route_named(name, "", &rule(path, service));
        text.replace(
            "{name: edge}",
            &format!("{{name: edge, sectionName: {name}}}"),
        )
    };
    let compiled = compile(&[
        &gateway(listeners),
        &own("empty", "/empty", "a"),
        &own("wild", "/wild", "b"),
        &own("wilder", "/wilder", "c"),
        &own("exact", "/exact", "a"),
    ]);
    check(
        &compiled,
        &[
            ("bar.com/empty", "a"),
            ("bar.com/wild", "404"),
            ("bar.example.com/wild", "b"),
            ("bar.example.com/empty", "404"),
            ("bar.foo.example.com/wilder", "c"),
            ("bar.foo.example.com/wild", "404"),
            ("abc.foo.example.com/exact", "a"),
            ("abc.foo.example.com/wilder", "404"),
            ("abc.foo.example.com/empty", "404"),
        ],
    );
}

#[test]
fn an_exact_host_of_a_route_comes_before_a_wildcard_and_longer_before_shorter() {
    let all = |name: &str, hosts: &str, service: &str| {
        route_named(name, &format!("hostnames: [{hosts}],"), &to(service))
    };
    let compiled = compile(&[
        BASE,
        &all("r1", "'*.example.com'", "a"),
        &all("r2", "'*.deep.example.com'", "b"),
        &all("r3", "x.deep.example.com", "c"),
    ]);
    check(
        &compiled,
        &[
            ("y.example.com/", "a"),
            ("y.deep.example.com/", "b"),
            ("x.deep.example.com/", "c"),
            ("example.com/", "404"),
        ],
    );
}

#[test]
fn a_route_is_on_the_listeners_of_its_section_and_port() {
    let listeners =
        "[{name: one, port: 80, protocol: HTTP}, {name: two, port: 8080, protocol: HTTP}]";
    let on = |name: &str, parent: &str, service: &str| {
        let text = route_named(name, "", &to(service));
        text.replace("{name: edge}", parent)
    };
    let compiled = compile(&[
        &gateway(listeners),
        &on("a", "{name: edge, port: 8080}", "a"),
        &on("b", "{name: edge, sectionName: one}", "b"),
        &on("c", "{name: edge, sectionName: one, port: 8080}", "c"),
        &on("d", "{name: edge, port: 81}", "c"),
        &on("e", "{name: edge, sectionName: three}", "c"),
    ]);
    check(
        &compiled,
        &[("h:8080/", "a"), ("h/", "b"), ("h:81/", "refused")],
    );
    for route in ["infra/c", "infra/d", "infra/e"] {
        let told = conditions(&compiled, Kind::HttpRoute, route);
        let expected = "Accepted=False/NoMatchingParent ResolvedRefs=True/ResolvedRefs";
        assert_eq!(told, [expected], "{route}");
    }
}

#[test]
fn gateways_without_addresses_have_one_each_and_their_routes_apart() {
    let other = BASE
        .split_once("---\n")
        .unwrap()
        .0
        .replace("name: edge", "name: other");
    let second = route_named("two", "", &to("b")).replace("{name: edge}", "{name: other}");
    let compiled = compile(&[BASE, &other, &route_named("one", "", &to("a")), &second]);
    let [edge, other] = ["infra/edge", "infra/other"].map(|name| {
        let addresses = super::addresses(&compiled, name);
        addresses.concat()
    });
    assert_ne!(edge, other);
    check(
        &compiled,
        &[
            (&format!("h/ @{edge}"), "a"),
            (&format!("h/ @{other}"), "b"),
        ],
    );
}

#[test]
fn a_request_over_the_connection_of_another_listener_is_misdirected() {
    let certificate = super::conditions::secret("infra", "cert", &["example.org"]);
    let tls = "protocol: HTTPS, port: 443, tls: {certificateRefs: [{name: cert}]}";
    let listeners = format!(
        "[{{name: any, {tls}}}, {{name: second, hostname: second.org, {tls}}},
          {{name: wild, hostname: '*.wild.org', {tls}}}, {{name: exact, hostname: e.wild.org,
              {tls}}}]"
    );
    let compiled = compile(&[
        &gateway(&listeners),
        &certificate,
        &at("any", "any", "example.org", "a"),
        &at("second", "second", "second.org", "b"),
        &at("wild", "wild", "'*.wild.org'", "c"),
        &at("exact", "exact", "e.wild.org", "a"),
    ]);
    check(
        &compiled,
        &[
            ("https:example.org/", "a"),
            ("https:example.org/ sni:second.org", "421"),
            ("https:example.org/ sni:unknown.org", "a"),
            ("https:example.org/ sni:-", "a"),
            ("https:unknown.org/ sni:example.org", "404"),
            ("https:unknown.org/ sni:second.org", "421"),
            ("https:second.org/", "b"),
            ("https:second.org/ sni:example.org", "421"),
            ("https:x.wild.org/ sni:y.wild.org", "c"),
            ("https:e.wild.org/ sni:y.wild.org", "421"),
            ("https:x.wild.org/ sni:e.wild.org", "421"),
            ("https:e.wild.org/", "a"),
        ],
    );
}
