//! Checks ask what a target is for, and tell what they saw.

use std::net::SocketAddr;

use serde_json::Value;

use crate::harness::client::header;
use crate::harness::target::{ok, switching_protocols, unresponsive};
use crate::harness::tls::{Answering, Authority};
use crate::harness::{Config, Connection, Edge, Target, eventually};

/// Asks often, and believes at once.
pub const OFTEN: &str = "checkInterval: 50, unhealthyThreshold: 1";

#[tokio::test]
async fn a_websocket_check_sees_what_a_tcp_check_misses() {
    let upgrades = Target::echo().await;
    let broken = Target::answering("no WebSockets here").await;
    let targets = [upgrades.address, broken.address];
    for (check, is_healthy) in [("type: TCP", true), ("type: WEBSOCKET, ping: true", false)] {
        let edge = Edge::start(&Config::to_group(
            &format!("healthCheck: {{{check}, {OFTEN}}}"),
            &targets,
        ))
        .await;
        checked(&edge, upgrades.address, "passed", 3.0).await;
        let result = if is_healthy { "passed" } else { "failed" };
        checked(&edge, broken.address, result, 3.0).await;
        edge.metric_becomes(&of("target_healthy", upgrades.address), 1.0)
            .await;
        let expected = f64::from(u8::from(is_healthy));
        edge.metric_becomes(&of("target_healthy", broken.address), expected)
            .await;
        if !is_healthy {
            let last = &status(&edge, broken.address)["lastCheck"];
            let reason = "the handshake was answered with status 200";
            assert_eq!(
                (&last["result"], &last["reason"]),
                (&"failed".into(), &reason.into())
            );
            let line = format!(
                "target group group: target {} is unhealthy: 1 check failed, the last: {reason}",
                broken.address
            );
            edge.says(&line).await;
            let last = &status(&edge, upgrades.address)["lastCheck"];
            assert_eq!(
                (&last["result"], last.get("reason")),
                (&"passed".into(), None)
            );
        }
    }
}

#[tokio::test]
async fn a_reload_changes_what_is_asked_and_how_often() {
    let target = Target::answering("no WebSockets here").await;
    let edge = Edge::start(&Config::to_group(
        "healthCheck: {checkInterval: 1h}",
        &[target.address],
    ))
    .await;
    checked(&edge, target.address, "passed", 1.0).await;

    let check = format!("healthCheck: {{type: WEBSOCKET, {OFTEN}}}");
    edge.reload(&Config::to_group(&check, &[target.address]))
        .await;

    is_healthy(&edge, target.address, false).await;
    assert_eq!(edge.get("/").await.status, 503);
    edge.reload(&Config::to_group(
        "healthCheck: {checkInterval: 50}",
        &[target.address],
    ))
    .await;
    is_healthy(&edge, target.address, true).await;
    assert_eq!(edge.get("/").await.status, 200);
}

#[tokio::test]
async fn an_http_check_goes_by_the_status_or_the_body() {
    let rows = [
        ("", 200, "", true),
        ("", 302, "", true),
        ("", 404, "", false),
        ("response: \"200\"", 204, "", false),
        ("response: \"404\", negate: true", 404, "", false),
        ("response: \"^[23]\", regex: true", 301, "", true),
        (
            "matchType: RESPONSE_BODY, response: ready",
            500,
            "it is ready",
            true,
        ),
        (
            "matchType: RESPONSE_BODY, response: ready",
            200,
            "it is not",
            false,
        ),
        (
            "matchType: RESPONSE_BODY, response: \"^OK$\", regex: true",
            200,
            "OK",
            true,
        ),
        (
            "matchType: RESPONSE_BODY, response: stopping, negate: true",
            200,
            "stopping",
            false,
        ),
    ];
    for separate in [false, true] {
        let mut targets = Vec::new();
        let mut config = Config::new().http_rules("{name: all, type: FORWARD, targetGroup: g0}");
        for (row, (settings, status, body, _)) in rows.into_iter().enumerate() {
            let target = Target::replying(move |_, _| {
                let length = body.len();
                format!(
                    "HTTP/1.1 {status} X\r\nLocation: /\r\nContent-Length: {length}\r\n\r\n{body}"
                )
            })
            .await;
            let settings = format!("path: /health, {settings}");
            let check = match separate {
                true => format!("healthCheck: {{{OFTEN}}}, httpHealthCheck: {{{settings}}}"),
                false => format!("healthCheck: {{type: HTTP, {OFTEN}, {settings}}}"),
            };
            config = config
                .add_group(&format!("g{row}"))
                .group(&check)
                .target(target.address, "");
            targets.push(target);
        }
        let edge = Edge::start(&config).await;
        for (row, (settings, status, _, is_healthy)) in rows.into_iter().enumerate() {
            let target = targets[row].address;
            let labels = |name: &str, first: &str| {
                format!("{name}{{{first}target=\"{target}\",target_group=\"g{row}\"}}")
            };
            let result = if is_healthy { "passed" } else { "failed" };
            let checks = labels("health_checks_total", &format!("result=\"{result}\","));
            let what = format!("{settings} has {result} with {status}");
            eventually(&what, || (edge.metric(&checks) >= 2.0).then_some(())).await;
            let expected = f64::from(u8::from(is_healthy));
            let healthy = labels("target_healthy", "");
            edge.metric_becomes(&healthy, expected).await;
            assert!(targets[row].heads()[0].starts_with("GET /health HTTP/1.1\r\n"));
        }
    }
}

