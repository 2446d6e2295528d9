//! The checks of a TargetPolicy, and what follows from them, have the effect that they have in the
//! configuration file: what is unhealthy, and what becomes of it.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use crate::harness::client::header;
use crate::harness::edge::get_now;
use crate::harness::target::{ok, refusing, switching_protocols};
use crate::harness::{Connection, Manifests, Target, eventually};

/// Asks often, and believes at once.
const OFTEN: &str = "checkInterval: 50ms, unhealthyThreshold: 1";

/// Endpoints under a policy for their Service.
async fn under(says: &str, endpoints: &[&Target]) -> Manifests {
    let addresses: Vec<_> = endpoints.iter().map(|one| one.address).collect();
    Manifests::under("TargetPolicy", "Service chat", says, &addresses).await
}

/// Waits until a request is answered with this status.
pub async fn becomes(edge: &Manifests, status: u16) {
    let mut last = String::new();
    let expected = format!("HTTP/1.1 {status}");
    eventually(&format!("the answer is {status}"), || {
        last = get_now(edge.gateway, "/").unwrap_or_default();
        last.starts_with(&expected).then_some(())
    })
    .await;
}

/// The head of a check for this path.
pub async fn check_of(target: &Target, path: &str) -> String {
    let asks = |head: &String| head.split(' ').nth(1) == Some(path);
    eventually("it is asked", || target.heads().into_iter().find(asks)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_check_tells_who_speaks_it() {
    let [speaks, other] = [Target::named("chat").await, Target::answering("no").await];
    let says = format!("healthCheck: {{type: WEBSOCKET, {OFTEN}}}");
    let edge = under(&says, &[&other]).await;
    becomes(&edge, 503).await;
    let edge = under(&says, &[&speaks, &other]).await;
    edge.answers("/", "chat").await;
    eventually("only one is left", || {
        let all = (0..6).map(|_| get_now(edge.gateway, "/").unwrap_or_default());
        all.into_iter()
            .all(|answer| answer.ends_with("chat"))
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_check_asks_as_the_policy_says() {
    let target = Target::named("chat").await;
    let says = format!(
        "healthCheck: {{type: WEBSOCKET, {OFTEN}, path: /ws?probe, host: chat.example, \
         headers: {{X-Probe: \"1\"}}, subprotocol: chat.v1}}"
    );
    let _edge = under(&says, &[&target]).await;
    let head = check_of(&target, "/ws?probe").await;
    assert_eq!(header(&head, "host"), Some("chat.example"));
    assert_eq!(header(&head, "x-probe"), Some("1"));
    assert_eq!(header(&head, "sec-websocket-protocol"), Some("chat.v1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_check_waits_for_a_pong_where_it_pings() {
    for (ping, expected) in [(true, 503), (false, 200)] {
        let target = Target::scripted(async |mut connection: Connection| {
            let head = connection.head().await;
            if header(&head, "upgrade").is_none() {
                return connection.send(ok("hello")).await;
            }
            connection.send(switching_protocols(&head)).await;
            drop(connection.to_end().await);
        })
        .await;
        let says =
            format!("healthCheck: {{type: WEBSOCKET, {OFTEN}, checkTimeout: 200ms, ping: {ping}}}");
        let edge = under(&says, &[&target]).await;
        becomes(&edge, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_check_asks_as_the_policy_says() {
    let keys = "path: /health, method: HEAD, host: chat.example, headers: {X-Probe: \"1\"}";
    for says in [
        format!("healthCheck: {{type: HTTP, {OFTEN}, {keys}}}"),
        format!("healthCheck: {{{OFTEN}}}, httpHealthCheck: {{{keys}}}"),
    ] {
        let target = Target::answering("hello").await;
        let _edge = under(&says, &[&target]).await;
        let head = check_of(&target, "/health").await;
        assert!(head.starts_with("HEAD "), "{head}");
        assert_eq!(header(&head, "host"), Some("chat.example"));
        assert_eq!(header(&head, "x-probe"), Some("1"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_check_goes_by_what_the_policy_says() {
    for (says, expected) in [
        ("response: \"200\"", 503),
        ("response: 200-299", 200),
        ("response: \"^4\", regex: true", 503),
        ("response: 200-299, negate: true", 503),
        ("matchType: RESPONSE_BODY, response: ready", 200),
        ("matchType: RESPONSE_BODY, response: gone", 503),
    ] {
        let target = Target::replying(|_, _| ok("ready").replace("200 OK", "202 Accepted")).await;
        for says in [
            format!("healthCheck: {{type: HTTP, {OFTEN}, {says}}}"),
            format!("healthCheck: {{{OFTEN}}}, httpHealthCheck: {{{says}}}"),
        ] {
            let edge = under(&says, &[&target]).await;
            match expected {
                503 => becomes(&edge, 503).await,
                _ => {
                    let before = target.heads().len();
                    eventually("it is checked", || {
                        (target.heads().len() > before + 3).then_some(())
                    })
                    .await;
                    becomes(&edge, 202).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_takes_too_long_has_failed() {
    let slow = async || {
        Target::scripted(async |mut connection: Connection| {
            let head = connection.head().await;
            if head.starts_with("GET /health ") {
                let _ = timeout(Duration::from_millis(700), pending::<()>()).await;
            }
            connection.send(ok("hello")).await;
        })
        .await
    };
    let target = slow().await;
    let says = format!("healthCheck: {{type: HTTP, {OFTEN}, path: /health, checkTimeout: 100ms}}");
    let edge = under(&says, &[&target]).await;
    becomes(&edge, 503).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_goes_to_the_port_that_the_policy_says() {
    let target = Target::answering("hello").await;
    let says = format!("healthCheck: {{{OFTEN}, port: {}}}", refusing().port());
    let edge = under(&says, &[&target]).await;
    becomes(&edge, 503).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_says_how_many_checks_turn_an_endpoint() {
    let target = Target::replying(|head, _| match head.contains("/health") {
        true => ok("").replace("200 OK", "500 X"),
        false => ok("hello"),
    })
    .await;
    let says = "healthCheck: {type: HTTP, path: /health, checkInterval: 50ms, \
                unhealthyThreshold: 5}";
    let edge = under(says, &[&target]).await;
    becomes(&edge, 503).await;
    let checks = target.heads();
    let checks = checks
        .iter()
        .filter(|head| head.contains("/health"))
        .count();
    assert!(checks >= 5, "{checks}");
}

/// An endpoint whose checks fail until it is told to pass them.
pub async fn recovering() -> (Target, Arc<AtomicBool>) {
    let passes = Arc::new(AtomicBool::new(false));
    let known = Arc::clone(&passes);
    let target = Target::replying(move |head, _| {
        let fails = head.contains("/health") && !known.load(Ordering::SeqCst);
        match fails {
            true => ok("").replace("200 OK", "500 X"),
            false => ok("hello"),
        }
    })
    .await;
    (target, passes)
}

/// Has an endpoint pass; how many checks it takes until it is used again.
pub async fn checks_until_it_is_back(
    edge: &Manifests,
    target: &Target,
    passes: &AtomicBool,
) -> usize {
    becomes(edge, 503).await;
    let before = target.heads().len();
    passes.store(true, Ordering::SeqCst);
    becomes(edge, 200).await;
    target.heads()[before..]
        .iter()
        .filter(|head| head.contains("/health"))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_says_how_many_checks_bring_an_endpoint_back() {
    let (target, passes) = recovering().await;
    let says = format!("healthCheck: {{type: HTTP, path: /health, {OFTEN}, healthyThreshold: 5}}");
    let edge = under(&says, &[&target]).await;
    let checks = checks_until_it_is_back(&edge, &target, &passes).await;
    assert!(checks >= 5, "{checks}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_says_how_often_another_endpoint_is_tried() {
    let target = Target::answering("hello").await;
    for (retries, expected) in [(0, 5), (1, 10)] {
        let says = format!(
            "healthCheck: {{retries: {retries}, checkInterval: 1h, unhealthyThreshold: 100}}"
        );
        let addresses = [refusing(), target.address];
        let edge = Manifests::under("TargetPolicy", "Service chat", &says, &addresses).await;
        let answers = (0..10).map(|_| get_now(edge.gateway, "/").unwrap());
        let good = answers.filter(|answer| answer.ends_with("hello")).count();
        assert_eq!(good, expected, "{retries}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_says_whether_all_are_used_where_none_is_healthy() {
    let target = Target::answering("hello").await;
    let check = format!("healthCheck: {{{OFTEN}, port: {}}}", refusing().port());
    let edge = under(&format!("{check}, failOpen: true"), &[&target]).await;
    edge.says("no target is healthy: all get requests").await;
    becomes(&edge, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_says_whether_the_tunnels_of_an_unhealthy_endpoint_are_closed() {
    let [target, checked] = [Target::mirror().await, Target::answering("").await];
    let port = checked.address.port();
    let says = format!(
        "healthCheck: {{{OFTEN}, port: {port}}}, onUnhealthy: close, deregistrationDelay: 100ms"
    );
    let edge = under(&says, &[&target]).await;
    let (mut client, _) = Connection::tunnel(edge.gateway, "/").await;
    drop(checked);
    let (opcode, code) = client.frame().await.unwrap();
    assert_eq!((opcode, code), (8, 1012_u16.to_be_bytes().to_vec()));
    client.leave(1012).await;
    assert_eq!(edge.log_line().await["closeReason"], "target_unhealthy");
}

/// An endpoint that fails whatever it is asked.
async fn failing() -> Target {
    Target::replying(|_, _| ok("").replace("200 OK", "500 X")).await
}

fn statuses(edge: &Manifests, count: usize) -> Vec<String> {
    let answers = (0..count).map(|_| get_now(edge.gateway, "/").unwrap());
    answers.map(|answer| answer[9..12].to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_says_after_how_many_failures_an_endpoint_is_left_out() {
    let target = failing().await;
    let says = "outlierDetection: {consecutiveFailures: 3, baseEjectionTime: 1h, \
                maxEjectionTime: 1h, maxEjectedPercent: 100}";
    let edge = under(says, &[&target]).await;
    assert_eq!(statuses(&edge, 5), ["500", "500", "500", "503", "503"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_says_for_how_long_an_endpoint_is_left_out() {
    let target = failing().await;
    let says = "outlierDetection: {consecutiveFailures: 1, baseEjectionTime: 200ms, \
                maxEjectionTime: 200ms, maxEjectedPercent: 100}";
    let edge = under(says, &[&target]).await;
    for _ in 0..3 {
        // Without an end of its own the time would be longer each time.
        becomes(&edge, 500).await;
        becomes(&edge, 503).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_says_how_many_endpoints_are_left_out_at_a_time() {
    let targets = [failing().await, failing().await];
    let says = "outlierDetection: {consecutiveFailures: 1, baseEjectionTime: 1h, \
                maxEjectionTime: 1h, maxEjectedPercent: 50}";
    let edge = under(says, &[&targets[0], &targets[1]]).await;
    assert_eq!(statuses(&edge, 10), ["500"; 10]);
    let counts = targets.each_ref().map(|target| target.heads().len());
    assert_eq!(counts.iter().min(), Some(&1), "{counts:?}");
}
