//! A group of real processes, one of which is killed and started again while clients hold on.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::task::JoinSet;

use crate::harness::edge::body_of;
use crate::harness::ports::free_addresses;
use crate::harness::python;
use crate::harness::{Config, Connection, Edge, eventually, soon};

const CLIENTS: usize = 30;
const CLOSE: u8 = 8;

/// A target in a process of its own, which listens at this address.
async fn target(address: SocketAddr) -> Child {
    let mut target = python("target.py")
        .arg(address.port().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(target.stdout.take().unwrap()).lines();
    let said = soon("the target's address", lines.next_line()).await;
    assert_eq!(said.unwrap().unwrap(), address.to_string());
    target
}

/// Has a tunnel open, and opens another whenever it ends.
async fn hold_on(edge: SocketAddr) {
    loop {
        let (mut tunnel, _) = Connection::tunnel(edge, "/").await;
        while let Some((opcode, _)) = tunnel.frame().await {
            if opcode == CLOSE {
                tunnel.leave(1000).await;
            }
        }
    }
}

/// The status API's words on the targets, by address.
fn targets(edge: &Edge) -> Vec<Value> {
    let status = body_of(&edge.admin_page("/api/v1/status"));
    status["targetGroups"][0]["targets"]
        .as_array()
        .unwrap()
        .clone()
}

fn has(target: &Value, address: SocketAddr) -> bool {
    target["address"] == address.to_string()
}

/// Waits until all clients have tunnels, about as many to each of these targets, and none to
/// others. How many the first has.
async fn carry(edge: &Edge, carriers: &[SocketAddr]) -> usize {
    let share = CLIENTS / carriers.len();
    let what = format!("about {share} tunnels to each of {carriers:?}");
    eventually(&what, || {
        let all = targets(edge);
        let open = |address: &SocketAddr| {
            let target = all.iter().find(|target| has(target, *address))?;
            target["openTunnels"].as_u64()
        };
        let open: Vec<u64> = carriers.iter().filter_map(open).collect();
        // Two that are picked for at the same moment may not see each other.
        let is_about = |open: &u64| open.abs_diff(share as u64) <= 2;
        let is_all = open.iter().sum::<u64>() == CLIENTS as u64;
        (is_all && open.iter().all(is_about)).then_some(open[0] as usize)
    })
    .await
}

#[tokio::test]
async fn a_target_that_is_killed_and_started_again_gets_its_share_back() {
    let [one, two, three] = free_addresses();
    let (mut first, _second, _third) = (target(one).await, target(two).await, target(three).await);
    let configuration = Config::forwarding_to(&[one, two, three]).group(
        "algorithm: LEAST_CONNECTION, rebalance: {rate: 10000, minAge: 0},
        healthCheck: {type: WEBSOCKET, ping: true}",
    );
    let edge = Edge::start(&configuration).await;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(hold_on(edge.address));
    }
    let carried = carry(&edge, &[one, two, three]).await;

    first.kill().await.unwrap();
    carry(&edge, &[two, three]).await;
    let why = eventually("it is unhealthy", || {
        let all = targets(&edge);
        let dead = all.iter().find(|target| has(target, one)).unwrap();
        (dead["healthy"] == false).then(|| dead["lastCheck"]["reason"].clone())
    })
    .await;
    assert!(why.as_str().unwrap().contains("refused"), "{why}");

    let _again = target(one).await;
    let carried_again = carry(&edge, &[one, two, three]).await;
    let rebalanced = || {
        let lines = edge.log();
        let with = |reason: &str| {
            lines
                .iter()
                .filter(|line| line["closeReason"] == reason)
                .count()
        };
        let broken_off = with("target_error") + with("target_closed");
        assert_eq!(with("rebalanced") + broken_off, lines.len(), "{lines:?}");
        (broken_off == carried && with("rebalanced") >= carried_again).then_some(())
    };
    eventually("the lines of those that were rebalanced", rebalanced).await;
}
