//! Culvert's own policies: what they change, and what is told of them.

use std::time::Duration;

use super::super::objects::Kind;
use super::lowering::forwarded;
use super::served::lower;
use super::{BASE, compile, conditions, route, route_named};
use crate::config::model::{Algorithm, AllowedOrigin, Check, TargetGroup};

const TO_A: &str = "[{backendRefs: [{name: a, port: 8080}]}]";

fn policy(kind: &str, name: &str, targets: &str, rest: &str) -> String {
    format!(
        "{{apiVersion: culvert.dev/v1alpha1, kind: {kind},
          metadata: {{name: {name}, namespace: infra}},
          spec: {{targetRefs: [{targets}]{rest}}}}}"
    )
}

const EDGE: &str = "{group: gateway.networking.k8s.io, kind: Gateway, name: edge}";
const ROUTE: &str = "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: r}";
const SERVICE: &str = "{group: '', kind: Service, name: a}";

#[test]
fn tunnels_are_bounded_by_the_policy_of_their_route_or_else_of_their_gateway() {
    let of_gateway = policy(
        "TunnelPolicy",
        "edge",
        EDGE,
        ", tunnel: {idleTimeout: 5m, maxLifetime: 8h}, allowedSubprotocols: [chat.v1]",
    );
    let of_route = policy(
        "TunnelPolicy",
        "route",
        ROUTE,
        ", tunnel: {idleTimeout: 7m}, allowedOrigins: ['https://*.a.example'], checkAccept: true",
    );
    let other = route_named("s", "hostnames: [s.example],", TO_A);
    let compiled = compile(&[BASE, &route(TO_A), &other, &of_gateway, &of_route]);
    let lowered = lower(&compiled);
    let rules = &lowered.forwarding_rules[0].http_rules;
    let of = |name: &str| forwarded(rules.iter().find(|rule| rule.name == name).unwrap());
    let (own, inherited) = (of("infra/r/0"), of("infra/s/0"));
    assert_eq!(own.tunnel.idle_timeout, Duration::from_secs(7 * 60));
    assert_eq!(
        own.tunnel.max_lifetime, None,
        "the policy of a route holds as a whole"
    );
    let origins = own.allowed_origins.unwrap();
    assert!(matches!(
        &origins[..],
        [AllowedOrigin::Of { is_above: true, .. }]
    ));
    assert_eq!(
        (own.check_accept, own.allowed_subprotocols),
        (Some(true), None)
    );
    assert_eq!(inherited.tunnel.idle_timeout, Duration::from_secs(5 * 60));
    assert_eq!(
        inherited.tunnel.max_lifetime,
        Some(Duration::from_secs(8 * 3600))
    );
    assert_eq!(inherited.allowed_subprotocols.unwrap(), ["chat.v1"]);
    assert_eq!(inherited.target_groups[0].name, "infra/a:8080");
}

fn group(policies: &[&str]) -> TargetGroup {
    let route = route(TO_A);
    let mut texts = vec![BASE, &route];
    texts.extend(policies);
    let compiled = compile(&texts);
    let told = format!("{:?}", compiled.statuses);
    assert!(!told.contains("Invalid"), "{told}");
    let lowered = lower(&compiled);
    TargetGroup::clone(&lowered.target_groups[0])
}

#[test]
fn targets_share_and_are_checked_as_their_policy_says() {
    let said = policy(
        "TargetPolicy",
        "a",
        SERVICE,
        ", algorithm: LEAST_CONNECTION, slowStart: 30s, deregistrationDelay: 10s, failOpen: true,
           rebalance: {rate: 5},
           outlierDetection: {consecutiveFailures: 3}, onUnhealthy: close,
           healthCheck: {type: WEBSOCKET, path: /ws, checkInterval: 9s}",
    );
    let found = group(&[&said]);
    assert_eq!(found.name, "infra/a:8080");
    assert_eq!(found.algorithm, Algorithm::LeastConnection);
    assert_eq!(found.slow_start, Duration::from_secs(30));
    assert_eq!(found.deregistration_delay, Duration::from_secs(10));
    assert!(found.fail_open && found.rebalance.is_some());
    assert!(found.outlier_detection.is_some());
    assert!(matches!(found.health_check.check, Check::WebSocket(_)));
    assert!(
        found
            .targets
            .iter()
            .all(|target| target.health_check_enabled)
    );
    let plain = group(&[&policy("TargetPolicy", "a", SERVICE, ", slowStart: 30s")]);
    assert!(
        !plain.targets[0].health_check_enabled,
        "what is ready is healthy"
    );
}

#[test]
fn a_check_of_a_target_policy_comes_before_that_of_azure() {
    let azure = "{apiVersion: alb.networking.azure.io/v1, kind: HealthCheckPolicy,
        metadata: {name: p, namespace: infra}, spec: {targetRef: {group: '', kind: Service,
        name: a}, default: {interval: 1s}}}";
    let own = policy(
        "TargetPolicy",
        "a",
        SERVICE,
        ", healthCheck: {checkInterval: 9s}",
    );
    let interval = |policies: &[&str]| group(policies).health_check.check_interval.as_secs();
    assert_eq!(interval(&[azure, &own]), 9);
    let other = policy("TargetPolicy", "a", SERVICE, ", slowStart: 30s");
    assert_eq!(interval(&[azure, &other]), 1);
}

