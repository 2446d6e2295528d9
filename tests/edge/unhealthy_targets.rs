//! What becomes of requests and tunnels where a target is unhealthy, and once it is not.

use crate::harness::target::refusing;
use crate::harness::{Config, Edge, Target, eventually};
use crate::health::{OFTEN, checked, checks, is_healthy, of, status};

#[tokio::test]
async fn targets_that_come_and_go_get_requests_only_while_they_are_there() {
    let stays = Target::answering("stays").await;
    let mut others = [Target::answering("b").await, Target::answering("c").await].map(Some);
    let addresses = others
        .each_ref()
        .map(|target| target.as_ref().unwrap().address);
    let settings = format!("healthCheck: {{type: HTTP, {OFTEN}}}");
    let edge = Edge::start(&Config::to_group(
        &settings,
        &[stays.address, addresses[0], addresses[1]],
    ))
    .await;
    for round in 0..6 {
        let place = round % 2;
        let address = addresses[place];
        let name = ["b", "c"][place];
        drop(others[place].take());
        is_healthy(&edge, address, false).await;
        let answers = edge.answers(20).await;
        assert!(!answers.iter().any(|answer| answer == name), "{answers:?}");

        others[place] = Some(Target::answering_at(address, name).await);
        is_healthy(&edge, address, true).await;
        let answers = edge.answers(30).await;
        for name in ["stays", "b", "c"] {
            let share = answers.iter().filter(|answer| *answer == name).count();
            assert_eq!(share, 10, "{answers:?}");
        }
    }
}

#[tokio::test]
async fn where_no_target_is_healthy_the_answer_is_503_or_with_fail_open_a_targets() {
    let target = Target::answering("hello").await;
    for (setting, status) in [("failOpen: false", 503), ("failOpen: true", 200)] {
        let settings = format!(
            "{setting}, healthCheck: {{port: {}, {OFTEN}}}",
            refusing().port()
        );
        let edge = Edge::start(&Config::to_group(&settings, &[target.address])).await;
        is_healthy(&edge, target.address, false).await;
        assert_eq!(edge.get("/").await.status, status);
        let words = "no target is healthy: all get requests";
        match status {
            200 => drop(edge.says(words).await),
            _ => assert!(!edge.diagnostics().contains(words)),
        }
        assert_eq!(self::status(&edge, target.address)["healthy"], false);
    }
}

/// A group of two, each checked at a port of its own; the tunnels of the first are counted.
struct Pair {
    edge: Edge,
    targets: [Target; 2],
    checked: Vec<Option<Target>>,
}

impl Pair {
    async fn start(settings: &str) -> Pair {
        let targets = [Target::mirror().await, Target::mirror().await];
        let checked = [Target::answering("").await, Target::answering("").await];
        // The clients do not answer a Close.
        let mut configuration = Config::to_group(settings, &[])
            .group(&format!("healthCheck: {{{OFTEN}}}"))
            .rule("tunnel: {closeTimeout: 100ms}");
        for (target, checked) in targets.iter().zip(&checked) {
            let check = format!("healthCheckPort: {}", checked.address.port());
            configuration = configuration.target(target.address, &check);
        }
        Pair {
            edge: Edge::start(&configuration).await,
            targets,
            checked: checked.map(Some).into(),
        }
    }

    fn open(&self) -> [f64; 2] {
        [0, 1].map(|place| self.edge.tunnels_active(self.targets[place].address))
    }
}

#[tokio::test]
async fn tunnels_of_a_target_that_turns_unhealthy_are_closed_where_that_is_wanted() {
    for (setting, closes) in [("onUnhealthy: close", true), ("onUnhealthy: keep", false)] {
        let mut pair = Pair::start(&format!("{setting}, deregistrationDelay: 200ms")).await;
        let _clients = pair.edge.tunnels(10).await;
        assert_eq!(pair.open(), [5.0, 5.0]);
        pair.checked[0] = None;
        is_healthy(&pair.edge, pair.targets[0].address, false).await;
        if closes {
            eventually("they are closed", || {
                (pair.open() == [0.0, 5.0]).then_some(())
            })
            .await;
            for line in pair.edge.log_lines(5).await {
                assert_eq!(line["closeReason"], "target_unhealthy");
                assert_eq!(line["closeCode"], 1012);
                assert_eq!(line["target"], pair.targets[0].address.to_string());
            }
        } else {
            checked(&pair.edge, pair.targets[0].address, "failed", 10.0).await;
            assert_eq!(pair.open(), [5.0, 5.0]);
        }
    }
}

#[tokio::test]
async fn a_target_that_is_healthy_again_keeps_the_tunnels_that_are_left() {
    let mut pair = Pair::start("onUnhealthy: close, deregistrationDelay: 20s").await;
    let _clients = pair.edge.tunnels(80).await;
    assert_eq!(pair.open(), [40.0, 40.0]);
    let address = pair.checked[0].take().unwrap().address;
    eventually("some are closed", || (pair.open()[0] < 38.0).then_some(())).await;
    pair.checked[0] = Some(Target::answering_at(address, "").await);
    let target = pair.targets[0].address;
    is_healthy(&pair.edge, target, true).await;
    // What was about to be closed then may still be on its way.
    checked(
        &pair.edge,
        target,
        "passed",
        pair.edge.metric(&checks(target, "passed")) + 5.0,
    )
    .await;
    let left = pair.open()[0];
    assert!(left > 10.0, "{left}");
    // At that pace a second would have cost two.
    checked(
        &pair.edge,
        target,
        "passed",
        pair.edge.metric(&checks(target, "passed")) + 30.0,
    )
    .await;
    assert_eq!(pair.open(), [left, 40.0]);
}

#[tokio::test]
async fn a_new_process_knows_which_targets_are_unhealthy() {
    let (healthy, target) = (
        Target::answering("healthy").await,
        Target::answering("target").await,
    );
    let configuration = |interval: &str| {
        let check = format!("healthCheckPort: {}", refusing().port());
        let settings = format!("healthCheck: {{checkInterval: {interval}, unhealthyThreshold: 3}}");
        Config::to_group(&settings, &[healthy.address])
            .target(target.address, &check)
            .upgradable()
    };
    let edge = Edge::start(&configuration("50")).await;
    is_healthy(&edge, target.address, false).await;
    // Its first check does not turn anything, and there is no second one.
    edge.configure(&configuration("1h"));

    let successor = edge.hand_over().await;

    assert_eq!(edge.answers(20).await, ["healthy"; 20]);
    assert_eq!(edge.metric(&of("target_healthy", target.address)), 0.0);
    assert_eq!(edge.metric(&of("target_healthy", healthy.address)), 1.0);
    drop(successor);
}
