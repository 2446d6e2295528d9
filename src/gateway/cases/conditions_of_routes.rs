//! What is told of HTTPRoutes and of policies: each row of conditions.

use super::super::objects::Kind;
use super::asked::ask;
use super::conditions::secret;
use super::{BASE, compile, conditions, route, route_named};

const TO_A: &str = "[{backendRefs: [{name: a, port: 8080}]}]";

#[test]
fn a_route_is_told_of_each_parent_that_is_ours() {
    let refs = "{name: edge}, {name: edge, sectionName: none}, {name: nowhere}, \
                {name: x, kind: Service, group: ''}, {name: edge}";
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
        ("sessionPersistence: {}".into(), "UnsupportedValue"),
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

fn check_policy(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: alb.networking.azure.io/v1, kind: HealthCheckPolicy, \
          metadata: {{name: {name}, namespace: infra}}, spec: {{{spec}}}}}"
    )
}

#[test]
fn a_health_check_policy_takes_effect_or_says_why_not() {
    let target = "targetRef: {group: '', kind: Service, name: a, namespace: infra}";
    let default = "default: {interval: 5s, timeout: 3s, healthyThreshold: 1,
        unhealthyThreshold: 2, \
                   http: {path: /health}}";
    for (spec, reason) in [
        (format!("{target}, {default}"), "True/Accepted"),
        (default.to_owned(), "False/NoTargetReference"),
        (
            format!("{}, {default}", target.replace("name: a", "name: x")),
            "False/InvalidServiceReference",
        ),
        (
            format!("{}, {default}", target.replace("Service", "Pod")),
            "False/InvalidTargetReference",
        ),
        (
            format!("{}, {default}", target.replace("infra", "apps")),
            "False/InvalidTargetReference",
        ),
        (
            format!(
                "{}, {default}",
                target.replace("name: a", "name: a, sectionName: x")
            ),
            "False/InvalidPort",
        ),
        (
            format!("{target}, default: {{interval: never}}"),
            "False/InvalidHealthCheckPolicy",
        ),
        (
            format!("{target}, default: {{grpc: {{}}}}"),
            "False/InvalidHealthCheckPolicy",
        ),
        (
            format!("{target}, default: {{unhealthyThreshold: 0}}"),
            "False/InvalidHealthCheckPolicy",
        ),
    ] {
        let compiled = compile(&[BASE, &route(TO_A), &check_policy("p", &spec)]);
        let told = conditions(&compiled, Kind::HealthCheckPolicy, "infra/p");
        assert_eq!(told, [format!("Accepted={reason}")], "{spec}");
        let health = &compiled.groups["infra/a:8080"].health;
        assert_eq!(health.is_some(), reason == "True/Accepted", "{spec}");
    }
    let both = [
        BASE,
        &route(TO_A),
        &check_policy("q", &format!("{target}, default: {{interval: 9s}}")),
        &check_policy(
            "p",
            &format!("{target}, {default}, override: {{interval: 7s}}"),
        ),
    ];
    let compiled = compile(&both);
    assert_eq!(
        conditions(&compiled, Kind::HealthCheckPolicy, "infra/q"),
        ["Accepted=False/Conflicted"]
    );
    let health = compiled.groups["infra/a:8080"].health.as_ref().unwrap();
    assert_eq!(health.interval.unwrap().as_secs(), 7);
    assert_eq!(health.http, None, "what overrides does so as a whole");
}

fn tls_policy(name: &str, target: &str, validation: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy, \
          metadata: {{name: {name}, namespace: infra}}, \
          spec: {{targetRefs: [{{group: '', kind: Service, {target}}}],
              validation: {{{validation}}}}}}}"
    )
}

