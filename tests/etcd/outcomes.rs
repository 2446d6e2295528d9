//! A write that may have been done is told from one that was not. The endpoints are played here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use culvert::etcd::{Cause, Client, Outcome, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{free_address, put, soon};

const DONE: &str =
    r#"{"header":{"cluster_id":"1","revision":"2","raft_term":"2"},"succeeded":true}"#;

/// An endpoint that gives all who ask this answer; nothing: it closes the connection.
struct Played {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Played {
    async fn answers(status: &str, body: &str) -> Played {
        let length = body.len();
        Played::says(format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    async fn says(answer: String) -> Played {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, count) = (answer.clone(), Arc::clone(&count));
                tokio::spawn(async move { play(stream, &answer, &count).await });
            }
        });
        Played { address, asked }
    }
}

/// Answers each request, which is taken for whole once its last bracket is there.
async fn play(mut stream: TcpStream, answer: &str, count: &AtomicUsize) {
    let mut request = Vec::new();
    while stream
        .read_buf(&mut request)
        .await
        .is_ok_and(|read| read > 0)
    {
        if !request.ends_with(b"}") {
            continue;
        }
        request.clear();
        count.fetch_add(1, Relaxed);
        if answer.is_empty() || stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A client that asks these addresses in this order.
fn client(addresses: &[SocketAddr]) -> Client {
    let endpoints = addresses
        .iter()
        .map(|address| format!("http://{address}").parse().unwrap());
    let mut settings = Settings::new(endpoints.collect());
    settings.times.answer = Duration::from_millis(300);
    settings.times.whole = Duration::from_millis(500);
    Client::new(settings).unwrap()
}

#[tokio::test]
async fn a_write_that_could_not_be_sent_was_not_done() {
    let error = client(&[free_address()])
        .txn(&put("/a", "1"))
        .await
        .unwrap_err();
    assert_eq!(error.outcome, Outcome::NotDone);
    assert!(matches!(error.cause, Cause::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn a_write_whose_connection_breaks_may_have_been_done_and_is_not_repeated() {
    let played = Played::says(String::new()).await;
    let other = Played::says(String::new()).await;
    let client = client(&[played.address, other.address]);
    let error = soon("an error", client.txn(&put("/a", "1")))
        .await
        .unwrap_err();
    assert_eq!(error.outcome, Outcome::Unknown);
    assert!(matches!(error.cause, Cause::Broken(_)), "{error}");
    assert_eq!(played.asked.load(Relaxed) + other.asked.load(Relaxed), 1);
}

#[tokio::test]
async fn a_write_without_an_answer_in_time_may_have_been_done() {
    let played = Played::says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_owned()).await;
    let error = soon("an error", client(&[played.address]).txn(&put("/a", "1"))).await;
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
    let client = client(&[lost.address, free_address(), good.address]);
    for _ in 0..3 {
        assert!(
            soon("a commit", client.txn(&put("/a", "1")))
                .await
                .unwrap()
                .succeeded
        );
    }
    assert_eq!(good.asked.load(Relaxed), 3);
    assert!(
        lost.asked.load(Relaxed) <= 1,
        "whoever failed is asked last"
    );
    assert!(client.trouble().is_none());
}

#[tokio::test]
async fn a_member_without_a_leader_is_asked_for_a_while_and_then_no_more() {
    let body = r#"{"error":"etcdserver: no leader","code":14}"#;
    let lost = Played::answers("503 Service Unavailable", body).await;
    let client = client(&[lost.address]);
    let error = soon("an error", client.txn(&put("/a", "1")))
        .await
        .unwrap_err();
    assert_eq!(error.outcome, Outcome::NotDone);
    let asked = lost.asked.load(Relaxed);
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
        let error = soon("an error", client(&[played.address]).txn(&put("/a", "1"))).await;
        let error = error.unwrap_err();
        let told = format!("http://{}: no answer of etcd's: {expected}", played.address);
        assert!(error.to_string().starts_with(&told), "{error}");
        assert_eq!(error.outcome, outcome, "{error}");
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_taken() {
    let body = "x".repeat(100_000);
    let played = Played::answers("200 OK", &body).await;
    let mut settings = Settings::new(vec![format!("http://{}", played.address).parse().unwrap()]);
    settings.bounds.answer = 1000;
    let client = Client::new(settings).unwrap();
    let error = soon("an error", client.range(b"/", None))
        .await
        .unwrap_err();
    assert_eq!(error.cause, Cause::AnswerTooLarge);
}
