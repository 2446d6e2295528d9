//! Connections are kept for the next request, on both sides, and no request is sent twice for
//! that.

use crate::bodies::get;
use crate::harness::target::ok;
use crate::harness::{Connection, Edge, Target};

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_each_leaves_a_line() {
    let target = Target::answering("hello").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    for path in ["/first", "/second"] {
        client.send(get(path)).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }

    let lines = edge.log_lines(2).await;
    assert_eq!(lines[0]["requestUri"], "/first");
    assert_eq!(lines[1]["requestUri"], "/second");
    assert_eq!(lines[0]["clientPort"], lines[1]["clientPort"]);
    assert_ne!(lines[0]["trackingId"], lines[1]["trackingId"]);
}

#[tokio::test]
async fn a_client_that_asks_for_a_close_gets_it() {
    let target = Target::answering("hello").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;

    let answer = client.answer().await;
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(client.to_end().await, b"");
}

#[tokio::test]
async fn three_requests_in_one_packet_are_answered_in_order_and_leave_three_lines() {
    let target = Target::showing().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    let post = "POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    client.send(get("/first") + post + &get("/third")).await;

    for line in ["GET /first ", "POST /second ", "GET /third "] {
        let answer = client.answer().await;
        assert!(answer.text().starts_with(line), "{}", answer.text());
        assert_eq!(answer.text().ends_with("body"), line.starts_with("POST"));
    }
    let lines = edge.log_lines(3).await;
    let uris: Vec<_> = lines.iter().map(|line| &line["requestUri"]).collect();
    assert_eq!(uris, ["/first", "/second", "/third"]);
    assert_eq!(lines[2]["requestHeaderBytes"], get("/third").len());
}

#[tokio::test]
async fn an_http_1_0_client_may_ask_for_the_connection_to_be_kept() {
    let target = Target::answering("hello").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;

    for _ in 0..2 {
        client
            .send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.header("connection"), Some("keep-alive"));
        assert_eq!(answer.text(), "hello");
    }
}

#[tokio::test]
async fn the_connection_to_the_target_is_used_for_the_next_request() {
    let target = Target::answering("hello").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for request in 1..=5 {
        assert_eq!(edge.get("/").await.status, 200);
        let lines = edge.log_lines(request).await;
        let is_new = lines[request - 1].get("targetConnectMs").is_some();
        assert_eq!(is_new, request == 1, "request {request}");
    }
    assert_eq!(target.connections(), 1);
}

/// A target that closes each connection once: when it gets the second request on it, or right after
/// the first answer.
async fn forgetful_target() -> Target {
    Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        connection.body(&head).await;
        connection.send(ok("hello")).await;
        if head.contains("/close-later") {
            connection.head().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_the_target_closed_does_not_fail_the_next_get() {
    let target = forgetful_target().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for (place, path) in ["/close-now", "/close-later"].repeat(5).iter().enumerate() {
        let answer = edge.get(path).await;
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["closeReason"], "completed");
        assert_eq!(line.get("error"), None);
    }
}

#[tokio::test]
async fn a_post_is_not_sent_twice() {
    let target = forgetful_target().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let post =
        "POST /close-later HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1";
    assert_eq!(edge.request(post).await.status, 200);
    edge.log_lines(1).await;

    let answer = edge.request(post).await;

    assert_eq!(answer.status, 502);
    assert_eq!(target.connections(), 1);
    assert_eq!(edge.log_lines(2).await[1]["closeReason"], "refused");
}
