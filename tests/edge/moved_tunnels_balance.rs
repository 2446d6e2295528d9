//! Tunnels that have moved are sent away for what becomes of their targets, as others are.

use std::net::SocketAddr;

use crate::harness::{Config, Connection, Edge, Process, Target, eventually};
use crate::health::OFTEN;
use crate::moved_tunnels::{lines, one_is_left, upgradable, upgrade};

/// How many tunnels there are.
const TUNNELS: usize = 6;

/// A process after an upgrade, with tunnels that came along.
async fn moved(config: &Config) -> (Edge, Vec<Connection>) {
    let edge = Edge::start(config).await;
    let clients = edge.tunnels(TUNNELS).await;
    upgrade(&edge).await;
    one_is_left(&edge).await;
    (edge, clients)
}

async fn active(edge: &Edge, target: SocketAddr, tunnels: f64) {
    let are_there = || (edge.tunnels_active(target) == tunnels).then_some(());
    eventually(&format!("{tunnels} tunnels to {target}"), are_there).await;
}

#[tokio::test]
async fn they_are_closed_where_their_target_turns_unhealthy() {
    let target = Target::mirror().await;
    let checked = Target::answering("").await;
    let settings = format!("onUnhealthy: close, deregistrationDelay: 1s, healthCheck: {{{OFTEN}}}");
    let check = format!("healthCheckPort: {}", checked.address.port());
    let config = Config::to_group(&settings, &[]).target(target.address, &check);
    let config = config.rule("tunnel: {closeTimeout: 100ms}");
    let (edge, mut clients) = moved(&upgradable(config)).await;
    active(&edge, target.address, TUNNELS as f64).await;
    drop(checked);
    for client in &mut clients {
        client.to_end().await;
    }
    for line in lines(&edge, TUNNELS).await {
        assert_eq!(line["closeReason"], "target_unhealthy", "{line}");
    }
}

#[tokio::test]
async fn they_even_out_when_a_target_joins() {
    let targets = [Target::named("a").await, Target::named("b").await];
    let [first, second] = targets.each_ref().map(|target| target.address);
    let config = |targets: &[SocketAddr]| {
        let keys = "algorithm: LEAST_CONNECTION, rebalance: {rate: 10000, minAge: 0}";
        upgradable(Config::forwarding_to(targets).group(keys))
    };
    let (edge, clients) = moved(&config(&[first])).await;
    active(&edge, first, TUNNELS as f64).await;
    edge.configure(&config(&[first, second]));
    Process::signal_to(edge.pid_in_file().unwrap(), "HUP");
    let half = TUNNELS / 2;
    for line in lines(&edge, half).await {
        assert_eq!(line["closeReason"], "rebalanced", "{line}");
    }
    active(&edge, first, half as f64).await;
    drop(clients);
}