#[test]
fn a_backend_tls_policy_is_told_for_each_gateway_and_without_it_nothing_is_sent() {
    let system = "hostname: a.example, wellKnownCACertificates: System";
    let with = |kind: &str, name: &str| {
        format!(
            "hostname: a.example, caCertificateRefs: [{{group: '', kind: {kind}, name: {name}}}]"
        )
    };
    let broken = "{apiVersion: v1, kind: ConfigMap, metadata: {name: broken, namespace: infra}, \
                  data: {ca.crt: hello}}";
    for (validation, expected, answer) in [
        (
            system.to_owned(),
            "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs",
            "a",
        ),
        (
            with("ConfigMap", "none"),
            "Accepted=False/NoValidCACertificate ResolvedRefs=False/InvalidCACertificateRef",
            "500",
        ),
        (
            with("ConfigMap", "broken"),
            "Accepted=False/NoValidCACertificate ResolvedRefs=False/InvalidCACertificateRef",
            "500",
        ),
        (
            with("Pod", "x"),
            "Accepted=False/NoValidCACertificate ResolvedRefs=False/InvalidKind",
            "500",
        ),
        (
            "hostname: a.example".to_owned(),
            "Accepted=False/Invalid ResolvedRefs=True/ResolvedRefs",
            "500",
        ),
    ] {
        let policy = tls_policy("p", "name: a", &validation);
        let compiled = compile(&[BASE, &route(TO_A), broken, &policy]);
        let told = conditions(&compiled, Kind::BackendTlsPolicy, "infra/p");
        assert_eq!(told, [format!("infra/edge: {expected}")], "{validation}");
        assert_eq!(ask(&compiled, "h/"), answer, "{validation}");
    }
}

#[test]
fn of_two_policies_for_one_target_the_older_holds_and_a_port_of_its_own_comes_first() {
    let system = |host: &str| format!("hostname: {host}, wellKnownCACertificates: System");
    let one = tls_policy("one", "name: a", &system("one.example"));
    let two = tls_policy("two", "name: a", &system("two.example"));
    let lost = tls_policy("lost", "name: none", &system("x.example"));
    let compiled = compile(&[BASE, &route(TO_A), &one, &two, &lost]);
    let told = |name: &str| conditions(&compiled, Kind::BackendTlsPolicy, name).concat();
    assert!(told("infra/one").contains("Accepted=True/Accepted"));
    assert!(told("infra/two").contains("Accepted=False/Conflicted"));
    assert_eq!(told("infra/lost"), "", "no Gateway has use for it");
    let tls = compiled.groups["infra/a:8080"].tls.as_ref().unwrap();
    assert_eq!(&*tls.host, "one.example");
    let named = BASE.replace(
        "metadata: {name: a, namespace: infra},\n   spec: {ports: [{port: 8080}]}",
        "metadata: {name: a, namespace: infra},\n   spec: {ports: [{name: x, port: 8080}]}",
    );
    let own = tls_policy("own", "name: a, sectionName: x", &system("own.example"));
    let compiled = compile(&[&named, &route(TO_A), &one, &own]);
    let tls = compiled.groups["infra/a:8080"].tls.as_ref().unwrap();
    assert_eq!(&*tls.host, "own.example");
}

#[test]
fn a_certificate_for_endpoints_is_shown_by_its_gateway_alone() {
    let own = secret("infra", "own", &[]);
    let policy = tls_policy(
        "p",
        "name: a",
        "hostname: a.example, wellKnownCACertificates: System",
    );
    let base = BASE.replacen(
        "gatewayClassName: ours",
        "gatewayClassName: ours\n  tls: {backend: {clientCertificateRef: {name: own}}}",
        1,
    );
    let compiled = compile(&[&base, &route(TO_A), &own, &policy]);
    let names: Vec<_> = compiled.groups.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["infra/a:8080 of infra/edge"]);
    assert!(
        compiled.groups[&*names[0]]
            .tls
            .as_ref()
            .unwrap()
            .own
            .is_some()
    );
    let compiled = compile(&[&base, &route(TO_A), &own]);
    assert_eq!(
        compiled.groups.keys().next().unwrap().as_ref(),
        "infra/a:8080"
    );
}
