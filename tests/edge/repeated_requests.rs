//! `retry` of a rule: a request is sent again for the status of its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::harness::target::ok;
use crate::harness::{Config, Connection, Edge, Target};

/// Answers, of which the first ones are this; the others show the request.
fn failing(
    first: usize,
    answer: &'static str,
) -> impl Fn(&str, &[u8]) -> String + Send + Sync + 'static {
    let begun = AtomicUsize::new(0);
    move |head, body| match begun.fetch_add(1, SeqCst) < first {
        true => answer.to_owned(),
        false => ok(&format!("{head}{}", String::from_utf8_lossy(body))),
    }
}

const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";

fn config(targets: &[&Target], retry: &str) -> Config {
    let addresses: Vec<_> = targets.iter().map(|target| target.address).collect();
    Config::forwarding_to(&addresses).http_rule(&format!("retry: {{{retry}}}"))
}

#[tokio::test]
async fn a_request_is_sent_again_with_its_body_and_only_its_last_answer_is_seen() {
    let target = Target::replying(failing(2, BUSY)).await;
    let edge = Edge::start(&config(&[&target], "statusCodes: [502, 503], attempts: 2")).await;
    let request =
        "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody";
    let answer = edge.request(request).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().ends_with("\r\n\r\nbody"), "{}", answer.text());
    assert_eq!(target.heads().len(), 3);
    let line = edge.log_line().await;
    assert_eq!(
        (&line["httpStatusCode"], &line["closeReason"]),
        (&200.into(), &"completed".into())
    );
}

#[tokio::test]
async fn after_the_last_attempt_the_answer_is_passed_on_as_is_any_other() {
    let target = Target::replying(failing(9, BUSY)).await;
    let edge = Edge::start(&config(&[&target], "statusCodes: [503]")).await;
    let answer = edge.get("/").await;
    assert_eq!((answer.status, answer.text()), (503, "busy"));
    assert_eq!(target.heads().len(), 2);
    let edge = Edge::start(&config(&[&target], "statusCodes: [500]")).await;
    assert_eq!(edge.get("/").await.status, 503);
    assert_eq!(target.heads().len(), 3);
}

#[tokio::test]
async fn another_target_is_asked_where_there_is_one() {
    let busy = Target::replying(failing(99, BUSY)).await;
    let other = Target::answering("other").await;
    let edge = Edge::start(&config(&[&busy, &other], "statusCodes: [503]")).await;
    for _ in 0..4 {
        assert_eq!(edge.get("/").await.text(), "other");
    }
    assert_eq!(busy.heads().len(), 2);
}

#[tokio::test]
async fn a_body_that_is_not_kept_is_not_sent_again() {
    let target = Target::replying(failing(1, BUSY)).await;
    let edge = Edge::start(&config(&[&target], "statusCodes: [503]")).await;
    let body = "x".repeat(100 << 10);
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    assert_eq!(edge.request(&(head + &body)).await.status, 503);
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_one_that_was_answered_with_504() {
    let first = Arc::new(AtomicUsize::new(0));
    let target = Target::scripted(move |mut connection: Connection| {
        let is_first = first.fetch_add(1, SeqCst) == 0;
        async move {
            connection.head().await;
            match is_first {
                true => drop(connection.to_end().await),
                false => connection.send(ok("second")).await,
            }
        }
    })
    .await;
    let config = config(&[&target], "statusCodes: [504]").http_rule("attemptTimeout: 300ms");
    let edge = Edge::start(&config).await;
    assert_eq!(edge.get("/").await.text(), "second");
}

#[tokio::test]
async fn a_pause_comes_before_each_attempt_and_ends_with_the_request() {
    let target = Target::replying(failing(2, BUSY)).await;
    let retry = "statusCodes: [503], attempts: 2, backoff: 300ms";
    let edge = Edge::start(&config(&[&target], retry)).await;
    let began = Instant::now();
    assert_eq!(edge.get("/").await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(600));

    let target = Target::replying(failing(9, BUSY)).await;
    let config = config(&[&target], "statusCodes: [503], backoff: 1m");
    let edge = Edge::start(&config.http_rule("requestTimeout: 300ms")).await;
    assert_eq!(edge.get("/").await.status, 504);
    edge.refused("request_timeout", 1).await;
}

#[tokio::test]
async fn nothing_is_sent_again_once_the_client_has_heard_of_its_answer() {
    let hints = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let target = Target::replying(failing(1, hints)).await;
    let edge = Edge::start(&config(&[&target], "statusCodes: [503]")).await;
    let mut client = edge.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 103 "));
    assert_eq!(client.answer().await.status, 503);
}
