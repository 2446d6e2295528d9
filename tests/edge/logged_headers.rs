//! `accessLog.headers`: the headers that a line repeats; and whose page was refused, always.

use serde_json::json;

use crate::harness::target::ok;
use crate::harness::{Config, Edge, Target};

const HEADERS: &str =
    "accessLog: {headers: {request: [Origin, X-Room], response: [Server, X-Not]}}";

async fn target() -> Target {
    Target::replying(|_, _| ok("hello").replacen("\r\n", "\r\nServer: own\r\n", 1)).await
}

#[tokio::test]
async fn a_line_has_the_headers_that_are_named_as_the_client_sent_and_got_them() {
    let target = target().await;
    let edge = Edge::start(&Config::forwarding_to(&[target.address]).top(HEADERS)).await;
    let lines = "X-Room: a\r\nX-Room: b\r\nX-Other: c\r\norigin: https://a.example/?token=t\r\n";
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n");
    assert_eq!(edge.request(&head).await.text(), "hello");
    let line = edge.log_line().await;
    let asked = json!({"origin": "https://a.example/?token=<redacted>", "x-room": "a, b"});
    assert_eq!(line["requestHeaders"], asked);
    assert_eq!(line["responseHeaders"], json!({"server": "own"}));
}

#[tokio::test]
async fn the_line_of_a_tunnel_has_them_too() {
    let target = Target::named("chat").await;
    let names = HEADERS
        .replace("Server", "X-Target")
        .replace("Origin", "Upgrade");
    let edge = Edge::start(&Config::forwarding_to(&[target.address]).top(&names)).await;
    let mut tunnel = edge.tunnel().await.0;
    tunnel.leave(1000).await;
    let line = edge.log_line().await;
    assert_eq!(line["requestHeaders"], json!({"upgrade": "websocket"}));
    assert_eq!(line["responseHeaders"], json!({"x-target": "chat"}));
}

#[tokio::test]
async fn an_answer_of_ours_has_them_too() {
    let names = HEADERS.replace("Server", "Content-Type");
    let edge = Edge::start(&Config::answering("hello").top(&names)).await;
    assert_eq!(edge.get("/").await.text(), "hello");
    let line = edge.log_line().await;
    assert!(line.get("requestHeaders").is_none(), "{line}");
    let kind = "text/plain; charset=utf-8";
    assert_eq!(line["responseHeaders"], json!({"content-type": kind}));
}

#[tokio::test]
async fn whose_page_was_refused_is_told_without_being_asked_for() {
    let target = target().await;
    let origins = "allowedOrigins: ['https://app.example']";
    let edge = Edge::start(&Config::forwarding_to(&[target.address]).http_rule(origins)).await;
    let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Origin: https://evil.example\r\n\r\n";
    assert_eq!(edge.request(head).await.status, 403);
    let line = edge.log_line().await;
    assert_eq!(line["origin"], "https://evil.example");
    assert_eq!(edge.get("/").await.text(), "hello");
    let lines = edge.log_lines(2).await;
    for field in ["origin", "requestHeaders", "responseHeaders", "traceparent"] {
        assert_eq!(lines[1].get(field), None, "{field}");
    }
}
