//! Requests go to the targets that are fit for them, in proportion to their weights, and what a
//! target does wrong costs as little as possible.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::harness::target::{ok, refusing, unresponsive};
use crate::harness::{Config, Connection, Edge, Target, eventually};

#[tokio::test]
async fn requests_are_shared_in_proportion_to_the_weights() {
    let targets = [
        Target::answering("one").await,
        Target::answering("two").await,
        Target::answering("seven").await,
    ];
    let entries = [
        (targets[0].address, "weight: 1"),
        (targets[1].address, "weight: 2"),
        (targets[2].address, "weight: 7"),
    ];
    let edge = Edge::start(&group("", &entries)).await;

    let answers = answers(&edge, 1000).await;

    let share = |name| answers.iter().filter(|answer| **answer == name).count();
    assert_eq!(
        (share("one"), share("two"), share("seven")),
        (100, 200, 700)
    );
}

#[tokio::test]
async fn a_target_of_weight_0_and_one_in_maintenance_get_nothing() {
    let [open, resting, maintained] = [
        Target::answering("open").await,
        Target::answering("resting").await,
        Target::answering("maintained").await,
    ];
    let entries = [
        (open.address, "weight: 1"),
        (resting.address, "weight: 0"),
        (maintained.address, "weight: 256, maintenanceEnabled: true"),
    ];
    let edge = Edge::start(&group("", &entries)).await;

    assert_eq!(answers(&edge, 50).await, ["open"; 50]);

    assert_eq!((resting.connections(), maintained.connections()), (0, 0));
    let healthy = target_metric("target_healthy", maintained.address);
    assert_eq!(edge.metric(&healthy), 1.0);
}

