//! What a rule changes of headers, host and path on the way to the target and back.

use std::net::SocketAddr;

use crate::harness::client::{handshake, header, status};
use crate::harness::target::switching_protocols;
use crate::harness::{Config, Connection, Edge, Target};

/// An edge whose only HTTP rule has these keys besides.
async fn start(keys: &str, target: SocketAddr) -> Edge {
    Edge::start(&Config::forwarding_to(&[target]).http_rule(keys)).await
}

/// The values of a header, in the order of their lines.
fn all<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let named = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.trim()).collect()
}

const CHANGES: &str = "headers: {
    request: {
        remove: [Cookie, X-Forwarded-For],
        set: {X-Forwarded-Proto: https, X-Request-Id: fixed, X-Tag: ours, X-Empty: \"\"},
        add: {X-Tag: added, X-More: \"a b\"}},
    response: {
        remove: [Server],
        set: {X-Frame-Options: DENY, Content-Type: text/x-ours},
        add: {Set-Cookie: node=1, X-More: once}}}";

const REQUEST: &str = "Cookie: a=1\r\nX-Tag: theirs\r\nX-Tag: again\r\nX-More: first\r\nX-Forwarded-Proto: gopher\r\n";

fn assert_request_is_changed(head: &str) {
    for (name, expected) in [
        ("cookie", &[][..]),
        ("x-forwarded-for", &[]),
        ("x-forwarded-proto", &["https"]),
        ("x-forwarded-host", &["example.com"]),
        ("x-request-id", &["fixed"]),
        ("x-tag", &["ours", "added"]),
        ("x-empty", &[""]),
        ("x-more", &["first", "a b"]),
        ("host", &["example.com"]),
    ] {
        assert_eq!(all(head, name), expected, "{name} in {head}");
    }
}

fn assert_answer_is_changed(head: &str) {
    for (name, expected) in [
        ("server", &[][..]),
        ("x-frame-options", &["DENY"]),
        ("content-type", &["text/x-ours"]),
        ("set-cookie", &["theirs=1", "node=1"]),
        ("x-more", &["once"]),
    ] {
        assert_eq!(all(head, name), expected, "{name} in {head}");
    }
}

const ANSWER: &str = "Server: them\r\nContent-Type: text/plain\r\nSet-Cookie: theirs=1\r\n";

#[tokio::test]
async fn headers_of_requests_and_answers_are_removed_set_and_added() {
    let herald = "HTTP/1.1 103 Early Hints\r\nServer: them\r\n\r\n";
    let answer = format!("{herald}HTTP/1.1 200 OK\r\n{ANSWER}Content-Length: 2\r\n\r\nhi");
    let target = Target::replying(move |_, _| answer.clone()).await;
    let edge = start(CHANGES, target.address).await;
    let mut client = edge.connect().await;

    let request = format!("GET /a?b HTTP/1.1\r\nHost: example.com\r\n{REQUEST}\r\n");
    client.send(&request).await;

    let herald = client.head().await;
    assert_eq!(
        (status(&herald), all(&herald, "server")),
        (103, vec!["them"])
    );
    let answer = client.answer().await;
    assert_answer_is_changed(&answer.head);
    assert_eq!(answer.text(), "hi");
    assert_request_is_changed(&target.heads()[0]);
    let line = edge.log_line().await;
    assert_eq!(line["requestUri"], "/a?b");
    assert_eq!(line["requestHeaderBytes"], request.len());
    assert_ne!(line["trackingId"], "fixed");
}

#[tokio::test]
async fn a_handshake_and_its_101_are_changed_like_all_others() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        let answer = switching_protocols(&head).replace("\r\n\r\n", &format!("\r\n{ANSWER}\r\n"));
        connection.send(answer).await;
        connection.echo().await;
    })
    .await;
    let keys = format!("{CHANGES}, rewrite: {{host: chat.internal:81, path: /ws}}");
    let edge = start(&keys, target.address).await;
    let mut client = edge.connect().await;

    client.send(handshake("/chat?room=1", REQUEST)).await;

    let head = client.head().await;
    assert_eq!(status(&head), 101);
    assert_answer_is_changed(&head);
    let accept = header(&head, "sec-websocket-accept");
    assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    client.send("through").await;
    assert_eq!(client.exactly(7).await, b"through");
    drop(client);
    let seen = &target.heads()[0];
    assert!(seen.starts_with("GET /ws?room=1 HTTP/1.1\r\n"), "{seen}");
    assert_request_is_changed(&seen.replace("chat.internal:81", "example.com"));
    assert_eq!(all(seen, "host"), ["chat.internal:81"]);
    assert_eq!(all(seen, "x-forwarded-host"), ["example.com"]);
    let line = edge.log_line().await;
    assert_eq!(line["requestUri"], "/chat?room=1");
    assert_eq!(line["hostName"], "example.com");
    assert_eq!(line["responseHeaderBytes"], head.len());
}

#[tokio::test]
async fn the_host_and_the_path_are_rewritten_and_the_log_shows_what_was_asked() {
    let target = Target::showing().await;
    let condition = "conditions: [{type: PATH, condition: STARTS_WITH, value: /chat}]";
    let keys = format!("rewrite: {{host: chat.internal, pathPrefix: /v2}}, {condition}");
    let edge = start(&keys, target.address).await;
    let mut client = edge.connect().await;

    let rows = [
        ("/chat", "/v2"),
        ("/chat/a%20b?c=/chat", "/v2/a%20b?c=/chat"),
        ("http://example.com/chat/a?b", "/v2/a?b"),
    ];
    for (asked, expected) in rows {
        client
            .send(format!("GET {asked} HTTP/1.1\r\nHost: example.com\r\n\r\n"))
            .await;
        let seen = client.answer().await;
        let start = format!("GET {expected} HTTP/1.1\r\n");
        assert!(seen.text().starts_with(&start), "{asked}: {}", seen.text());
        assert_eq!(all(seen.text(), "host"), ["chat.internal"]);
        assert_eq!(all(seen.text(), "x-forwarded-host"), ["example.com"]);
    }

    let lines = edge.log_lines(rows.len()).await;
    let uris: Vec<_> = lines.iter().map(|line| &line["requestUri"]).collect();
    assert_eq!(uris, rows.map(|(asked, _)| asked));
    assert_eq!(lines[0]["hostName"], "example.com");
}

#[tokio::test]
async fn a_path_that_becomes_too_long_is_refused_and_others_keep_every_byte() {
    let target = Target::showing().await;
    let condition = "conditions: [{type: PATH, condition: STARTS_WITH, value: /a}]";
    let long = "x".repeat(2000);
    let keys = format!("rewrite: {{pathPrefix: /{long}}}, {condition}");
    let edge = start(&keys, target.address).await;

    let answer = edge.get("/a/\u{fc}//..?\u{df}&%zz").await;
    let start = format!("GET /{long}/\u{fc}//..?\u{df}&%zz HTTP/1.1\r\n");
    assert!(answer.text().starts_with(&start), "{}", answer.text());

    let answer = edge.get(&format!("/a{}", "y".repeat(64_000))).await;
    let expected = "400 the path is too long once it is rewritten\n";
    assert_eq!((answer.status, answer.text()), (400, expected));
    assert_eq!(edge.log_lines(2).await[1]["closeReason"], "refused");
}
