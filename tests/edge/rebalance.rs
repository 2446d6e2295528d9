//! Load evens out when a target joins.

use std::net::SocketAddr;

use tokio::task::JoinSet;

use crate::harness::{Config, Connection, Edge, Target, eventually};

const RESTART: u16 = 1012;

/// A group of these targets with this `rebalance`, each connection going where the load is least.
fn balanced(targets: &[SocketAddr], rebalance: &str) -> Config {
    let keys = format!("algorithm: LEAST_CONNECTION, rebalance: {rebalance}");
    Config::forwarding_to(targets).group(&keys)
}

/// Waits until so many tunnels are open to each of these.
async fn carry(edge: &Edge, targets: &[&Target], tunnels: f64) {
    let what = format!("{tunnels} tunnels to each target");
    let is_even = || {
        let open = |target: &&Target| edge.tunnels_active(target.address);
        targets
            .iter()
            .all(|target| open(target) == tunnels)
            .then_some(())
    };
    eventually(&what, is_even).await;
}

/// Has a tunnel open, and opens another when it is sent away.
async fn come_back(edge: SocketAddr) {
    loop {
        let (mut tunnel, _) = Connection::tunnel(edge, "/chat").await;
        let close = tunnel.frame().await;
        assert_eq!(close, Some((8, RESTART.to_be_bytes().to_vec())));
        tunnel.leave(RESTART).await;
    }
}

#[tokio::test]
async fn the_surplus_of_the_fullest_is_sent_to_a_target_that_joins() {
    let targets = [
        Target::named("a").await,
        Target::named("b").await,
        Target::named("c").await,
    ];
    let [first, second, third] = &targets;
    let both = [first.address, second.address];
    let edge = Edge::start(&balanced(&both, "{rate: 10000, minAge: 0}")).await;
    let mut clients = JoinSet::new();
    for _ in 0..60 {
        clients.spawn(come_back(edge.address));
    }
    carry(&edge, &[first, second], 30.0).await;
    let all = targets.each_ref().map(|target| target.address);

    edge.reload(&balanced(&all, "{rate: 10000, minAge: 0}"))
        .await;

    carry(&edge, &[first, second, third], 20.0).await;
    for line in edge.log_lines(20).await {
        assert_eq!(line["closeReason"], "rebalanced");
        assert_eq!(line["closeCode"], RESTART);
    }
    edge.says("20 tunnels were ended to even out the load")
        .await;
    edge.metric_becomes(
        r#"tunnels_closed_total{forwarding_rule="edge",reason="rebalanced",target_group="group"}"#,
        20.0,
    )
    .await;
}

#[tokio::test]
async fn no_more_are_closed_than_there_is_room_for() {
    let (first, second) = (Target::named("a").await, Target::named("b").await);
    let settings = "{rate: 10000, minAge: 0}";
    let edge = Edge::start(&balanced(&[first.address], settings)).await;
    let mut clients = JoinSet::new();
    for _ in 0..30 {
        clients.spawn(come_back(edge.address));
    }
    carry(&edge, &[&first], 30.0).await;
    let both = balanced(&[first.address], settings).target(second.address, "maxConnections: 4");

    edge.reload(&both).await;

    carry(&edge, &[&second], 4.0).await;
    carry(&edge, &[&first], 26.0).await;
    for line in edge.log_lines(4).await {
        assert_eq!(line["closeReason"], "rebalanced");
    }
}

#[tokio::test]
async fn tunnels_that_are_too_young_are_left_alone_and_so_are_all_without_rebalance() {
    let (first, second) = (Target::named("a").await, Target::named("b").await);
    let young = "{rate: 10000, minAge: 1h}";
    let edge = Edge::start(&balanced(&[first.address], young)).await;
    let mut clients = edge.tunnels(10).await;
    let both = [first.address, second.address];
    edge.reload(&balanced(&both, young)).await;
    edge.says("up to 5 tunnels are ended").await;
    edge.reload(&balanced(&both, "null")).await;
    clients.extend(edge.tunnels(10).await);
    carry(&edge, &[&first, &second], 10.0).await;
    for client in &mut clients {
        client.say_hi().await;
    }
    assert_eq!(edge.log().len(), 0);
}
