//! Each key of Azure's HealthCheckPolicy has an effect on traffic.

use std::future::pending;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::gateway_target_checks::{becomes, check_of, checks_until_it_is_back, recovering};
use crate::harness::client::header;
use crate::harness::manifests::{route, service};
use crate::harness::target::{ok, refusing};
use crate::harness::tls::TARGET_HOST;
use crate::harness::{Authority, Connection, Manifests, Target, eventually};
use crate::subject_names;

/// A check of the Service `chat` that says this.
pub fn check_policy(says: &str) -> String {
    format!(
        "---\napiVersion: alb.networking.azure.io/v1\nkind: HealthCheckPolicy\n\
         metadata: {{name: policy, namespace: apps}}\n\
         spec: {{targetRef: {{group: \"\", kind: Service, name: chat}}, {says}}}\n"
    )
}

/// An endpoint under a policy.
pub async fn under(says: &str, target: &Target) -> Manifests {
    let all = route("chat", "/", "chat") + &service("chat", &[target.address]);
    let edge = Manifests::with(&(all + &check_policy(says))).await;
    let told = edge.status("HealthCheckPolicy", "apps/policy");
    assert_eq!(told["conditions"][0]["message"], "Valid HealthCheckPolicy");
    edge
}

/// An endpoint that answers checks with a status and a body, and all else well.
async fn checked_with(status: &'static str, body: &'static str) -> Target {
    Target::replying(move |head, _| match head.contains("/health") {
        true => ok(body).replace("200 OK", status),
        false => ok("hello"),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_asks_for_its_path_and_host() {
    let target = Target::answering("hello").await;
    let says = "default: {interval: 100ms, http: {path: /health, host: chat.example}}";
    let _edge = under(says, &target).await;
    let head = check_of(&target, "/health").await;
    assert_eq!(header(&head, "host"), Some("chat.example"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_goes_by_the_status_codes_that_the_policy_says() {
    let target = checked_with("204 No Content", "").await;
    let codes = |start: u16, end: u16| {
        format!(
            "default: {{interval: 50ms, unhealthyThreshold: 1, http: {{path: /health, \
             match: {{statusCodes: [{{start: {start}, end: {end}}}]}}}}}}"
        )
    };
    let edge = under(&codes(200, 203), &target).await;
    becomes(&edge, 503).await;
    let edge = under(&codes(204, 299), &target).await;
    let before = target.heads().len();
    eventually("it is checked", || {
        (target.heads().len() > before + 3).then_some(())
    })
    .await;
    becomes(&edge, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_goes_by_the_body_that_the_policy_says() {
    let target = checked_with("200 OK", "stopping").await;
    let says = "default: {interval: 50ms, unhealthyThreshold: 1, \
                http: {path: /health, match: {body: ready}}}";
    let edge = under(says, &target).await;
    becomes(&edge, 503).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_goes_by_status_codes_and_body_together() {
    let says = |body: &str, start: u16| {
        format!(
            "default: {{interval: 50ms, unhealthyThreshold: 1, http: {{path: /health, \
             match: {{body: {body}, statusCodes: [{{start: {start}, end: 299}}]}}}}}}"
        )
    };
    let target = checked_with("206 X", "ready").await;
    for (body, start, expected) in [
        ("ready", 207, 503),
        ("going", 200, 503),
        ("ready", 200, 200),
    ] {
        let edge = under(&says(body, start), &target).await;
        let before = target.heads().len();
        eventually("it is checked", || {
            (target.heads().len() > before + 3).then_some(())
        })
        .await;
        becomes(&edge, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocol_decides_what_is_asked_where_nothing_else_does() {
    let target = Target::answering("hello").await;
    let _edge = under("default: {interval: 50ms, protocol: HTTP}", &target).await;
    let head = check_of(&target, "/").await;
    assert!(head.starts_with("GET / "), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_says_how_many_checks_turn_an_endpoint() {
    let target = checked_with("500 X", "").await;
    let says = "default: {interval: 50ms, unhealthyThreshold: 5, http: {path: /health}}";
    let edge = under(says, &target).await;
    becomes(&edge, 503).await;
    let checks = target.heads();
    let checks = checks.iter().filter(|head| head.contains("/health"));
    assert!(checks.count() >= 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_says_how_many_checks_bring_an_endpoint_back() {
    let (target, passes) = recovering().await;
    let says = "default: {interval: 50ms, unhealthyThreshold: 1, healthyThreshold: 5, \
                http: {path: /health}}";
    let edge = under(says, &target).await;
    let checks = checks_until_it_is_back(&edge, &target, &passes).await;
    assert!(checks >= 5, "{checks}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_says_how_often_it_is_asked() {
    let target = Target::answering("hello").await;
    let says = "default: {interval: 100ms, http: {path: /health}}";
    let began = Instant::now();
    let _edge = under(says, &target).await;
    eventually("it is asked eight times", || {
        (target.heads().len() >= 8).then_some(())
    })
    .await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(600), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_says_how_long_a_check_may_take() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        if head.contains("/health") {
            let _ = timeout(Duration::from_millis(700), pending::<()>()).await;
        }
        connection.send(ok("hello")).await;
    })
    .await;
    let says = "default: {interval: 50ms, timeout: 100ms, unhealthyThreshold: 1, \
                http: {path: /health}}";
    let edge = under(says, &target).await;
    becomes(&edge, 503).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_goes_to_the_port_that_the_policy_says_and_opens_a_connection() {
    let target = Target::answering("hello").await;
    let port = refusing().port();
    let says = format!("default: {{interval: 50ms, unhealthyThreshold: 1, port: {port}}}");
    let edge = under(&says, &target).await;
    becomes(&edge, 503).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_overrides_comes_before_the_default() {
    let target = Target::answering("hello").await;
    let says = format!(
        "default: {{interval: 50ms, unhealthyThreshold: 1}}, \
         override: {{interval: 50ms, unhealthyThreshold: 1, port: {}}}",
        refusing().port()
    );
    let edge = under(&says, &target).await;
    becomes(&edge, 503).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_speaks_tls_where_endpoints_do_and_the_policy_may_say_so() {
    let authority = Authority::new();
    authority.issue("chat", &[TARGET_HOST]);
    for (names, expected) in [(TARGET_HOST, 200), ("other.example", 503)] {
        let target = authority.serving("chat").await;
        let says = "default: {interval: 50ms, unhealthyThreshold: 1, useTLS: true, \
                    http: {path: /health}}";
        let all = route("chat", "/", "chat")
            + &service("chat", &[target.address])
            + &subject_names::policy(&authority, names)
            + &check_policy(says);
        let edge = Manifests::with(&all).await;
        let told = edge.status("HealthCheckPolicy", "apps/policy");
        assert_eq!(told["conditions"][0]["message"], "Valid HealthCheckPolicy");
        becomes(&edge, expected).await;
        let metric = format!(
            "target_healthy{{target=\"{}\",target_group=\"apps/chat:8080\"}}",
            target.address
        );
        edge.metric_becomes(&metric, f64::from(u8::from(expected == 200)))
            .await;
    }
}