#[tokio::test]
async fn where_no_target_takes_requests_the_answer_is_503() {
    let target = Target::answering("hello").await;
    let other = "127.0.0.2:1".parse().unwrap();
    for targets in [
        &[(target.address, "weight: 0"), (other, "weight: 0")][..],
        &[(target.address, "maintenanceEnabled: true")],
        &[],
    ] {
        let edge = Edge::start(&group("", targets)).await;
        for request in 1..=2 {
            let answer = edge.get("/").await;
            assert_eq!(
                (answer.status, answer.text()),
                (503, "503 no target is available\n")
            );
            let line = edge.log_lines(request).await.remove(request - 1);
            assert_eq!(line["closeReason"], "refused");
            assert_eq!(line.get("target"), None);
        }
        assert!(!edge.diagnostics().contains("panicked"));
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_target_that_refuses_connections_costs_no_client_its_answer() {
    let (refusing, target) = (refusing(), Target::answering("hello").await);
    let entries = [(refusing, UNCHECKED), (target.address, UNCHECKED)];
    let edge = Edge::start(&group("", &entries)).await;

    assert_eq!(answers(&edge, 20).await, ["hello"; 20]);

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
    edge.metric_becomes(
        "refusals_total{forwarding_rule=\"edge\",reason=\"no_target\"}",
        1.0,
    )
    .await;
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

    assert_eq!(answers(&edge, 4).await, ["hello"; 4]);

    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(200) && took < Duration::from_secs(5),
        "{took:?}"
    );
    edge.metric_becomes(&target_metric("target_connect_errors_total", silent), 2.0)
        .await;
}

#[tokio::test]
async fn a_target_that_dies_gets_nothing_until_it_is_back() {
    let (stays, dies) = (
        Target::answering("stays").await,
        Target::answering("dies").await,
    );
    let address = dies.address;
    let edge = Edge::forwarding_to(&[stays.address, address]).await;
    let healthy = target_metric("target_healthy", address);
    assert_eq!(edge.metric(&healthy), 1.0);

    drop(dies);
    eventually("it is unhealthy", || {
        (edge.metric(&healthy) == 0.0).then_some(())
    })
    .await;
    assert_eq!(answers(&edge, 20).await, ["stays"; 20]);
    assert_eq!(
        edge.metric(&target_metric("target_connect_errors_total", address)),
        0.0
    );

    let back = Target::answering_at(address, "back").await;
    eventually("it is healthy", || {
        (edge.metric(&healthy) == 1.0).then_some(())
    })
    .await;
    let shared = answers(&edge, 20).await;
    assert_eq!(shared.iter().filter(|answer| *answer == "back").count(), 10);
    assert_eq!(back.connections(), 1);
}

#[tokio::test]
async fn a_target_that_is_not_checked_counts_as_healthy() {
    let (checked, unchecked) = (refusing(), refusing());
    let entries = [(checked, ""), (unchecked, UNCHECKED)];
    let check = "healthCheck: {checkInterval: 20, unhealthyThreshold: 1}";
    let edge = Edge::start(&group(check, &entries)).await;
    let failed = health_checks(checked, "failed");
    eventually("five checks", || {
        (edge.metric(&failed) >= 5.0).then_some(())
    })
    .await;

    assert_eq!(edge.metric(&target_metric("target_healthy", checked)), 0.0);
    assert_eq!(
        edge.metric(&target_metric("target_healthy", unchecked)),
        1.0
    );
    for result in ["passed", "failed"] {
        assert_eq!(edge.metric(&health_checks(unchecked, result)), 0.0);
    }
    assert_eq!(edge.get("/").await.status, 503);
    let errors = target_metric("target_connect_errors_total", unchecked);
    edge.metric_becomes(&errors, 1.0).await;
}

#[tokio::test]
async fn health_turns_after_as_many_results_in_a_row_as_configured() {
    let target = Target::answering("hello").await;
    let address = target.address;
    let check = "healthCheck: {checkInterval: 200, unhealthyThreshold: 3, healthyThreshold: 2}";
    let edge = Edge::start(&group(check, &[(address, "")])).await;
    let check_until = async |result: &str, threshold: f64, turned: f64| {
        let metric = |name: &str| edge.metric(name);
        let before = metric(&health_checks(address, result));
        let mut seen = 0.0;
        eventually("its health turns", || {
            let healthy = metric(&target_metric("target_healthy", address));
            let results = metric(&health_checks(address, result)) - before;
            seen = f64::max(seen, results);
            assert!(
                healthy != turned || results >= threshold,
                "after {results} {result}"
            );
            (healthy == turned).then_some(())
        })
        .await;
        assert!(seen < threshold + 5.0, "only after {seen} {result}");
    };

    drop(target);
    check_until("failed", 3.0, 0.0).await;

    let _back = Target::answering_at(address, "back").await;
    check_until("passed", 2.0, 1.0).await;
}

#[tokio::test]
async fn health_checks_are_counted_and_say_nothing_to_the_target() {
    let (target, refusing) = (Target::answering("hello").await, refusing());
    let edge = Edge::forwarding_to(&[target.address, refusing]).await;
    for counter in [
        health_checks(target.address, "passed"),
        health_checks(refusing, "failed"),
    ] {
        eventually("three checks", || {
            (edge.metric(&counter) >= 3.0).then_some(())
        })
        .await;
    }
    assert_eq!(edge.metric(&health_checks(target.address, "failed")), 0.0);
    assert_eq!(edge.metric(&health_checks(refusing, "passed")), 0.0);
    assert_eq!(target.connections(), 0);
    assert!(edge.log().is_empty());
}

/// A target that does what a request's path says, wrong.
async fn failing_target() -> Target {
    Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        match head.split(' ').nth(1).unwrap() {
            "/reset" => connection.reset(),
            "/close" => {}
            "/garbage" => connection.send("SSH-2.0-OpenSSH_9.6\r\n\r\n").await,
            "/half-a-head" => connection.send("HTTP/1.1 200 OK\r\nContent-").await,
            "/bad-length" => {
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")
                    .await
            }
            "/short" => {
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
                    .await
            }
            "/short-chunk" => connection.send(format!("{CHUNKED}9\r\nhello")).await,
            "/no-last-chunk" => connection.send(format!("{CHUNKED}5\r\nhello\r\n")).await,
            "/stall" => _ = connection.to_end().await,
            "/stall-in-body" => {
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
                    .await;
                connection.to_end().await;
            }
            _ => connection.send(ok("hello")).await,
        }
    })
    .await
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_target_that_breaks_off_or_talks_nonsense_before_an_answer_is_a_502() {
    let target = failing_target().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let paths = [
        "/reset",
        "/close",
        "/garbage",
        "/half-a-head",
        "/bad-length",
    ];
    for (place, path) in paths.into_iter().enumerate() {
        let answer = edge.get(path).await;
        assert_eq!(answer.status, 502, "{path}");
        assert_eq!(answer.text(), "502 the target broke off or sent garbage\n");
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["httpStatusCode"], 502);
        assert_eq!(line["closeReason"], "refused");
        assert_eq!(line["target"], target.address.to_string());
        let error = line["error"].as_str().unwrap();
        assert!(
            error.starts_with(&format!("target {}", target.address)),
            "{error}"
        );
    }
    let refusals = "refusals_total{forwarding_rule=\"edge\",reason=\"target_failed\"}";
    edge.metric_becomes(refusals, 5.0).await;
    assert_eq!(target.connections(), 5, "a request was sent twice");
}