#[tokio::test]
async fn checks_of_targets_in_tls_go_over_tls() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.issue("one", &["chat.internal"]);
    let target = authority
        .target("one", async |mut connection: Answering| {
            let head = connection.head().await;
            assert_eq!(header(&head, "host"), Some("chat.internal"));
            match header(&head, "upgrade") {
                Some(_) => {
                    connection.send(switching_protocols(&head)).await;
                    connection.echo_messages().await;
                }
                None => connection.send(ok("hello")).await,
            }
        })
        .await;
    for (trusted, result) in [(&authority, "passed"), (&stranger, "failed")] {
        for check in ["type: HTTP", "type: WEBSOCKET"] {
            let file = trusted.file("ca.crt").display().to_string();
            let settings = format!(
                "protocol: HTTPS, serverName: chat.internal, caFile: {file},
                healthCheck: {{{check}, {OFTEN}}}"
            );
            let configuration = Config::to_group(&settings, &[target.address]);
            let edge = Edge::start(&configuration).await;
            checked(&edge, target.address, result, 2.0).await;
            let last = status(&edge, target.address)["lastCheck"].take();
            assert_eq!(last["result"], result, "{last}");
            if result == "failed" {
                let reason = last["reason"].as_str().unwrap();
                assert!(reason.starts_with("no TLS: "), "{reason}");
            }
        }
    }
}

#[tokio::test]
async fn a_check_of_a_target_that_wants_the_proxy_protocol_names_no_client() {
    for (version, begin) in [
        ("v1", &b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n"[..]),
        ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET / HTTP/1.1\r\n"),
    ] {
        let target = Target::scripted(move |mut connection: Connection| async move {
            let found = connection.exactly(begin.len()).await;
            if found == begin {
                connection.head().await;
                connection.send(ok("")).await;
            }
        })
        .await;
        let settings = format!("healthCheck: {{type: HTTP, {OFTEN}}}");
        let configuration = Config::to_group(&settings, &[])
            .target(target.address, &format!("proxyProtocol: {version}"));
        let edge = Edge::start(&configuration).await;
        checked(&edge, target.address, "passed", 2.0).await;
        edge.metric_becomes(&of("target_healthy", target.address), 1.0)
            .await;
    }
}

#[tokio::test]
async fn a_target_that_lets_its_check_wait_delays_no_others() {
    let (silent, target) = (unresponsive(), Target::answering("hello").await);
    let settings = "healthCheck: {checkInterval: 20, checkTimeout: 30s}";
    let edge = Edge::start(&Config::to_group(settings, &[silent, target.address])).await;

    checked(&edge, target.address, "passed", 10.0).await;

    for result in ["passed", "failed"] {
        assert_eq!(edge.metric(&checks(silent, result)), 0.0);
    }
}

/// The status of the answer to a request.
pub async fn ask(edge: &Edge, request: &str) -> u16 {
    let mut client = edge.connect().await;
    client.send(request).await;
    client.answer().await.status
}

pub fn of(name: &str, target: SocketAddr) -> String {
    format!("{name}{{target=\"{target}\",target_group=\"group\"}}")
}

pub fn checks(target: SocketAddr, result: &str) -> String {
    format!("health_checks_total{{result=\"{result}\",target=\"{target}\",target_group=\"group\"}}")
}

/// Waits until this many checks of a target had this result.
pub async fn checked(edge: &Edge, target: SocketAddr, result: &str, count: f64) {
    let (metric, what) = (
        checks(target, result),
        format!("{count} checks have {result}"),
    );
    eventually(&what, || (edge.metric(&metric) >= count).then_some(())).await;
}

pub async fn is_healthy(edge: &Edge, target: SocketAddr, is_healthy: bool) {
    let metric = of("target_healthy", target);
    let expected = f64::from(u8::from(is_healthy));
    let what = format!("{metric} is {expected}");
    eventually(&what, || (edge.metric(&metric) == expected).then_some(())).await;
}

/// What the status says of a target.
pub fn status(edge: &Edge, target: SocketAddr) -> Value {
    let page = edge.admin_page("/api/v1/status");
    let (_, body) = page.split_once("\r\n\r\n").unwrap();
    let mut status: Value = serde_json::from_str(body).unwrap();
    let targets = status["targetGroups"][0]["targets"].as_array_mut().unwrap();
    let address = target.to_string();
    let found = targets.iter_mut().find(|one| one["address"] == address);
    found.expect("the target is there").take()
}
