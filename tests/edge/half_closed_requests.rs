//! A client that ends its side after a whole request gets its answer, and one that is gone is
//! noticed nevertheless.

use std::time::Duration;

use tokio::time::timeout;

use crate::harness::tls::{HOST, start as start_tls};
use crate::harness::waiting::{HEAD, Waiting};
use crate::harness::{Authority, Config, Connection, Edge, Target, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";

async fn start(waiting: &Waiting, half_close_timeout: &str) -> Edge {
    let config = Config::forwarding_to(&[waiting.target.address])
        .group("responseTimeout: 15s")
        .http_rule(&format!(
            "tunnel: {{halfCloseTimeout: {half_close_timeout}}}"
        ));
    Edge::start(&config).await
}

#[tokio::test]
async fn a_client_that_ends_its_side_after_its_request_gets_the_answer() {
    let waiting = Waiting::after("").await;
    let edge = start(&waiting, "15s").await;
    for (place, request) in [GET, POST].into_iter().enumerate() {
        let mut client = edge.connect().await;
        client.send(request).await;
        soon("the target is asked", waiting.asked.notified()).await;
        client.finish().await;
        let early = timeout(Duration::from_millis(700), client.has_more()).await;
        assert!(early.is_err(), "something came before the answer");
        waiting.answer.notify_one();
        let answer = client.answer_to_end().await;
        assert_eq!((answer.status, answer.text()), (200, "late"));
        assert_eq!(answer.header("connection"), Some("close"));
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["closeReason"], "completed");
        assert_eq!(line.get("error"), None);
    }
}

#[tokio::test]
async fn so_does_one_in_tls_that_says_goodbye() {
    let (authority, waiting) = (Authority::new(), Waiting::after("").await);
    let edge = start_tls(&authority, "", &waiting.target).await;
    let mut client = authority.connect(edge.address, HOST).await;
    client.send(GET).await;
    soon("the target is asked", waiting.asked.notified()).await;
    client.finish().await;
    let early = timeout(Duration::from_millis(300), client.has_more()).await;
    assert!(early.is_err(), "something came before the answer");
    waiting.answer.notify_one();
    assert_eq!(client.answer_to_end().await.text(), "late");
    assert_eq!(edge.log_line().await["closeReason"], "completed");
}

#[tokio::test]
async fn its_answer_has_to_begin_within_the_half_close_timeout() {
    let waiting = Waiting::after("").await;
    let edge = start(&waiting, "200").await;
    let mut client = edge.connect().await;
    client.send(GET).await;
    soon("the target is asked", waiting.asked.notified()).await;
    client.finish().await;
    assert_eq!(client.to_end().await, b"");
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "client_closed");
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("within halfCloseTimeout"), "{error}");
}

#[tokio::test]
async fn an_answer_that_has_begun_may_take_longer_than_that() {
    let waiting = Waiting::after(HEAD).await;
    let edge = start(&waiting, "100").await;
    let mut client = edge.connect().await;
    client.send(GET).await;
    client.finish().await;
    assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    let early = timeout(Duration::from_millis(700), client.has_more()).await;
    assert!(early.is_err(), "something came before the rest");
    waiting.answer.notify_one();
    assert_eq!(client.to_end().await, b"late");
    assert_eq!(edge.log_line().await["closeReason"], "completed");
}

#[tokio::test]
async fn a_client_of_events_that_leaves_is_noticed_when_an_event_is_written() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        connection.send(head).await;
        loop {
            connection.send("data: x\n\n").await;
            let nothing = connection.has_more();
            if let Ok(is_open) = timeout(Duration::from_millis(20), nothing).await {
                assert!(!is_open, "the target hears nothing but the end");
                return;
            }
        }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = edge.connect().await;
    client.send(GET).await;
    client.head().await;
    client.exactly(10).await;
    drop(client);
    let line = soon("the client is noticed", edge.log_line()).await;
    assert_eq!(line["closeReason"], "client_closed");
}
