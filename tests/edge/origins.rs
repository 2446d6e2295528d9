//! Whose pages may open tunnels, and with which subprotocols.

use crate::harness::client::{HANDSHAKE, handshake, header, status};
use crate::harness::{Config, Edge, Target};

const ORIGINS: &str = "allowedOrigins: [\"https://app.example.com\", \"https://*.example.org\"]";
const SUBPROTOCOLS: &str = "allowedSubprotocols: [chat.v2, chat.v1]";

async fn start(keys: &str, target: &Target) -> Edge {
    Edge::start(&Config::forwarding_to(&[target.address]).http_rule(keys)).await
}

/// The status of the answer to a handshake with these lines besides.
async fn shake(edge: &Edge, lines: &[&str]) -> u16 {
    let more: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let mut client = edge.connect().await;
    client.send(handshake("/chat", &more)).await;
    status(&client.head().await)
}

#[tokio::test]
async fn only_pages_of_the_list_open_tunnels() {
    let target = Target::named("target").await;
    let edge = start(ORIGINS, &target).await;
    let mut count = 0;
    for (lines, expected) in [
        (&["Origin: https://app.example.com"][..], 101),
        (&["origin: HTTPS://App.Example.com:443"], 101),
        (&["Origin: https://a.b.example.org"], 101),
        (&["Origin: https://example.org"], 403),
        (&["Origin: http://app.example.com"], 403),
        (&["Origin: https://app.example.com:8443"], 403),
        (&["Origin: https://app.example.com.evil.example"], 403),
        (&["Origin: https://evil.example/.example.org"], 403),
        (
            &[
                "Origin: https://app.example.com",
                "Origin: https://app.example.com",
            ],
            403,
        ),
        (
            &["Origin: https://app.example.com, https://evil.example"],
            403,
        ),
        (&["Origin: null"], 403),
        (&["Origin: "], 403),
        (&["Origin: \u{e9}"], 403),
        (&[], 403),
    ] {
        assert_eq!(shake(&edge, lines).await, expected, "{lines:?}");
        count += usize::from(expected == 403);
    }
    edge.refused("origin", count).await;
    assert_eq!(target.heads().len(), 3);
    let lines = edge.log_lines(14).await;
    let errors = lines
        .iter()
        .filter(|line| line["error"] == "the origin is not allowed");
    assert_eq!(errors.count(), count);
}

#[tokio::test]
async fn a_refused_page_reads_why_and_its_line_tells_the_rule() {
    let target = Target::named("target").await;
    let edge = start(ORIGINS, &target).await;
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    let answer = client.answer_to_end().await;
    assert_eq!(
        (answer.status, answer.text()),
        (403, "403 the origin is not allowed\n")
    );
    let line = edge.log_line().await;
    assert_eq!(
        (&line["httpRule"], &line["closeReason"]),
        (&"all".into(), &"refused".into())
    );
    assert_eq!(line.get("target"), None);
}

#[tokio::test]
async fn pages_without_an_origin_need_null_in_the_list() {
    let target = Target::named("target").await;
    let edge = start("allowedOrigins: [\"null\"]", &target).await;
    assert_eq!(shake(&edge, &["Origin: null"]).await, 101);
    assert_eq!(
        shake(&edge, &["Origin: https://app.example.com"]).await,
        403
    );
    assert_eq!(shake(&edge, &[]).await, 403);
}

#[tokio::test]
async fn plain_requests_are_not_asked_for_their_origin() {
    let target = Target::answering("hello").await;
    let edge = start(&format!("{ORIGINS}, {SUBPROTOCOLS}"), &target).await;
    for upgrade in ["", "Connection: Upgrade\r\nUpgrade: h2c\r\n"] {
        let mut client = edge.connect().await;
        client
            .send(format!(
                "GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.example\r\n{upgrade}\r\n"
            ))
            .await;
        assert_eq!(client.answer().await.status, 200);
    }
}

#[tokio::test]
async fn without_a_list_any_page_may() {
    let target = Target::named("target").await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    assert_eq!(shake(&edge, &["Origin: https://evil.example"]).await, 101);
    assert_eq!(shake(&edge, &["Sec-WebSocket-Protocol: any"]).await, 101);
}

#[tokio::test]
async fn only_subprotocols_of_the_list_reach_the_target() {
    let target = Target::named("target").await;
    let edge = start(SUBPROTOCOLS, &target).await;
    for (lines, expected) in [
        (&["Sec-WebSocket-Protocol: chat.v1"][..], Some("chat.v1")),
        (
            &["Sec-WebSocket-Protocol: chat.v1,chat.v2"],
            Some("chat.v1,chat.v2"),
        ),
        (
            &["Sec-WebSocket-Protocol: admin, chat.v2 , root"],
            Some("chat.v2"),
        ),
        (
            &[
                "Sec-WebSocket-Protocol: admin",
                "Sec-WebSocket-Protocol: chat.v2, chat.v1",
            ],
            Some("chat.v2, chat.v1"),
        ),
        (&[], None),
    ] {
        let before = target.heads().len();
        assert_eq!(shake(&edge, lines).await, 101, "{lines:?}");
        let head = &target.heads()[before];
        assert_eq!(
            header(head, "sec-websocket-protocol"),
            expected,
            "{lines:?}"
        );
        assert!(!head.contains("admin"), "{head}");
    }
    for line in [
        "Sec-WebSocket-Protocol: admin",
        "Sec-WebSocket-Protocol: CHAT.V1, root",
    ] {
        assert_eq!(shake(&edge, &[line]).await, 403, "{line}");
    }
    edge.refused("subprotocol", 2).await;
    assert_eq!(target.heads().len(), 5);
}

#[tokio::test]
async fn the_lists_change_with_a_reload() {
    let target = Target::named("target").await;
    let edge = start(ORIGINS, &target).await;
    assert_eq!(shake(&edge, &["Origin: https://new.example"]).await, 403);
    let rule = "allowedOrigins: [\"https://new.example\"]";
    let configuration = Config::forwarding_to(&[target.address]);
    edge.reload(&configuration.http_rule(rule)).await;
    assert_eq!(shake(&edge, &["Origin: https://new.example"]).await, 101);
    assert_eq!(
        shake(&edge, &["Origin: https://app.example.com"]).await,
        403
    );
}
