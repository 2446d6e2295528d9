//! What is told of policies, and what becomes of what they are for.

use super::super::objects::Kind;
use super::asked::ask;
use super::conditions::secret;
use super::{BASE, compile, conditions, route};

const TO_A: &str = "[{backendRefs: [{name: a, port: 8080}]}]";

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
            format!("{target}, default: {{grpc: {{service: chat}}, protocol: HTTP}}"),
            "True/Accepted",
        ),
        (
            format!("{target}, default: {{grpc: {{}}, http: {{}}}}"),
            "False/InvalidHealthCheckPolicy",
        ),
        (
            format!("{target}, default: {{grpc: {{service: a b}}}}"),
            "False/InvalidHealthCheckPolicy",
        ),
        (
            format!("{target}, default: {{protocol: HTTPS}}"),
            "False/InvalidHealthCheckPolicy",
        ),
        (
            format!("{target}, default: {{protocol: TCP, http: {{}}}}"),
            "False/InvalidHealthCheckPolicy",
        ),
        (
            format!("{target}, default: {{protocol: UDP}}"),
            "False/InvalidHealthCheckPolicy",
        ),
        (
            format!(
                "{target}, default: {{http: {{match: {{body: a, \
                 statusCodes: [{{start: 200, end: 299}}]}}}}}}"
            ),
            "True/Accepted",
        ),
        (
            format!("{target}, default: {{useTLS: true}}"),
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
