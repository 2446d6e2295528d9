//! What is done, and what is not, while memory is short: a reload with a limit of 1 MiB makes it
//! so, and one without ends it.

use std::io::ErrorKind;

use tokio::io::AsyncReadExt as _;

use crate::harness::admin;
use crate::harness::client::HANDSHAKE;
use crate::harness::http2::{Http2, Stream, get, websocket};
use crate::harness::{Answer, Config, Connection, Edge, Target, eventually, soon};

const GET: &str = "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n";

fn configuration(target: &Target) -> Config {
    Config::forwarding_to(&[target.address])
        .rule("clientTimeout: 50s, h2c: true")
        .group("responseTimeout: 50s")
}

/// A Culvert that has enough.
async fn start(target: &Target) -> Edge {
    Edge::start(&configuration(target)).await
}

/// Makes memory short, and waits until everything is done about it that is.
async fn run_short(edge: &Edge, target: &Target) {
    edge.reload(&configuration(target).server("memory: {limit: 1MiB}"))
        .await;
    level(edge, 3.0).await;
}

/// Gives it back.
async fn recover(edge: &Edge, target: &Target) {
    edge.reload(&configuration(target)).await;
    level(edge, 0.0).await;
}

async fn level(edge: &Edge, level: f64) {
    let is = || (edge.metric("memory_level") == level).then_some(());
    eventually(&format!("the level is {level}"), is).await;
}

fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 503);
    assert_eq!(answer.text(), "503 memory is short\n");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_comes_back(answer.header("retry-after").unwrap());
}

fn assert_comes_back(seconds: &str) {
    assert!((5..=15).contains(&seconds.parse::<u64>().unwrap()));
}

#[tokio::test]
async fn new_connections_are_refused_while_tunnels_go_on_and_served_when_it_is_over() {
    let target = Target::named("target").await;
    let edge = start(&target).await;
    let (mut tunnel, _) = edge.tunnel().await;
    run_short(&edge, &target).await;

    for request in [GET, HANDSHAKE] {
        assert_refused(&edge.request(request).await);
    }

    tunnel.say_hi().await;
    assert_eq!(edge.refusals("memory"), 2.0);
    for line in edge.log_lines(2).await {
        assert_eq!(line["closeReason"], "refused");
        assert_eq!(line["error"], "memory is short");
    }
    recover(&edge, &target).await;
    assert_eq!(edge.get("/").await.text(), "target");
    edge.tunnel().await.0.say_hi().await;
    tunnel.say_hi().await;
}

#[tokio::test]
async fn a_connection_of_http_2_with_a_tunnel_stays_and_refuses_new_streams_without_a_body() {
    let target = Target::named("target").await;
    let edge = start(&target).await;
    let mut client = Http2::connect(edge.address).await;
    let mut tunnel = client.tunnel("/chat").await;
    run_short(&edge, &target).await;

    for request in [get("/plain"), websocket("/chat")] {
        let reply = client.ask(request, "").await;
        assert_eq!((reply.status(), reply.text()), (503, ""));
        assert_comes_back(reply.head.headers()["retry-after"].to_str().unwrap());
    }

    tunnel.say_hi().await;
    assert_eq!(edge.refusals("memory"), 2.0);
    assert_eq!(edge.log_lines(2).await[0]["error"], "memory is short");
    recover(&edge, &target).await;
    assert_eq!(client.ask(get("/"), "").await.text(), "target");
    tunnel.say_hi().await;
}

#[tokio::test]
async fn idle_connections_are_let_go() {
    let target = Target::named("target").await;
    let edge = start(&target).await;
    let mut kept = edge.connect().await;
    kept.send(GET).await;
    assert_eq!(kept.answer().await.status, 200);
    let mut silent = edge.connect().await;
    let mut streamless = Http2::connect(edge.address).await;
    assert_eq!(streamless.ask(get("/"), "").await.status(), 200);

    run_short(&edge, &target).await;

    assert_eq!(kept.to_end().await, b"");
    assert_eq!(silent.to_end().await, b"");
    streamless.is_sent_away().await;
}

/// A stream and a connection whose answers nobody takes.
async fn stalled(edge: &Edge) -> (Http2, Stream, Connection) {
    let mut client = Http2::connect(edge.address).await;
    let (stream, _) = client.begin(get("/stream")).await;
    let mut connection = edge.connect().await;
    connection.send(GET).await;
    connection.head().await;
    (client, stream, connection)
}

#[tokio::test]
async fn plain_requests_are_reset_and_logged_as_such() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
        connection.send(head.to_owned() + &"x".repeat(4096)).await;
        std::future::pending().await
    })
    .await;
    let edge = start(&target).await;
    let (_client, stream, connection) = stalled(&edge).await;
    let mut slow = edge.connect().await;
    slow.send("GET /slow HTTP/1.1\r\n").await;

    run_short(&edge, &target).await;

    let lines = edge.log_lines(3).await;
    for line in &lines {
        assert_eq!(line["closeReason"], "memory", "{line}");
    }
    let reset = |line: &&serde_json::Value| line["error"] == "reset, for memory is short";
    assert_eq!(lines.iter().filter(reset).count(), 2);
    assert!(edge.metric("memory_resets_total") >= 3.0);
    for connection in [connection, slow] {
        let (mut socket, mut rest) = connection.into_parts();
        let end = soon("the end", socket.read_to_end(&mut rest)).await;
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    Connection::over(stream).to_end().await;
}

#[tokio::test]
async fn operators_are_told_on_every_way_and_reach_the_process_on_each() {
    let target = Target::named("target").await;
    let edge = start(&target).await;
    let memory = || admin::get(&edge, "/api/v1/status")["memory"].take();
    assert_eq!(memory()["level"], "ample");

    run_short(&edge, &target).await;

    let told = memory();
    assert_eq!(
        (&told["level"], &told["limitBytes"]),
        (&"resetting".into(), &(1 << 20).into())
    );
    assert!(told["usedBytes"].as_u64().unwrap() > 1 << 20);
    assert!(edge.admin_page("/readyz").contains(" 200 "));
    let warnings = || edge.diagnostics().matches("WARN memory: ").count();
    eventually("a warning says so", || (warnings() == 1).then_some(())).await;
    let healthy = format!(
        "health_checks_total{{result=\"passed\",target=\"{}\",target_group=\"group\"}}",
        target.address
    );
    let checks = edge.metric(&healthy);
    eventually("health is checked", || {
        (edge.metric(&healthy) > checks).then_some(())
    })
    .await;
    recover(&edge, &target).await;
    assert_eq!(memory()["level"], "ample");
}
