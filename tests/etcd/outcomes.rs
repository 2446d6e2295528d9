//! A write that may have been done is told from one that was not. The endpoints are played here.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use culvert::etcd::{Cause, Client, Endpoint, Outcome, Pages, Settings};

use crate::harness::played::{Played, answer};
use crate::harness::{free_address, put, soon};

const DONE: &str =
    r#"{"header":{"cluster_id":"1","revision":"2","raft_term":"2"},"succeeded":true}"#;

/// A client that asks these endpoints.
fn client(endpoints: &[Endpoint]) -> Client {
    let mut settings = Settings::new(endpoints.to_vec());
    settings.times.answer = Duration::from_millis(300);
    settings.times.whole = Duration::from_millis(500);
    Client::new(settings).unwrap()
}

/// Where nobody is.
fn nowhere() -> Endpoint {
    format!("http://{}", free_address()).parse().unwrap()
}

#[tokio::test]
async fn a_write_that_could_not_be_sent_was_not_done() {
    let error = client(&[nowhere()]).txn(&put("/a", "1")).await.unwrap_err();
    assert_eq!(error.outcome, Outcome::NotDone);
    assert!(matches!(error.cause, Cause::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn a_write_whose_connection_breaks_may_have_been_done_and_is_not_repeated() {
    let played = Played::says(|_| String::new()).await;
    let other = Played::says(|_| String::new()).await;
    let client = client(&[played.endpoint(), other.endpoint()]);
    let error = soon("an error", client.txn(&put("/a", "1")))
        .await
        .unwrap_err();
    assert_eq!(error.outcome, Outcome::Unknown);
    assert!(matches!(error.cause, Cause::Broken(_)), "{error}");
    assert_eq!(played.requests() + other.requests(), 1);
}

#[tokio::test]
async fn a_write_without_an_answer_in_time_may_have_been_done() {
    let played = Played::says(|_| "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_owned()).await;
    let error = soon(
        "an error",
        client(&[played.endpoint()]).txn(&put("/a", "1")),
    )
    .await;
    let error = error.unwrap_err();
    let patience = Duration::from_millis(300);
    assert_eq!(error.cause, Cause::TimedOut("answer", patience));
    assert_eq!(error.outcome, Outcome::Unknown);
}

#[tokio::test]
async fn a_write_is_repeated_where_a_member_has_no_leader_or_cannot_be_reached() {
    let body = r#"{"error":"etcdserver: no leader","code":14}"#;
    let lost = Played::answers("503 Service Unavailable", body).await;
    let good = Played::answers("200 OK", DONE).await;
    let client = client(&[lost.endpoint(), nowhere(), good.endpoint()]);
    for _ in 0..3 {
        assert!(
            soon("a commit", client.txn(&put("/a", "1")))
                .await
                .unwrap()
                .succeeded
        );
    }
    assert_eq!(good.requests(), 3);
    assert!(lost.requests() <= 1, "whoever failed is asked last");
    assert!(client.trouble().is_none());
}

#[tokio::test]
async fn a_member_without_a_leader_is_asked_for_a_while_and_then_no_more() {
    let body = r#"{"error":"etcdserver: no leader","code":14}"#;
    let lost = Played::answers("503 Service Unavailable", body).await;
    let client = client(&[lost.endpoint()]);
    let error = soon("an error", client.txn(&put("/a", "1")))
        .await
        .unwrap_err();
    assert_eq!(error.outcome, Outcome::NotDone);
    let asked = lost.requests();
    assert!((2..=6).contains(&asked), "{asked}");
    assert_eq!(client.trouble().unwrap().error, error);
}

#[tokio::test]
async fn whoever_is_not_etcd_is_named() {
    for (status, body, expected, outcome) in [
        (
            "404 Not Found",
            "404 page not found",
            "404 Not Found: 404 page not found",
            Outcome::NotDone,
        ),
        ("200 OK", "<html>", "expected value", Outcome::Unknown),
    ] {
        let played = Played::answers(status, body).await;
        let error = soon(
            "an error",
            client(&[played.endpoint()]).txn(&put("/a", "1")),
        )
        .await;
        let error = error.unwrap_err();
        let told = format!("{}: no answer of etcd's: {expected}", played.endpoint());
        assert!(error.to_string().starts_with(&told), "{error}");
        assert_eq!(error.outcome, outcome, "{error}");
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_taken() {
    let body = "x".repeat(100_000);
    let played = Played::answers("200 OK", &body).await;
    let mut settings = Settings::new(vec![played.endpoint()]);
    settings.bounds.answer = 1000;
    let client = Client::new(settings).unwrap();
    let error = soon("an error", client.range(b"/", None))
        .await
        .unwrap_err();
    assert_eq!(error.cause, Cause::AnswerTooLarge);
}

#[tokio::test]
async fn after_a_page_that_took_too_long_the_next_try_asks_for_less() {
    let asked = AtomicUsize::new(0);
    // The first answer never ends.
    let played = Played::says(move |_| match asked.fetch_add(1, Relaxed) {
        0 => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned(),
        _ => answer("200 OK", DONE),
    })
    .await;
    let client = client(&[played.endpoint()]);
    let mut pages = Pages::default();
    let late = soon("an error", client.range_by(b"/", None, &mut pages)).await;
    assert!(matches!(late.unwrap_err().cause, Cause::TimedOut(..)));
    assert_ne!(pages, Pages::default());
    let read = soon("a range", client.range_by(b"/", None, &mut pages)).await;
    assert_eq!(read.unwrap().position.revision, 2);
}
