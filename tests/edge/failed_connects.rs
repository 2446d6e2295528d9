//! A target that takes no connection costs no client its answer, as long as there is another.

use std::time::{Duration, Instant};

use crate::harness::target::{refusing, unresponsive};
use crate::harness::{Edge, Target};
use crate::targets::{UNCHECKED, group, target_metric};

#[tokio::test]
async fn a_target_that_refuses_connections_costs_no_client_its_answer() {
    let (refusing, target) = (refusing(), Target::answering("hello").await);
    let entries = [(refusing, UNCHECKED), (target.address, UNCHECKED)];
    let edge = Edge::start(&group("", &entries)).await;

    assert_eq!(edge.answers(20).await, ["hello"; 20]);

    let errors = |address| edge.metric(&target_metric("target_connect_errors_total", address));
    assert_eq!((errors(refusing), errors(target.address)), (10.0, 0.0));
    for line in edge.log_lines(20).await {
        assert_eq!(line["target"], target.address.to_string());
        assert_eq!(line.get("error"), None);
    }
}

#[tokio::test]
async fn where_every_target_refuses_each_is_tried_once_and_the_answer_is_503() {
    let targets = [refusing(), refusing(), refusing()];
    let entries = targets.map(|target| (target, UNCHECKED));
    let edge = Edge::start(&group("", &entries)).await;

    let answer = edge.get("/").await;

    assert_eq!(
        (answer.status, answer.text()),
        (503, "503 no target is available\n")
    );
    for target in targets {
        edge.metric_becomes(&target_metric("target_connect_errors_total", target), 1.0)
            .await;
    }
    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 503);
    assert_eq!(line["closeReason"], "refused");
    edge.refused("no_target", 1).await;
}

#[tokio::test]
async fn retries_bound_the_tries() {
    for retries in 0..=2 {
        let targets = [refusing(), refusing(), refusing(), refusing()];
        let entries = targets.map(|target| (target, UNCHECKED));
        let check = format!("healthCheck: {{retries: {retries}}}");
        let edge = Edge::start(&group(&check, &entries)).await;

        assert_eq!(edge.get("/").await.status, 503);

        let errors = |target| edge.metric(&target_metric("target_connect_errors_total", target));
        let tries: f64 = targets.into_iter().map(errors).sum();
        assert_eq!(tries, f64::from(retries + 1));
        assert!(
            edge.log_line().await["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty())
        );
    }
}

#[tokio::test]
async fn a_request_with_a_body_is_tried_on_the_next_target_too() {
    let target = Target::showing().await;
    let entries = [(refusing(), UNCHECKED), (target.address, UNCHECKED)];
    let edge = Edge::start(&group("", &entries)).await;
    for _ in 0..2 {
        let answer = edge
            .request(
                "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody",
            )
            .await;
        assert!(answer.text().ends_with("\r\n\r\nbody"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_target_that_does_not_accept_a_connection_in_time_is_passed_over() {
    let (silent, target) = (unresponsive(), Target::answering("hello").await);
    let entries = [(silent, UNCHECKED), (target.address, UNCHECKED)];
    let edge = Edge::start(&group("connectTimeout: 100", &entries)).await;
    let began = Instant::now();

    assert_eq!(edge.answers(4).await, ["hello"; 4]);

    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(200) && took < Duration::from_secs(5),
        "{took:?}"
    );
    edge.metric_becomes(&target_metric("target_connect_errors_total", silent), 2.0)
        .await;
}
