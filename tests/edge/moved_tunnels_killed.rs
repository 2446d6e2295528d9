//! The old process is killed while its tunnels move: those that it has given away go on in the new
//! one, the others end as in any crash, and each has one line.

use crate::harness::{Config, Connection, Edge, Process, Target, eventually, soon};
use crate::moved_tunnels::{lines, upgrade};

const TUNNELS: usize = 5;

/// Upgrades a process with tunnels that dies at this point.
async fn killed(failpoint: &str) -> (Edge, Target, Vec<Connection>) {
    let target = Target::mirror().await;
    let config = Config::forwarding_to(&[target.address]).upgradable();
    let config = config.top("accessLog: {path: FOLDER/access.log, journal: FOLDER/tunnels}");
    let environment = [("CULVERT_FAILPOINT", failpoint)];
    let edge = Edge::start_by(&config, |arguments| {
        Process::start_in(&environment, arguments)
    })
    .await;
    let clients = edge.tunnels(TUNNELS).await;
    upgrade(&edge).await;
    let old = edge.id();
    let is_dead = || (!edge.processes().contains(&old)).then_some(());
    eventually("the old process is killed", is_dead).await;
    (edge, target, clients)
}

/// The tunnels are lost, and the new process serves on.
async fn they_are_lost(failpoint: &str) {
    let (edge, target, clients) = killed(failpoint).await;
    for mut client in clients {
        soon("its end", client.to_end()).await;
    }
    let lines = lines(&edge, TUNNELS).await;
    for line in &lines {
        assert_eq!(line["closeReason"], "process_crash", "{line}");
    }
    let are_forgotten = || (edge.tunnels_active(target.address) == 0.0).then_some(());
    eventually("they are counted no longer", are_forgotten).await;
    let (mut client, _) = edge.tunnel().await;
    client.send("hello").await;
    assert_eq!(client.exactly(5).await, b"hello");
}

#[tokio::test]
async fn before_it_offers_them_they_are_lost() {
    they_are_lost("old_before_batch").await;
}

#[tokio::test]
async fn in_the_middle_of_an_offer_they_are_lost() {
    they_are_lost("old_in_batch").await;
}

#[tokio::test]
async fn before_it_gives_them_away_they_are_lost() {
    they_are_lost("old_before_go").await;
}

#[tokio::test]
async fn after_it_has_given_them_away_they_go_on() {
    let (edge, target, mut clients) = killed("old_after_go").await;
    for client in &mut clients {
        client.send("hello").await;
        assert_eq!(client.exactly(5).await, b"hello");
    }
    let are_known = || (edge.tunnels_active(target.address) == TUNNELS as f64).then_some(());
    eventually("they are counted once", are_known).await;
    // The file of the dead is read before they end.
    edge.says("its process died with 0 open tunnels").await;
    drop(clients);
    let lines = lines(&edge, TUNNELS).await;
    for line in &lines {
        assert_eq!(line["closeReason"], "client_closed", "{line}");
    }
}
