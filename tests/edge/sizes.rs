//! How large a request may be: its head, the number of its headers, its body.

use crate::harness::client::{HANDSHAKE, status};
use crate::harness::target::ok;
use crate::harness::{Config, Connection, Edge, Target, eventually, soon};

const GOOD: &str = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";

async fn start(keys: &str, target: &Target) -> Edge {
    Edge::start(&Config::forwarding_to(&[target.address]).rule(keys)).await
}

/// A head of exactly this many bytes.
fn head_of(bytes: usize) -> String {
    let rest = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    let filler = "x".repeat(bytes - rest);
    format!("GET / HTTP/1.1\r\nHost: a\r\nX: {filler}\r\n\r\n")
}

/// A head with this many headers.
fn head_with(headers: usize) -> String {
    let more = "X: y\r\n".repeat(headers - 1);
    format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n")
}

#[tokio::test]
async fn a_head_may_have_so_many_bytes_and_so_many_headers_and_not_one_more() {
    let target = Target::answering("hello").await;
    for (keys, most_bytes, most_headers) in [
        ("", 65536, 100),
        ("maxHeaderBytes: 1000, maxHeaders: 20", 1000, 20),
        ("maxHeaderBytes: 1048575, maxHeaders: 256", 1_048_575, 256),
    ] {
        let edge = start(keys, &target).await;
        for (head, is_served) in [
            (head_of(most_bytes), true),
            (head_with(most_headers), true),
            (head_of(most_bytes + 1), false),
            (head_with(most_headers + 1), false),
        ] {
            let mut client = edge.connect().await;
            client.send(&head).await;
            let answer = client.answer().await;
            let expected = if is_served { 200 } else { 431 };
            assert_eq!(answer.status, expected, "{keys:?}: {} bytes", head.len());
        }
        for reason in ["max_header_bytes", "max_headers"] {
            edge.refused(reason, 1).await;
        }
    }
    assert_eq!(target.heads().len(), 6);
}

#[tokio::test]
async fn a_head_without_an_end_is_refused_as_soon_as_it_is_too_large() {
    let target = Target::answering("hello").await;
    let edge = start("maxHeaderBytes: 4096", &target).await;
    let mut client = edge.connect().await;
    client.send("GET / HTTP/1.1\r\nX: ").await;
    let mut sent = 19;
    let answer = loop {
        client.send([b'x'; 512]).await;
        sent += 512;
        if sent > 4096 {
            break client.answer_to_end().await;
        }
    };
    assert_eq!(answer.status, 431);
    assert_eq!(answer.header("connection"), Some("close"));
    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 431);
    assert_eq!(line["closeReason"], "refused");
    assert_eq!(line["error"], "the request's head is too large");
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_client_that_goes_on_sending_sees_its_431_and_is_closed() {
    let target = Target::answering("hello").await;
    let edge = start("", &target).await;
    let mut client = edge.connect().await;
    client.send(vec![b'x'; 2_000_000]).await;
    assert_eq!(client.answer_to_end().await.status, 431);
}

#[tokio::test]
async fn the_head_of_the_next_request_has_its_own_measure() {
    let target = Target::answering("hello").await;
    let edge = start("maxHeaderBytes: 1000", &target).await;
    let mut client = edge.connect().await;
    for _ in 0..5 {
        client.send(head_of(900)).await;
        assert_eq!(client.answer().await.status, 200);
    }
    client
        .send(format!("{}{}", head_of(900), head_of(1001)))
        .await;
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(client.answer_to_end().await.status, 431);
}

#[tokio::test]
async fn a_body_that_is_announced_as_too_large_is_refused_before_it_comes() {
    let target = Target::answering("hello").await;
    let edge = start("maxRequestBodyBytes: 1000", &target).await;
    for (length, expected) in [(1000, 200), (1001, 413), (i64::MAX as usize, 413)] {
        let mut client = edge.connect().await;
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        client.send(head).await;
        if expected == 200 {
            client.send(vec![b'x'; length]).await;
        }
        let answer = client.answer().await;
        assert_eq!(answer.status, expected, "{length}");
    }
    edge.refused("max_request_body_bytes", 2).await;
    let log = edge.log_lines(3).await;
    let line = log
        .iter()
        .find(|line| line["httpStatusCode"] == 413)
        .unwrap();
    assert_eq!(line["error"], "the request's body is too large");
    assert_eq!(target.heads().len(), 1);
}

#[tokio::test]
async fn a_chunked_body_is_refused_once_it_is_too_large_and_the_target_sees_no_whole_request() {
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let target = Target::scripted(move |mut connection: Connection| {
        let sender = sender.clone();
        async move {
            connection.head().await;
            sender.send(connection.to_end().await).unwrap();
        }
    })
    .await;
    let edge = start("maxRequestBodyBytes: 1000", &target).await;
    let mut client = edge.connect().await;
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    client.send(chunk.repeat(2)).await;
    client.send("1\r\ny\r\n").await;

    let answer = client.answer_to_end().await;

    assert_eq!(answer.status, 413);
    assert_eq!(answer.text(), "413 the request's body is too large\n");
    let body = soon("the end of what the target saw", seen.recv())
        .await
        .unwrap();
    assert!(
        !body.ends_with(b"0\r\n\r\n") && !body.contains(&b'y'),
        "{}",
        body.len()
    );
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "refused");
    assert_eq!(line["httpStatusCode"], 413);
}

#[tokio::test]
async fn a_client_that_sends_its_large_body_whatever_is_said_sees_its_413_and_is_closed() {
    let target = Target::answering("hello").await;
    let edge = start("maxRequestBodyBytes: 0", &target).await;
    let mut client = edge.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        .await;
    client.send(vec![b'x'; 3_000_000]).await;
    assert_eq!(client.answer_to_end().await.status, 413);
    let gone =
        || (edge.metric("connections_active{forwarding_rule=\"edge\"}") == 0.0).then_some(());
    eventually("it is closed", gone).await;
}

#[tokio::test]
async fn the_limit_on_bodies_is_not_one_on_tunnels_or_answers() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        if head.starts_with("GET /chat ") {
            connection
                .send(crate::harness::target::switching_protocols(&head))
                .await;
            return connection.echo().await;
        }
        connection.send(ok(&"x".repeat(5000))).await;
    })
    .await;
    let edge = start("maxRequestBodyBytes: 10", &target).await;
    let mut client = edge.connect().await;
    client.send(GOOD).await;
    assert_eq!(client.answer().await.body.len(), 5000);
    let mut tunnel = edge.connect().await;
    tunnel.send(HANDSHAKE).await;
    assert_eq!(status(&tunnel.head().await), 101);
    tunnel.send([7; 1000]).await;
    assert_eq!(tunnel.exactly(1000).await, [7; 1000]);
}
