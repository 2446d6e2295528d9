//! What lies behind a request does not hide that its client has ended its side, or is gone; and the
//! target is not blamed for it.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::harness::config::ONE_IS_ENOUGH;
use crate::harness::tls::HOST;
use crate::harness::waiting::Waiting;
use crate::harness::{Authority, Config, Edge, Target, soon};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// What may lie there: junk, part of a head, and more than is read before its turn.
fn tails() -> [String; 3] {
    let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(5000));
    ["x".into(), "GET / HTTP/1.1\r\nHo".into(), long]
}

/// One failure of the target ejects it.
fn configuration(target: &Target, half_close: &str, answer: &str) -> Config {
    Config::forwarding_to(&[target.address])
        .group(ONE_IS_ENOUGH)
        .group(&format!("responseTimeout: {answer}"))
        .http_rule(&format!("tunnel: {{halfCloseTimeout: {half_close}}}"))
}

async fn start(waiting: &Waiting, half_close: &str, answer: &str) -> Edge {
    Edge::start(&configuration(&waiting.target, half_close, answer)).await
}

#[tokio::test]
async fn the_answer_has_to_begin_within_the_half_close_timeout_whatever_lies_behind() {
    let waiting = Waiting::after("").await;
    let edge = start(&waiting, "200", "15s").await;
    for (place, tail) in tails().into_iter().enumerate() {
        let mut client = edge.connect().await;
        client.send(format!("{GET}{tail}")).await;
        soon("the target is asked", waiting.asked.notified()).await;
        let begun = Instant::now();
        client.finish().await;
        assert_eq!(client.to_end().await, b"");
        assert!(begun.elapsed() < Duration::from_secs(10), "{tail:.20}");
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["closeReason"], "client_closed", "{line}");
        let error = line["error"].as_str().unwrap();
        assert!(error.contains("within halfCloseTimeout"), "{error}");
    }
    assert_eq!(edge.ejections(waiting.target.address), 0.0);
}

#[tokio::test]
async fn a_client_that_resets_is_noticed_whatever_lies_behind_its_request() {
    let waiting = Waiting::after("").await;
    let edge = start(&waiting, "15s", "15s").await;
    for (place, tail) in tails().into_iter().enumerate() {
        let mut client = edge.connect().await;
        client.send(format!("{GET}{tail}")).await;
        soon("the target is asked", waiting.asked.notified()).await;
        let begun = Instant::now();
        client.reset();
        edge.log_lines(place + 1).await;
        // A second, and what a slow machine needs.
        assert!(begun.elapsed() < Duration::from_secs(5), "{tail:.20}");
    }
    assert_eq!(edge.ejections(waiting.target.address), 0.0);
}

#[tokio::test]
async fn both_requests_of_a_client_that_has_ended_its_side_are_answered() {
    let waiting = Waiting::after("").await;
    let edge = start(&waiting, "15s", "15s").await;
    for body in ["", "Content-Length: 2\r\n\r\nhi", "X: y\r\n\r\n"] {
        let second = match body {
            "" => GET.to_owned(),
            body => format!("GET / HTTP/1.1\r\nHost: a\r\n{body}"),
        };
        let mut client = edge.connect().await;
        client.send(format!("{GET}{second}")).await;
        soon("the target is asked", waiting.asked.notified()).await;
        client.finish().await;
        let early = timeout(Duration::from_millis(700), client.has_more()).await;
        assert!(early.is_err(), "something came before the answer");
        waiting.answer.notify_one();
        assert_eq!(client.answer().await.text(), "late");
        soon("it is asked again", waiting.asked.notified()).await;
        waiting.answer.notify_one();
        assert_eq!(client.answer_to_end().await.text(), "late");
    }
    for line in edge.log_lines(6).await {
        assert_eq!(line["closeReason"], "completed", "{line}");
    }
}

#[tokio::test]
async fn a_target_is_not_blamed_for_a_client_that_may_have_left() {
    let waiting = Waiting::after("").await;
    let edge = start(&waiting, "15s", "1500").await;
    for tail in tails() {
        let mut client = edge.connect().await;
        client.send(format!("{GET}{tail}")).await;
        soon("the target is asked", waiting.asked.notified()).await;
        client.finish().await;
        assert_eq!(client.answer().await.status, 504);
        assert_eq!(edge.ejections(waiting.target.address), 0.0, "{tail:.20}");
    }
}

#[tokio::test]
async fn a_goodbye_in_tls_is_heard_behind_the_beginning_of_the_next_request() {
    let (authority, waiting) = (Authority::new(), Waiting::after("").await);
    authority.issue("one", &[HOST]);
    let configuration = configuration(&waiting.target, "200", "15s");
    let edge = Edge::start(&configuration.tls(&authority, &["one"])).await;
    let mut client = authority.connect(edge.address, HOST).await;
    client.send(format!("{GET}x")).await;
    soon("the target is asked", waiting.asked.notified()).await;
    let begun = Instant::now();
    // No FIN comes behind it.
    client.stream.get_mut().1.send_close_notify();
    client.send("").await;
    assert!(!soon("the end", client.has_more()).await);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(edge.log_line().await["closeReason"], "client_closed");
}
