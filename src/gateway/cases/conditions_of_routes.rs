//! What is told of HTTPRoutes: each row of conditions.

use super::super::objects::Kind;
use super::asked::ask;
use super::{BASE, compile, conditions, route, route_named};

const TO_A: &str = "[{backendRefs: [{name: a, port: 8080}]}]";

#[test]
fn a_route_is_told_of_each_parent_that_is_ours() {
    let refs = "{name: edge, sectionName: http}, {name: edge, sectionName: none}, \
                {name: nowhere}, {name: x, kind: Service, group: ''}";
    let text = route(TO_A).replace("{name: edge}", refs);
    let compiled = compile(&[BASE, &text]);
    let told = conditions(&compiled, Kind::HttpRoute, "infra/r");
    assert_eq!(
        told,
        [
            "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs",
            "Accepted=False/NoMatchingParent ResolvedRefs=True/ResolvedRefs",
            "Accepted=False/NoMatchingParent",
        ]
    );
}

#[test]
fn namespaces_are_those_that_a_listener_allows() {
    let labelled =
        "{apiVersion: v1, kind: Namespace, metadata: {name: apps, labels: {team: chat}}}";
    for (from, is_allowed) in [
        ("{from: All}", true),
        ("{from: Same}", false),
        ("{from: None}", false),
        (
            "{from: Selector, selector: {matchLabels: {team: chat}}}",
            true,
        ),
        (
            "{from: Selector, selector: {matchLabels: {team: game}}}",
            false,
        ),
        (
            "{from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: apps}}}",
            true,
        ),
        (
            "{from: Selector, selector: {matchExpressions: [{key: team, operator: In,
                values: [chat, x]}]}}",
            true,
        ),
        (
            "{from: Selector, selector: {matchExpressions: [{key: team, operator: NotIn,
                values: [chat]}]}}",
            false,
        ),
        (
            "{from: Selector, selector: {matchExpressions: [{key: team, operator: Exists}]}}",
            true,
        ),
        (
            "{from: Selector, selector: {matchExpressions: [{key: team,
                operator: DoesNotExist}]}}",
            false,
        ),
        ("{from: Selector}", false),
    ] {
        let base = BASE.replace("{from: All}", from);
        let text = route(TO_A)
            .replace("namespace: infra", "namespace: apps")
            .replace("{name: edge}", "{name: edge, namespace: infra}");
        let compiled = compile(&[&base, labelled, &text]);
        let expected = match is_allowed {
            true => "Accepted=True/Accepted ResolvedRefs=False/BackendNotFound",
            false => "Accepted=False/NotAllowedByListeners ResolvedRefs=False/BackendNotFound",
        };
        assert_eq!(
            conditions(&compiled, Kind::HttpRoute, "apps/r"),
            [expected],
            "{from}"
        );
    }
}

#[test]
fn what_may_not_be_together_drops_the_rule_or_the_route() {
    let redirect = "{type: RequestRedirect, requestRedirect: {hostname: a.example}}";
    let rewrite = "{type: URLRewrite, urlRewrite: {hostname: a.example}}";
    let prefix = "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch,
        replacePrefixMatch: /x}}}";
    let mirror = "{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 8080}}}";
    let request = "{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x]}}";
    for (rule, reason) in [
        (
            format!("filters: [{redirect}, {rewrite}]"),
            "IncompatibleFilters",
        ),
        (
            format!("filters: [{request}, {request}]"),
            "UnsupportedValue",
        ),
        (
            format!("filters: [{redirect}], backendRefs: [{{name: a, port: 8080}}]"),
            "UnsupportedValue",
        ),
        (
            format!("filters: [{prefix}], matches: [{{path: {{type: Exact, value: /x}}}}]"),
            "UnsupportedValue",
        ),
        (
            format!(
                "filters: [{prefix}], matches: [{{path: {{value: /x}}}}, {{path: {{value: /y}}}}]"
            ),
            "UnsupportedValue",
        ),
        ("filters: [{type: Magic}]".into(), "UnsupportedValue"),
        (
            "filters: [{type: URLRewrite, requestRedirect: {}}]".into(),
            "UnsupportedValue",
        ),
        ("filters: [{type: URLRewrite}]".into(), "UnsupportedValue"),
        (
            "matches: [{path: {type: Magic}}]".into(),
            "UnsupportedValue",
        ),
        ("matches: [{path: {value: a}}]".into(), "UnsupportedValue"),
        (
            "matches: [{path: {value: /a//b}}]".into(),
            "UnsupportedValue",
        ),
        (
            "matches: [{path: {type: RegularExpression, value: '('}}]".into(),
            "UnsupportedValue",
        ),
        (
            "matches: [{path: {type: RegularExpression, value: 'a)|(b'}}]".into(),
            "UnsupportedValue",
        ),
        ("matches: [{method: FETCH}]".into(), "UnsupportedValue"),
        (
            "matches: [{headers: [{name: 'a b', value: x}]}]".into(),
            "UnsupportedValue",
        ),
        (
            "timeouts: {request: 1s, backendRequest: 2s}".into(),
            "UnsupportedValue",
        ),
        ("timeouts: {request: 1d}".into(), "UnsupportedValue"),
        ("backendRefs: [{name: a}]".into(), "UnsupportedValue"),
        (
            "backendRefs: [{name: a, port: 8080, weight: -1}]".into(),
            "UnsupportedValue",
        ),
        (
            "sessionPersistence: {idleTimeout: 1h}".into(),
            "UnsupportedValue",
        ),
        (
            "sessionPersistence: {type: Header, sessionName: Host}".into(),
            "UnsupportedValue",
        ),
        (
            "sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}".into(),
            "UnsupportedValue",
        ),
        (
            "filters: [{type: CORS, cors: {allowOrigins: ['*://a.example']}}]".into(),
            "UnsupportedValue",
        ),
        (
            "filters: [{type: CORS, cors: {allowOrigins: ['*', 'https://a.example']}}]".into(),
            "UnsupportedValue",
        ),
        (
            format!("filters: [{redirect}, {mirror}]"),
            "IncompatibleFilters",
        ),
        ("timeouts: {request: 999h}".into(), "UnsupportedValue"),
        ("retry: {attempts: 11}".into(), "UnsupportedValue"),
    ] {
        let compiled = compile(&[BASE, &route(&format!("[{{{rule}}}]"))]);
        let told = conditions(&compiled, Kind::HttpRoute, "infra/r").concat();
        assert!(
            told.starts_with(&format!("Accepted=False/{reason}")),
            "{rule}: {told}"
        );
        assert_eq!(ask(&compiled, "h/x"), "404", "{rule}");
        let other = "{matches: [{path: {value: /good}}], backendRefs: [{name: b, port: 8080}]}";
        let compiled = compile(&[BASE, &route(&format!("[{{{rule}}}, {other}]"))]);
        let told = conditions(&compiled, Kind::HttpRoute, "infra/r").concat();
        assert!(told.starts_with("Accepted=True/Accepted"), "{rule}: {told}");
        assert!(
            told.ends_with("PartiallyInvalid=True/UnsupportedValue"),
            "{rule}: {told}"
        );
        assert_eq!(ask(&compiled, "h/good"), "b", "{rule}");
    }
}