#[test]
fn a_policy_is_told_whether_it_holds() {
    for (kind, targets, rest, reason) in [
        (
            "TunnelPolicy",
            EDGE,
            ", tunnel: {idleTimeout: 5m}",
            "True/Accepted",
        ),
        ("TunnelPolicy", EDGE, "", "True/Accepted"),
        (
            "TunnelPolicy",
            EDGE,
            ", tunnel: {idleTimeout: never}",
            "False/Invalid",
        ),
        ("TunnelPolicy", EDGE, ", tunel: {}", "False/Invalid"),
        ("TunnelPolicy", SERVICE, "", "False/TargetNotFound"),
        (
            "TargetPolicy",
            SERVICE,
            ", algorithm: RANDOM",
            "True/Accepted",
        ),
        (
            "TargetPolicy",
            SERVICE,
            ", algorithm: BEST",
            "False/Invalid",
        ),
        ("TargetPolicy", SERVICE, ", targets: []", "False/Invalid"),
        (
            "TargetPolicy",
            SERVICE,
            ", caFile: /etc/passwd",
            "False/Invalid",
        ),
        ("TargetPolicy", EDGE, "", "False/TargetNotFound"),
    ] {
        let text = policy(kind, "p", targets, rest);
        let compiled = compile(&[BASE, &route(TO_A), &text]);
        let kind = match kind {
            "TunnelPolicy" => Kind::TunnelPolicy,
            _ => Kind::TargetPolicy,
        };
        let told = conditions(&compiled, kind, "infra/p");
        let target = ["edge", "r", "a"].map(|name| format!("infra/{name}: Accepted={reason}"));
        assert!(
            matches!(&told[..], [told] if target.contains(told)),
            "{text}: {told:?}"
        );
    }
    let twice = ["one", "two"].map(|name| policy("TunnelPolicy", name, EDGE, ""));
    let compiled = compile(&[BASE, &twice[0], &twice[1]]);
    let told = conditions(&compiled, Kind::TunnelPolicy, "infra/two");
    assert_eq!(told, ["infra/edge: Accepted=False/Conflicted"]);
}

#[test]
fn each_target_of_a_policy_is_told_by_itself() {
    let first = policy("TunnelPolicy", "a", EDGE, "");
    let other = ROUTE.replace("name: r", "name: other");
    let targets = format!("{EDGE}, {ROUTE}, {other}, {ROUTE}");
    let compiled = compile(&[
        BASE,
        &route(TO_A),
        &first,
        &policy("TunnelPolicy", "b", &targets, ""),
    ]);
    assert_eq!(
        conditions(&compiled, Kind::TunnelPolicy, "infra/b"),
        [
            "infra/edge: Accepted=False/Conflicted",
            "infra/r: Accepted=True/Accepted",
            "infra/other: Accepted=False/TargetNotFound",
        ]
    );
    let told = compiled.statuses.to_json("culvert.dev/gateway");
    let policies = told.iter().filter(|one| one["kind"] == "TunnelPolicy");
    let ancestors: Vec<_> = policies.map(|one| &one["status"]["ancestors"][0]).collect();
    assert_eq!(
        ancestors[0]["ancestorRef"],
        serde_json::json!({
            "group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "infra",
            "name": "edge",
        })
    );
    assert_eq!(ancestors[0]["controllerName"], "culvert.dev/gateway");
}

#[test]
fn a_problem_of_a_policy_has_the_path_of_the_object() {
    let text = policy("TunnelPolicy", "p", EDGE, ", tunnel: {idleTimeout: never}");
    let compiled = compile(&[BASE, &text]);
    let told = format!("{:?}", compiled.statuses);
    assert!(
        told.contains("\"spec.tunnel.idleTimeout: must be a duration"),
        "{told}"
    );
}

#[test]
fn what_no_condition_tells_is_noted() {
    let service = "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: infra},
        spec: {ports: [{port: 99999}]}}";
    let unused = "{apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy,
        metadata: {name: p, namespace: infra}, spec: {targetRefs: [{group: '', kind: Service,
        name: none}], validation: {hostname: a.example, wellKnownCACertificates: System}}}";
    let aimless = policy("TunnelPolicy", "t", "", "");
    let compiled = compile(&[BASE, service, unused, &aimless]);
    let told: Vec<_> = compiled.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "Service infra/s: spec.ports[0].port: must be an integer from 1 to 65535",
            "BackendTLSPolicy infra/p: no route of a Gateway has use for it",
            "TunnelPolicy infra/t: spec.targetRefs: must have at least one entry",
        ]
    );
    assert!(compiled.notes[0].place.line > 1);
}

#[test]
fn the_manifests_that_the_page_shows_are_read_without_a_flaw() {
    let page = include_str!("../../../docs/gateway-api.md");
    let blocks = page.split("```yaml gateway\n").skip(1);
    let blocks: Vec<_> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    let route = route_named("chat", "", TO_A).replace("infra", "apps");
    let route = route.replace("{name: edge}", "{name: edge, namespace: infra}");
    let compiled = compile(&[BASE, blocks[0], blocks[1], &route]);
    assert_eq!(compiled.notes, []);
    for kind in [Kind::TunnelPolicy, Kind::TargetPolicy] {
        let told = conditions(&compiled, kind, "apps/chat");
        assert_eq!(told, ["apps/chat: Accepted=True/Accepted"], "{kind:?}");
    }
}
