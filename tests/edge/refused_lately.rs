//! `GET /api/v1/refusals`: who was refused lately, and why.

use serde_json::Value;

use crate::harness::admin::{get, send};
use crate::harness::client::handshake;
use crate::harness::target::refusing;
use crate::harness::{Authority, Config, Edge, Target, eventually, soon, tls};

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
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let key = "maxTlsHandshakesPerSecondPerClient: 1";
    let edge = tls::start(&authority, key, &target).await;
    let reasons = ["tls_handshake", "max_tls_handshakes_per_second_per_client"];
    let is_told = |told: &Value, reason: &str| {
        let told = told["refusals"].as_array().unwrap();
        let found = told.iter().find(|refused| refused["reason"] == reason);
        found.is_some_and(|found| {
            assert_eq!(
                (&found["clientIp"], found.get("httpStatusCode")),
                (&"127.0.0.1".into(), None)
            );
            true
        })
    };
    soon("both are told", async {
        while {
            let told = get(&edge, REFUSALS);
            !reasons.iter().all(|reason| is_told(&told, reason))
        } {
            let mut connection = edge.connect().await;
            // No record of TLS.
            connection.send([0xff; 16]).await;
            connection.has_more().await;
        }
    })
    .await;
}
