//! An answer that has no body says nothing about one (RFC 9110 section 8.6, RFC 9112 section 6.1),
//! and spoils nothing behind it.

use http::{Method, Request};

use crate::harness::http2::{Http2, websocket};
use crate::harness::target::ok;
use crate::harness::{Config, Connection, Edge, Target};

const CASES: [(&str, &str, &str, &str); 12] = [
    ("GET", "204 No Content", "Transfer-Encoding: chunked", ""),
    (
        "GET",
        "204 No Content",
        "Transfer-Encoding: chunked",
        "0\r\n\r\n",
    ),
    (
        "GET",
        "204 No Content",
        "Transfer-Encoding: chunked",
        "5\r\nhello\r\n0\r\n\r\n",
    ),
    ("GET", "204 No Content", "Content-Length: 0", ""),
    ("GET", "204 No Content", "Content-Length: 5", ""),
    ("GET", "204 No Content", "Content-Length: 5", "hello"),
    (
        "GET",
        "304 Not Modified",
        "Transfer-Encoding: chunked",
        "0\r\n\r\n",
    ),
    ("GET", "304 Not Modified", "Content-Length: 999", ""),
    ("HEAD", "200 OK", "Transfer-Encoding: chunked", "0\r\n\r\n"),
    ("HEAD", "200 OK", "Content-Length: 999", ""),
    ("HEAD", "404 Not Found", "Content-Length: 4", "lost"),
    ("HEAD", "204 No Content", "Content-Length: 4", ""),
];

/// Answers to `/NUMBER` with that case; what comes behind its head may come late.
async fn target() -> Target {
    Target::scripted(async |mut connection: Connection| {
        while connection.has_more().await {
            let head = connection.head().await;
            let number = head.split(['/', ' ']).nth(2).unwrap();
            let Ok(number) = number.parse::<usize>() else {
                connection.send(ok("good")).await;
                continue;
            };
            let (_, status, field, rest) = CASES[number];
            connection
                .send(format!("HTTP/1.1 {status}\r\n{field}\r\n\r\n"))
                .await;
            connection.send(rest).await;
        }
    })
    .await
}

async fn start(target: &Target) -> Edge {
    let configuration = Config::forwarding_to(&[target.address])
        .rule("h2c: true")
        .each_target("healthCheckEnabled: false");
    Edge::start(&configuration).await
}

#[tokio::test]
async fn a_204_says_nothing_of_a_body_and_304_and_head_keep_their_length() {
    let target = target().await;
    let edge = start(&target).await;
    let mut http2 = Http2::connect(edge.address).await;
    for (number, (method, status, field, _)) in CASES.iter().enumerate() {
        let mut client = edge.connect().await;
        client
            .send(format!("{method} /{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let answer = client.answer_without_body().await;
        let is_204 = status.starts_with("204");
        assert!(
            answer.head.starts_with(&format!("HTTP/1.1 {status}")),
            "{}",
            answer.head
        );
        assert_eq!(
            answer.head.contains(field),
            !is_204,
            "{number}: {}",
            answer.head
        );

        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let uri = format!("http://a/{number}");
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        let reply = http2.ask(request, "").await;
        assert_eq!(reply.status().to_string(), status[..3]);
        let length = reply.head.headers().get("content-length");
        let expected = field.strip_prefix("Content-Length: ").filter(|_| !is_204);
        assert_eq!(
            length.and_then(|length| length.to_str().ok()),
            expected,
            "{number}"
        );
        assert_eq!(reply.text(), "");
    }
}

#[tokio::test]
async fn what_a_target_sends_behind_such_an_answer_is_no_answer_to_the_next_request() {
    let target = target().await;
    let edge = start(&target).await;
    let mut client = edge.connect().await;
    for (number, (method, status, ..)) in CASES.iter().enumerate() {
        client
            .send(format!("{method} /{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let answer = client.answer_without_body().await;
        assert_eq!(answer.status.to_string(), status[..3]);
        client.send("GET /good HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.answer().await.text(), "good", "{number}");
    }
}

#[tokio::test]
async fn a_connection_that_may_bring_a_body_behind_a_204_is_not_used_again() {
    let target = target().await;
    let edge = start(&target).await;
    let cases = [(3, 1), (3, 1), (0, 1), (0, 2), (4, 3), (3, 4)];
    for (place, (number, connections)) in cases.into_iter().enumerate() {
        let mut client = edge.connect().await;
        client
            .send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        client.answer_without_body().await;
        assert_eq!(target.connections(), connections, "{number}");
        edge.log_lines(place + 1).await;
    }
}

#[tokio::test]
async fn neither_a_101_nor_the_200_of_a_tunnel_says_anything_of_a_body() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        let field = match head.contains("/length") {
            true => "Content-Length: 0",
            false => "Transfer-Encoding: chunked",
        };
        let answer = crate::harness::target::switching_protocols(&head);
        connection
            .send(answer.replacen("\r\n", &format!("\r\n{field}\r\n"), 1))
            .await;
        connection.echo_messages().await;
    })
    .await;
    let edge = start(&target).await;
    for path in ["/length", "/chunked"] {
        let (mut client, head) = Connection::tunnel(edge.address, path).await;
        let head = head.to_lowercase();
        assert!(
            !head.contains("content-length") && !head.contains("transfer-encoding"),
            "{head}"
        );
        client.say_hi().await;

        let mut client = Http2::connect(edge.address).await;
        let (stream, head) = client.begin(websocket(path)).await;
        assert_eq!(head.status(), 200);
        assert!(!head.headers().contains_key("content-length"), "{head:?}");
        Connection::over(stream).say_hi().await;
    }
}
