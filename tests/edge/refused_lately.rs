//! `GET /api/v1/refusals`: who was refused lately, and why.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use crate::harness::admin::{get, send};
use crate::harness::client::handshake;
use crate::harness::target::refusing;
use crate::harness::{Authority, Config, Connection, Edge, eventually};

const REFUSALS: &str = "/api/v1/refusals";

/// The answer, once it has so many refusals.
async fn refusals(edge: &Edge, query: &str, count: usize) -> Value {
    eventually(&format!("{count} refusals are told"), || {
        let found = get(edge, &format!("{REFUSALS}{query}"));
        (found["refusals"].as_array()?.len() == count).then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_is_told_with_its_client_its_rule_and_its_reason() {
    let config =
        Config::forwarding_to(&[refusing()]).http_rule("allowedOrigins: [\"https://a.example\"]");
    let edge = Edge::start(&config).await;
    let request = handshake("/chat", "Origin: https://b.example\r\n");
    assert_eq!(edge.request(&request).await.status, 403);
    let answer = refusals(&edge, "", 1).await;
    let refused = &answer["refusals"][0];
    for (key, expected) in [
        ("number", Value::from(1)),
        ("clientIp", "127.0.0.1".into()),
        ("forwardingRule", "edge".into()),
        ("reason", "origin".into()),
        ("httpStatusCode", 403.into()),
        ("origin", "https://b.example".into()),
        ("error", "the origin is not allowed".into()),
    ] {
        assert_eq!(refused[key], expected, "{key}: {refused}");
    }
    let port = refused["clientPort"].as_u64();
    assert!(port > Some(0) && refused["time"].as_str().unwrap().ends_with('Z'));

    assert_eq!(edge.get("/lost?token=secret").await.status, 503);
    let after = format!("?since={}", answer["count"]);
    let next = refusals(&edge, &after, 1).await;
    assert_eq!(next["refusals"][0]["reason"], "no_target");
    assert!(!next.to_string().contains("secret"), "{next}");
    assert_eq!(next["count"], 2);
    assert_eq!(refusals(&edge, "?since=1h", 2).await["count"], 2);
    // Of a process before this one.
    refusals(&edge, "?since=1000000", 2).await;
    refusals(&edge, "?since=2999-01-01T00:00:00Z", 0).await;
    assert_eq!(send(&edge, "GET", &format!("{REFUSALS}?since=soon")).0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gets_no_answer_is_told_too() {
    let authority = Authority::new();
    let config = Config::answering("hello").tls(&authority, &["localhost"]);
    let edge = Edge::start(&config.rule("maxTlsHandshakesPerSecondPerClient: 1")).await;
    for number in [1, 1] {
        let client = IpAddr::from(Ipv4Addr::new(127, 0, 0, number));
        let mut connection = Connection::open_from(client, edge.address).await;
        // No ClientHello.
        connection.send([0x16, 3, 1, 0, 1, 9]).await;
        connection.has_more().await;
    }
    let told = refusals(&edge, "", 2).await;
    let reasons: Vec<_> = told["refusals"].as_array().unwrap().iter().collect();
    let is = |reason: &str| reasons.iter().any(|refused| refused["reason"] == reason);
    assert!(
        is("tls_handshake") && is("max_tls_handshakes_per_second_per_client"),
        "{told}"
    );
    assert!(reasons[0].get("httpStatusCode").is_none());
}