#[tokio::test]
async fn a_target_that_says_nothing_is_a_504_after_the_response_timeout() {
    let target = failing_target().await;
    let edge = Edge::start(&group("responseTimeout: 300", &[(target.address, "")])).await;
    let began = Instant::now();

    let answer = edge.get("/stall").await;

    let took = began.elapsed();
    assert_eq!(
        (answer.status, answer.text()),
        (504, "504 the target did not answer in time\n")
    );
    assert!(
        took >= Duration::from_millis(300) && took < Duration::from_secs(5),
        "{took:?}"
    );
    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 504);
    assert_eq!(line["closeReason"], "refused");
    assert_eq!(line["error"], "the target did not answer in time");
    edge.metric_becomes(
        "refusals_total{forwarding_rule=\"edge\",reason=\"target_timeout\"}",
        1.0,
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_reaches_the_client_as_far_as_it_came() {
    let target = failing_target().await;
    let edge = Edge::start(&group("responseTimeout: 300", &[(target.address, "")])).await;
    let paths = ["/short", "/short-chunk", "/no-last-chunk", "/stall-in-body"];
    for (place, path) in paths.into_iter().enumerate() {
        // Not by Connection: close that the client asks for: the end must be the answer's.
        let mut client = edge.connect().await;
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let answer = client.answer_to_end().await;
        assert_eq!(answer.status, 200, "{path}");
        let body = answer.text();
        assert!(
            body.ends_with("hello") || body.ends_with("hello\r\n"),
            "{path}: {body:?}"
        );
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["httpStatusCode"], 200, "{path}");
        assert_eq!(line["closeReason"], "target_error", "{path}");
        assert_eq!(line["responseBodyBytes"], 5, "{path}");
        assert!(line["error"].is_string(), "{path}");
    }
}

#[tokio::test]
async fn failing_requests_leave_no_connection_behind() {
    let target = failing_target().await;
    let entries = [(target.address, UNCHECKED), (refusing(), UNCHECKED)];
    let edge = Edge::start(&group("responseTimeout: 50", &entries)).await;
    let paths = [
        "/reset",
        "/close",
        "/garbage",
        "/stall",
        "/short",
        "/stall-in-body",
        "/no-last-chunk",
    ];
    edge.get("/reset").await;
    let before = edge.open_files();

    for request in 0..200 {
        let path = paths[request % paths.len()];
        let mut client = edge.connect().await;
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        match request % 3 {
            0 => client.reset(),
            1 => client.finish().await,
            _ => _ = client.answer_to_end().await,
        }
    }

    let active = "connections_active{forwarding_rule=\"edge\"}";
    eventually("all connections are closed", || {
        (edge.metric(active) == 0.0).then_some(())
    })
    .await;
    eventually("all files are closed", || {
        (edge.open_files() <= before).then_some(())
    })
    .await;
    assert!(!edge.diagnostics().contains("panicked"));
}

/// For a target whose health is not checked.
const UNCHECKED: &str = "healthCheckEnabled: false";

/// A configuration that forwards everything to targets with these keys, in a group with these.
fn group(keys: &str, targets: &[(SocketAddr, &str)]) -> Config {
    let group = Config::to_group("healthCheck: {checkInterval: 100}", &[]).group(keys);
    let add = |config: Config, (target, keys): &(SocketAddr, &str)| config.target(*target, keys);
    targets.iter().fold(group, add)
}

/// The bodies of the answers to this many requests, sent one after the other on one connection.
async fn answers(edge: &Edge, count: usize) -> Vec<String> {
    let mut client = edge.connect().await;
    let mut answers = Vec::new();
    for _ in 0..count {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        answers.push(client.answer().await.text().to_owned());
    }
    answers
}

fn target_metric(name: &str, target: SocketAddr) -> String {
    format!("{name}{{target=\"{target}\",target_group=\"group\"}}")
}

fn health_checks(target: SocketAddr, result: &str) -> String {
    format!("health_checks_total{{result=\"{result}\",target=\"{target}\",target_group=\"group\"}}")
}