#[test]
fn a_flaw_of_a_route_as_a_whole_is_told_and_nothing_of_it_serves() {
    for spec in [
        "hostnames: [10.0.0.1],",
        "hostnames: [UPPER.example],",
        "hostnames: seven,",
    ] {
        let compiled = compile(&[BASE, &route_named("r", spec, TO_A)]);
        let told = conditions(&compiled, Kind::HttpRoute, "infra/r").concat();
        assert!(
            told.starts_with("Accepted=False/UnsupportedValue"),
            "{spec}: {told}"
        );
        assert_eq!(ask(&compiled, "h/"), "404", "{spec}");
    }
}

#[test]
fn routes_count_where_they_attach_whatever_their_references_are() {
    let nowhere = route_named("s", "", "[{backendRefs: [{name: none, port: 8080}]}]");
    let other = route_named("t", "hostnames: [a.example],", TO_A).replace("edge", "lost");
    let compiled = compile(&[BASE, &route(TO_A), &nowhere, &other]);
    let told = conditions(&compiled, Kind::Gateway, "infra/edge");
    assert!(told[1].starts_with("http [HTTPRoute] 2:"), "{told:?}");
    let tls = "[{name: http, port: 443, protocol: HTTPS,
        tls: {certificateRefs: [{name: none}]}}]";
    let (_, services) = BASE.split_once("---\n").unwrap();
    let gateway = format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: edge, \
          namespace: infra}}, spec: {{gatewayClassName: x, listeners: {tls}}}}}"
    );
    let compiled = compile(&[&gateway, services, &route(TO_A)]);
    let told = conditions(&compiled, Kind::Gateway, "infra/edge");
    assert!(
        told[1].starts_with("http [HTTPRoute] 1: Accepted=True"),
        "{told:?}"
    );
    assert!(told[1].contains("Programmed=False/Invalid"), "{told:?}");
}

#[test]
fn a_route_has_only_so_many_matches() {
    let rule = |count: usize| {
        let all = (0..count).map(|path| format!("{{path: {{value: /p{path}}}}}"));
        let all: Vec<_> = all.collect();
        format!(
            "{{matches: [{}], backendRefs: [{{name: a, port: 8080}}]}}",
            all.join(", ")
        )
    };
    for (counts, expected) in [
        ([64, 64, 1], "False/UnsupportedValue"),
        ([64, 63, 1], "True/Accepted"),
    ] {
        let rules: Vec<_> = counts.into_iter().map(rule).collect();
        let compiled = compile(&[BASE, &route(&format!("[{}]", rules.join(", ")))]);
        let told = conditions(&compiled, Kind::HttpRoute, "infra/r").concat();
        assert!(told.starts_with(&format!("Accepted={expected}")), "{told}");
    }
}

#[test]
fn what_a_cluster_would_not_take_together_files_do_not_bring_either() {
    let to_a = "backendRefs: [{name: a, port: 8080}]";
    let rule = format!("{{name: x, {to_a}}}");
    for (parents, rules, is_taken) in [
        ("{name: edge}", format!("[{rule}]"), true),
        ("{name: edge}, {name: edge}", format!("[{rule}]"), false),
        (
            "{name: edge}, {name: edge, sectionName: http}",
            format!("[{rule}]"),
            false,
        ),
        (
            "{name: edge, port: 80}, {name: edge, sectionName: http}",
            format!("[{rule}]"),
            false,
        ),
        (
            "{name: edge, sectionName: other}, {name: edge, sectionName: http}",
            format!("[{rule}]"),
            true,
        ),
        (
            "{name: edge, port: 80}, {name: edge, port: 81}",
            format!("[{rule}]"),
            true,
        ),
        (
            "{name: edge}",
            format!("[{rule}, {{name: y, {to_a}}}, {{{to_a}}}, {{{to_a}}}]"),
            true,
        ),
        ("{name: edge}", format!("[{rule}, {rule}]"), false),
    ] {
        let text = route(&rules).replace("[{name: edge}]", &format!("[{parents}]"));
        let told = conditions(&compile(&[BASE, &text]), Kind::HttpRoute, "infra/r").concat();
        let is_refused = told.contains("UnsupportedValue");
        assert_eq!(is_refused, !is_taken, "{parents} {rules}: {told}");
    }
}
