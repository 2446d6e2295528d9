//! What a watch makes of messages as no healthy member sends them. The endpoints are played here.

use std::time::Duration;

use culvert::etcd::{Cause, Client, Position, Settings, Watch};

use crate::harness::played::{Played, answer, stream};
use crate::harness::{end_of, soon, values_to};

const POSITION: Position = Position {
    cluster: 1,
    term: 2,
    revision: 10,
};

const CREATED: &str = r#"{"result":{"created":true}}"#;

/// The answer of an endpoint that is at this revision.
fn page(revision: i64) -> String {
    let header = format!(r#"{{"cluster_id":"1","revision":"{revision}","raft_term":"2"}}"#);
    answer("200 OK", &format!(r#"{{"header":{header}}}"#))
}

/// A message with a change for each of these revisions, whose values are `a` and so on.
fn changes(changes: &[(i64, &str)]) -> String {
    let event = |(revision, value): &(i64, &str)| {
        format!(r#"{{"kv":{{"key":"YQ==","mod_revision":"{revision}","value":"{value}"}}}}"#)
    };
    let events: Vec<String> = changes.iter().map(event).collect();
    format!(r#"{{"result":{{"events":[{}]}}}}"#, events.join(","))
}

/// One that is at a revision and tells this in a watch.
async fn tells(messages: &[&str]) -> Played {
    let told = stream(messages);
    Played::says(move |path| match path {
        "/v3/watch" => told.clone(),
        _ => page(20),
    })
    .await
}

fn watch(endpoints: &[&Played]) -> Watch {
    let endpoints = endpoints.iter().map(|played| played.endpoint()).collect();
    let mut settings = Settings::new(endpoints);
    settings.times.silence = Duration::from_millis(300);
    settings.bounds.answer = 1000;
    Client::new(settings).unwrap().watch(b"a", POSITION)
}

#[tokio::test]
async fn what_was_seen_already_is_passed_over() {
    let [old, new] = [
        changes(&[(9, "b2xk"), (10, "b2xk")]),
        changes(&[(10, "b2xk"), (11, "bmV3")]),
    ];
    let played = tells(&[CREATED, &old, &new]).await;
    assert_eq!(values_to(&mut watch(&[&played]), "new").await, ["new"]);
}

#[tokio::test]
async fn one_that_is_silent_is_left_for_the_next_endpoint() {
    let new = changes(&[(11, "bmV3")]);
    let (silent, good) = (tells(&[CREATED]).await, tells(&[CREATED, &new]).await);
    let mut watch = watch(&[&silent, &good]);
    assert_eq!(values_to(&mut watch, "new").await, ["new"]);
    // It goes on where it was: what it was told by the other one does not come again.
    assert!(
        tokio::time::timeout(Duration::from_secs(1), watch.next())
            .await
            .is_err()
    );
    assert!(silent.requests() >= 2 && good.requests() >= 2);
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_it() {
    let large = changes(&[(11, &"bmV3".repeat(1000))]);
    let played = tells(&[CREATED, &large]).await;
    assert_eq!(
        end_of(&mut watch(&[&played])).await.cause,
        Cause::AnswerTooLarge
    );
}

#[tokio::test]
async fn an_endpoint_without_a_leader_or_with_nonsense_is_left() {
    let error = r#"{"error":{"grpc_code":14,"message":"etcdserver: no leader"}}"#;
    let (lost, odd) = (tells(&[CREATED, error]).await, tells(&["nonsense"]).await);
    let (closed, new) = (
        Played::says(|_| String::new()).await,
        changes(&[(11, "bmV3")]),
    );
    let good = tells(&[CREATED, &new]).await;
    let mut watch = watch(&[&lost, &odd, &closed, &good]);
    assert_eq!(values_to(&mut watch, "new").await, ["new"]);
}

#[tokio::test]
async fn one_that_etcd_cancels_says_why() {
    let reason = "etcdserver: permission denied";
    let cancelled = format!(r#"{{"result":{{"canceled":true,"cancel_reason":"{reason}"}}}}"#);
    let played = tells(&[CREATED, &cancelled]).await;
    assert_eq!(
        end_of(&mut watch(&[&played])).await.cause,
        Cause::PermissionDenied
    );
}

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection() {
    let played = Played::says(|_| page(10)).await;
    let client = Client::new(Settings::new(vec![played.endpoint()])).unwrap();
    for _ in 0..5 {
        soon("a range", client.range(b"a", None)).await.unwrap();
    }
    assert_eq!((played.requests(), played.connections()), (5, 1));
}
