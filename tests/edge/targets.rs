//! Requests go to the targets that are fit for them, in proportion to their weights.

use std::net::SocketAddr;

use crate::harness::target::refusing;
use crate::harness::{Config, Edge, Target, eventually};

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

    let answers = edge.answers(1000).await;

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

    assert_eq!(edge.answers(50).await, ["open"; 50]);

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
    assert_eq!(edge.answers(20).await, ["stays"; 20]);
    assert_eq!(
        edge.metric(&target_metric("target_connect_errors_total", address)),
        0.0
    );

    let back = Target::answering_at(address, "back").await;
    eventually("it is healthy", || {
        (edge.metric(&healthy) == 1.0).then_some(())
    })
    .await;
    let shared = edge.answers(20).await;
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

/// For a target whose health is not checked.
pub const UNCHECKED: &str = "healthCheckEnabled: false";

/// A configuration that forwards everything to targets with these keys, in a group with these.
pub fn group(keys: &str, targets: &[(SocketAddr, &str)]) -> Config {
    let group = Config::to_group("healthCheck: {checkInterval: 100}", &[]).group(keys);
    let add = |config: Config, (target, keys): &(SocketAddr, &str)| config.target(*target, keys);
    targets.iter().fold(group, add)
}

pub fn target_metric(name: &str, target: SocketAddr) -> String {
    format!("{name}{{target=\"{target}\",target_group=\"group\"}}")
}

fn health_checks(target: SocketAddr, result: &str) -> String {
    format!("health_checks_total{{result=\"{result}\",target=\"{target}\",target_group=\"group\"}}")
}
