//! No client can have a target ejected: what its own request causes is not counted as the target's
//! failure.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::interval;
use tokio_tungstenite::tungstenite::Bytes;

use crate::harness::client::handshake;
use crate::harness::config::ONE_IS_ENOUGH;
use crate::harness::http2::{Http2, get, websocket};
use crate::harness::target::ok;
use crate::harness::{Config, Connection, Edge, Target, eventually};

const CRASH: &str = "GET /close HTTP/1.1\r\nHost: a\r\n\r\n";

/// Forwards to one target, which the first failure ejects, with short clocks.
fn strict(target: &Target) -> Config {
    Config::forwarding_to(&[target.address])
        .rule("h2c: true, clientTimeout: 300")
        .group("responseTimeout: 300")
        .group(ONE_IS_ENOUGH)
}

/// A target that does what the path says as soon as it has a head.
async fn obeying() -> Target {
    Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        let status = match head.split([' ', '/']).nth(2).unwrap() {
            "close" => return,
            "wait" => return drop(connection.to_end().await),
            // No request is to come on a connection that ends.
            "200" => {
                let closing = "\r\nConnection: close\r\n\r\n";
                let answer = ok("no WebSocket").replace("\r\n\r\n", closing);
                return connection.send(answer).await;
            }
            status => status.to_owned(),
        };
        let answer =
            format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        connection.send(answer).await;
    })
    .await
}

/// A failure of the target's own is noticed: the others were not overlooked.
async fn a_crash_counts(edge: &Edge, target: &Target) {
    assert_eq!(edge.ejections(target.address), 0.0);
    let mut client = edge.connect().await;
    client.send(CRASH).await;
    assert_eq!(client.answer().await.status, 502);
    let is_counted = || (edge.ejections(target.address) == 1.0).then_some(());
    eventually("the failure is counted", is_counted).await;
}

#[tokio::test]
async fn what_a_client_asks_for_is_not_the_targets_failure() {
    let target = obeying().await;
    let edge = Edge::start(&strict(&target)).await;
    let asking = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let long = format!("Cookie: a={}\r\n", "b".repeat(20_000));
    let handshake = |path| handshake(path, "");
    for (request, status) in [
        (handshake("/200"), 200),
        (handshake("/404"), 404),
        (handshake("/close"), 502),
        (handshake("/wait"), 504),
        (
            handshake("/200").replace("websocket", "websocket, foo"),
            200,
        ),
        (asking("FOO /501", ""), 501),
        (asking("GET /505", ""), 505),
        (asking("FOO /close", ""), 502),
        (asking("GET /close", &long), 502),
        (asking("GET /close", "X-A: \u{e9}\r\n"), 502),
        (asking("GET /close", "Expect: a-miracle\r\n"), 502),
        (asking("GET /close/\u{e9}", ""), 502),
        (asking("POST /500", "Content-Length: 9\r\n"), 500),
        (asking("POST /close", "Content-Length: 9\r\n"), 502),
        (asking("POST /wait", "Content-Length: 9\r\n"), 408),
    ] {
        let mut client = edge.connect().await;
        client.send(&request).await;
        let line = &request[..request.len().min(100)];
        assert_eq!(client.answer().await.status, status, "{line}");
        assert_eq!(edge.ejections(target.address), 0.0, "{line}");
    }
    a_crash_counts(&edge, &target).await;
}

#[tokio::test]
async fn a_handshake_in_http_2_that_leads_to_a_page_is_not_the_targets_failure() {
    let target = obeying().await;
    let edge = Edge::start(&strict(&target)).await;
    let mut client = Http2::connect(edge.address).await;
    let (_stream, answer) = client.begin(websocket("/200")).await;
    assert_eq!(answer.status(), 502);
    a_crash_counts(&edge, &target).await;
}

#[tokio::test]
async fn a_client_that_goes_away_or_dawdles_leaves_no_mark_on_the_target() {
    let target = obeying().await;
    let edge = Edge::start(&strict(&target)).await;
    let head = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    for request in [
        head("GET /wait", ""),
        head("POST /wait", "Content-Length: 9\r\n") + "a",
        head("POST /wait", "Transfer-Encoding: chunked\r\n") + "1\r\na\r\n",
    ] {
        for is_reset in [true, false] {
            let connections = target.connections();
            let mut client = edge.connect().await;
            client.send(&request).await;
            let is_asked = || (target.connections() > connections).then_some(());
            eventually("the target is asked", is_asked).await;
            match is_reset {
                true => client.reset(),
                false => drop(client),
            }
        }
    }
    // Each part of the body is in time, and all of it is not.
    let mut client = edge.connect().await;
    client
        .send(head("POST /wait", "Transfer-Encoding: chunked\r\n"))
        .await;
    let mut clock = interval(Duration::from_millis(50));
    for _ in 0..20 {
        clock.tick().await;
        client.stream.write_all(b"1\r\na\r\n").await.ok();
    }
    client.reset();
    edge.log_lines(7).await;
    a_crash_counts(&edge, &target).await;
}

#[tokio::test]
async fn a_stream_that_is_reset_is_not_the_targets_failure() {
    let target = obeying().await;
    let edge = Edge::start(&strict(&target)).await;
    let mut client = Http2::connect(edge.address).await;
    for is_whole in [true, false] {
        let connections = target.connections();
        let (answer, mut sender) = client.send(get("/wait"));
        if is_whole {
            sender.send_data(Bytes::new(), true).unwrap();
        }
        let is_asked = || (target.connections() > connections).then_some(());
        eventually("the target is asked", is_asked).await;
        sender.send_reset(h2::Reason::CANCEL);
        drop(answer);
    }
    edge.log_lines(2).await;
    a_crash_counts(&edge, &target).await;
}

#[tokio::test]
async fn a_target_of_http_2_that_finds_fault_with_a_request_has_not_failed() {
    let target = Target::scripted(async |connection: Connection| {
        let mut connection = h2::server::handshake(connection.stream).await.unwrap();
        while let Some(Ok((request, mut answer))) = connection.accept().await {
            let reason = match request.uri().path() {
                "/close" => h2::Reason::INTERNAL_ERROR,
                _ => h2::Reason::PROTOCOL_ERROR,
            };
            answer.send_reset(reason);
        }
    })
    .await;
    let edge = Edge::start(&strict(&target).group("protocolVersion: HTTP2")).await;
    assert_eq!(edge.get("/odd").await.status, 502);
    a_crash_counts(&edge, &target).await;
}
