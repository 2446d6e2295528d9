//! An answer that is not whole, or contradicts itself, is passed on as such or refused, and never
//! taken for a complete one.

use std::net::SocketAddr;

use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::http2::Http2;
use crate::harness::{Config, Connection, Edge, Target, eventually, soon};

/// Chunks of an answer that are none, however they are taken.
const FAULTY: [&str; 14] = [
    "\r\n",
    ";a\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "5;\r\nhello\r\n0\r\n\r\n",
    "5;a\0\r\nhello\r\n0\r\n\r\n",
    "5;a\nb\r\nhello\r\n0\r\n\r\n",
    "5;a\rb\r\nhello\r\n0\r\n\r\n",
    "5;\u{1}\r\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "zz\r\n",
    "5\r\nhelloX\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\ngarbage\r\n\r\n",
    "5\r\nhello\r\n \r\n\r\n",
    "ffffffffffffffff\r\nhello\r\n",
];

#[tokio::test]
async fn faulty_chunks_of_a_target_are_never_passed_on_as_complete() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        let number: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        let (text, good) = (FAULTY[number / 2], "2\r\nhi\r\n");
        let good = if number.is_multiple_of(2) { "" } else { good };
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        connection.send(format!("{head}{good}{text}")).await;
        connection.to_end().await;
    })
    .await;
    let configuration = Config::forwarding_to(&[target.address]).rule("h2c: true");
    let edge = Edge::start(&configuration).await;
    for number in 0..2 * FAULTY.len() {
        let mut client = edge.connect().await;
        client
            .send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let answer = client.to_end().await;
        let answer = String::from_utf8_lossy(&answer);
        let is_refused = answer.starts_with("HTTP/1.1 502 ");
        assert!(
            is_refused || !answer.ends_with("0\r\n\r\n"),
            "{number}: {answer:?}"
        );

        let mut client = Http2::connect(edge.address).await;
        let request = Request::get(format!("http://a/{number}")).body(()).unwrap();
        let (stream, head) = client.open(request).await;
        let is_broken = stream.into_result().await.is_err();
        assert!(head.status() == 502 || is_broken, "{number}: {head:?}");
    }
    let faulty = || {
        edge.log()
            .iter()
            .filter(|line| line["closeReason"] != "completed")
            .count()
    };
    eventually("all are logged", || {
        (faulty() == 4 * FAULTY.len()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_answer_whose_framing_contradicts_itself_is_502() {
    const FRAMINGS: [(&str, u16); 12] = [
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            502,
        ),
        ("Transfer-Encoding: chunked, chunked", 502),
        ("Transfer-Encoding: chunked, identity", 502),
        ("Transfer-Encoding: chunked, gzip", 502),
        ("Transfer-Encoding: gzip, chunked", 502),
        ("Transfer-Encoding: foo", 502),
        ("Transfer-Encoding: identity", 502),
        ("Content-Length: 2\r\nContent-Length: 3", 502),
        ("Content-Length: 2, 3", 502),
        ("Content-Length: 2\r\nContent-Length: 2", 200),
        ("Content-Length: 2, 2", 200),
        ("Transfer-Encoding: Chunked", 200),
    ];
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        let number: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        let (version, framing) = match FRAMINGS.get(number) {
            Some((framing, _)) => ("1.1", *framing),
            None => ("1.0", "Transfer-Encoding: chunked"),
        };
        let body = match framing.starts_with("Transfer") {
            true => "2\r\nhi\r\n0\r\n\r\n",
            false => "hi",
        };
        let answer =
            format!("HTTP/{version} 200 OK\r\nConnection: close\r\n{framing}\r\n\r\n{body}");
        connection.send(answer).await;
        connection.to_end().await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let expected = FRAMINGS.iter().map(|(_, status)| *status).chain([502]);
    for (number, expected) in expected.enumerate() {
        let answer = edge.get(&format!("/{number}")).await;
        assert_eq!(answer.status, expected, "{number}: {}", answer.head);
        let lengths = answer
            .head
            .to_lowercase()
            .matches("content-length:")
            .count();
        assert!(
            lengths <= 1 && !answer.head.contains("2, 2"),
            "{}",
            answer.head
        );
    }
}

#[tokio::test]
async fn a_connection_whose_request_is_answered_early_says_that_it_closes() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        connection.to_end().await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nxx")
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.text(), "ok");
    assert_eq!(
        answer.header("connection"),
        Some("close"),
        "{}",
        answer.head
    );
}

#[tokio::test]
async fn a_broken_answer_that_ends_with_its_connection_ends_with_a_reset() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        connection.send(format!("{head}2\r\nhi\r\n")).await;
        connection.has_more().await;
    })
    .await;
    let configuration = Config::forwarding_to(&[target.address]).group("responseTimeout: 500");
    let edge = Edge::start(&configuration).await;
    let mut client = TcpStream::connect(edge.address).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let read = soon("the end", client.read_to_end(&mut answer)).await;
    assert!(
        answer.ends_with(b"\r\n\r\nhi"),
        "{:?}",
        answer.escape_ascii().to_string()
    );
    let error = read.expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_target_that_breaks_off_is_502_on_a_stream_and_a_get_is_tried_again() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
    })
    .await;
    let other = Target::answering("hello").await;
    let begin = async |targets: &[SocketAddr]| {
        let configuration = Config::forwarding_to(targets)
            .rule("h2c: true")
            .each_target("healthCheckEnabled: false");
        Edge::start(&configuration).await
    };
    let alone = begin(&[target.address]).await;
    let mut client = Http2::connect(alone.address).await;
    let post = Request::post("http://a.example/").body(()).unwrap();
    assert_eq!(client.ask(post, "body").await.status(), 502);

    let both = begin(&[target.address, other.address]).await;
    let mut client = Http2::connect(both.address).await;
    for _ in 0..4 {
        let get = Request::get("http://a.example/").body(()).unwrap();
        assert_eq!(client.ask(get, "").await.text(), "hello");
    }
}
