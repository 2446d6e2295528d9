//! `requestTimeout` and `attemptTimeout` of a rule: how long a request may take, whatever happens
//! meanwhile, and how long one try.

use std::time::Duration;

use crate::harness::client::HANDSHAKE;
use crate::harness::http2::{Http2, get};
use crate::harness::target::unresponsive;
use crate::harness::{Config, Connection, Edge, Target};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";

/// A target that says this and then no more.
async fn saying(text: &'static str) -> Target {
    Target::scripted(move |mut connection: Connection| async move {
        connection.head().await;
        connection.send(text).await;
        connection.to_end().await;
    })
    .await
}

fn config(target: &Target, keys: &str) -> Config {
    let group = "responseTimeout: 60s, connectTimeout: 60s";
    Config::to_group(group, &[target.address])
        .http_rule(keys)
        .rule("h2c: true")
}

#[tokio::test]
async fn a_request_and_a_try_that_take_too_long_are_answered_with_504() {
    let target = saying("").await;
    for (keys, reason, key) in [
        ("requestTimeout: 300ms", "request_timeout", "requestTimeout"),
        (
            "requestTimeout: 60s, attemptTimeout: 300ms",
            "attempt_timeout",
            "attemptTimeout",
        ),
    ] {
        let edge = Edge::start(&config(&target, keys)).await;
        assert_eq!(edge.get("/").await.status, 504, "{keys}");
        let mut client = Http2::connect(edge.address).await;
        assert_eq!(
            client.ask(get("/"), "").await.status(),
            504,
            "{keys} in HTTP/2"
        );
        edge.refused(reason, 2).await;
        for line in edge.log_lines(2).await {
            assert!(line["error"].as_str().unwrap().ends_with(key), "{line}");
            assert_eq!(line["closeReason"], "refused");
        }
    }
}

#[tokio::test]
async fn an_answer_that_has_begun_is_cut_off_at_the_end_of_the_time() {
    let target = saying(HEAD).await;
    let edge = Edge::start(&config(&target, "requestTimeout: 300ms")).await;
    let mut client = edge.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.to_end().await, b"");
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "target_error");
    assert!(
        line["error"].as_str().unwrap().ends_with("requestTimeout"),
        "{line}"
    );
}

#[tokio::test]
async fn a_target_that_cannot_be_connected_to_in_time_is_504_too() {
    let target = unresponsive();
    for (key, reason) in [
        ("requestTimeout", "request_timeout"),
        ("attemptTimeout", "attempt_timeout"),
    ] {
        let config = Config::to_group("connectTimeout: 60s", &[target]);
        let edge = Edge::start(&config.http_rule(&format!("{key}: 300ms"))).await;
        assert_eq!(edge.get("/").await.status, 504, "{key}");
        edge.refused(reason, 1).await;
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_does_not_stop_the_clock() {
    let target = saying("").await;
    let edge = Edge::start(&config(&target, "requestTimeout: 300ms")).await;
    let mut client = edge.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
        .await;
    assert_eq!(client.answer().await.status, 504);
    edge.refused("request_timeout", 1).await;
}

#[tokio::test]
async fn a_tunnel_is_bounded_up_to_its_101_and_no_longer() {
    let slow = saying("").await;
    let edge = Edge::start(&config(&slow, "requestTimeout: 300ms")).await;
    assert_eq!(edge.request(HANDSHAKE).await.status, 504);
    let target = Target::named("target").await;
    let edge = Edge::start(&config(&target, "requestTimeout: 1s, attemptTimeout: 1s")).await;
    let mut tunnel = edge.tunnel().await.0;
    tokio::time::timeout(Duration::from_millis(1500), tunnel.has_more())
        .await
        .expect_err("it goes on");
    tunnel.say_hi().await;
}

#[tokio::test]
async fn no_time_is_no_limit() {
    let target = Target::answering("hello").await;
    let keys = "requestTimeout: 0s, attemptTimeout: 0s";
    let edge = Edge::start(&config(&target, keys)).await;
    assert_eq!(edge.get("/").await.text(), "hello");
}
