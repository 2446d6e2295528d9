//! Which HTTP rule decides, of several that match, whatever upgrade a request asks for.

use crate::conditions::{ask, with_rules};
use crate::harness::client::{HANDSHAKE, header};
use crate::harness::{Config, Edge, Target};

#[tokio::test]
async fn forward_rules_come_after_all_others_and_the_first_that_matches_decides() {
    let target = Target::answering("target").await;
    let edge = Edge::start(&with_rules_and_target(
        "{name: first-forward, type: FORWARD, targetGroup: group, conditions: [
          {type: PATH, condition: STARTS_WITH, value: /a}]},
        {name: static, type: STATIC, statusCode: 200, responseMessage: '', conditions: [
          {type: PATH, condition: STARTS_WITH, value: /a/b}]},
        {name: second-forward, type: FORWARD, targetGroup: group},
        {name: redirect, type: REDIRECT, location: /, conditions: [
          {type: PATH, condition: ENDS_WITH, value: /c}]},
        {name: never, type: STATIC, responseMessage: '', conditions: [
          {type: PATH, condition: STARTS_WITH, value: /a/b/c}]}",
        &target,
    ))
    .await;
    for (place, (path, status, rule)) in [
        ("/a", 200, "first-forward"),
        ("/a/b", 200, "static"),
        ("/a/b/c", 200, "static"),
        ("/a/c", 301, "redirect"),
        ("/x", 200, "second-forward"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = ask(&edge, &format!("GET {path}")).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(
            answer.text() == "target",
            rule.ends_with("forward"),
            "{path}"
        );
        assert_eq!(
            edge.log_lines(place + 1).await[place]["httpRule"],
            rule,
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_upgrade_header_skips_no_rule() {
    let target = Target::answering("target").await;
    let edge = Edge::start(&with_rules_and_target(
        "{name: private, type: STATIC, statusCode: 403, responseMessage: '', conditions: [
          {type: PATH, condition: STARTS_WITH, value: /chat}]},
        {name: moved, type: REDIRECT, location: /, conditions: [
          {type: HOST, condition: EQUALS, value: old.example.com}]},
        {name: beta, type: FORWARD, targetGroup: group, conditions: [
          {type: HEADER, condition: EXISTS, key: X-Beta}]}",
        &target,
    ))
    .await;
    for upgrade in ["websocket", "WebSocket", "h2c", "a, websocket", ""] {
        for (changes, status) in [
            (["", ""], 403),
            (["/chat", "/other"], 404),
            (["GET /chat", "POST /chat"], 403),
            (["GET /chat", "GET /chat/x?y"], 403),
            (
                ["/chat HTTP/1.1\r\nHost: ", "/other HTTP/1.1\r\nHost: old."],
                301,
            ),
        ] {
            let request = HANDSHAKE
                .replacen(changes[0], changes[1], 1)
                .replace("Upgrade: websocket", &format!("Upgrade: {upgrade}"));
            let mut client = edge.connect().await;
            client.send(&request).await;
            assert_eq!(client.answer().await.status, status, "{request}");
        }
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn an_upgrade_other_than_websocket_is_a_plain_request() {
    let target = Target::showing().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let request =
        "GET / | Connection: Upgrade, HTTP2-Settings | Upgrade: h2c | HTTP2-Settings: AAMAAABk";

    let answer = ask(&edge, request).await;

    assert_eq!(answer.status, 200);
    for name in ["upgrade", "http2-settings"] {
        assert_eq!(header(answer.text(), name), None, "{name}");
    }
    assert_eq!(edge.log_line().await.get("upgrade"), None);
}

fn with_rules_and_target(rules: &str, target: &Target) -> Config {
    with_rules(rules)
        .add_group("group")
        .target(target.address, "")
}
