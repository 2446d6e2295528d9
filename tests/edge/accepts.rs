//! Who looks at a target's `Sec-WebSocket-Accept`, and which keys a handshake may have.

use crate::harness::client::{HANDSHAKE, handshake, header, status};
use crate::harness::http2::{Http2, websocket};
use crate::harness::target::switching_protocols;
use crate::harness::{Config, Connection, Edge, Target};

/// A target whose 101 has no `Sec-WebSocket-Accept` for `/none`, one that is wrong for `/wrong`,
/// and the right one for all else.
async fn old_target() -> Target {
    Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        let right = switching_protocols(&head);
        let accept = header(&right, "sec-websocket-accept").unwrap();
        let line = format!("Sec-WebSocket-Accept: {accept}\r\n");
        let answer = match head.split(' ').nth(1) {
            Some("/none") => right.replace(&line, ""),
            Some("/wrong") => right.replace(accept, "AAAALMBiTxaQ9kYGzzhZRbK+xOo="),
            _ => right,
        };
        connection.send(answer).await;
        connection.echo().await;
    })
    .await
}

async fn start(target: &Target, keys: &str) -> Edge {
    let config = Config::forwarding_to(&[target.address]).rule("h2c: true");
    Edge::start(&config.http_rule(keys)).await
}

#[tokio::test]
async fn a_wrong_accept_is_for_the_client_to_see_unless_it_cannot_or_the_rule_says_otherwise() {
    let target = old_target().await;
    for (keys, in_http1, in_http2) in [
        ("checkAccept: null", 101, 502),
        ("checkAccept: true", 502, 502),
        ("checkAccept: false", 101, 200),
    ] {
        let edge = start(&target, keys).await;
        for path in ["/none", "/wrong"] {
            let mut client = edge.connect().await;
            client.send(handshake(path, "")).await;
            assert_eq!(status(&client.head().await), in_http1, "{keys} {path}");
            let mut client = Http2::connect(edge.address).await;
            let (_, head) = client.begin(websocket(path)).await;
            assert_eq!(head.status(), in_http2, "{keys} {path}");
        }
        edge.tunnel().await;
        Http2::connect(edge.address).await.tunnel("/chat").await;
    }
}

#[tokio::test]
async fn what_is_refused_for_its_accept_says_so_in_the_log() {
    let target = old_target().await;
    let edge = start(&target, "checkAccept: true").await;
    let answer = edge.request(&handshake("/wrong", "")).await;
    assert_eq!(answer.status, 502);
    let line = edge.log_line().await;
    let error = "the target's Sec-WebSocket-Accept does not fit to the handshake";
    assert_eq!(
        (&line["closeReason"], &line["error"]),
        (&"refused".into(), &error.into())
    );
    assert_eq!(line.get("upgrade"), None);
}

#[tokio::test]
async fn a_lenient_rule_lets_any_key_pass() {
    let target = old_target().await;
    let keys = ["c2hvcnQ=", "x", "dGhlIHNhbXBsZSBub25jZQ"];
    let lenient = start(&target, "lenientHandshake: true, checkAccept: true").await;
    let strict = start(&target, "lenientHandshake: false").await;
    for key in keys {
        let handshake = HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", key);
        let mut client = lenient.connect().await;
        client.send(&handshake).await;
        assert_eq!(status(&client.head().await), 101, "{key}");
        assert_eq!(strict.request(&handshake).await.status, 400, "{key}");
    }
    let without = HANDSHAKE.replace("Sec-WebSocket-Key", "X-Key");
    assert_eq!(lenient.request(&without).await.status, 400);
}
