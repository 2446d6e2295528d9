//! Whatever goes wrong while tunnels move, they go on in the old process, up to the one word that
//! gives them away.

use crate::harness::{Config, Connection, Edge, Process, Target, eventually, soon};
use crate::moved_tunnels::{lines, one_is_left, sums, upgradable, upgrade};

async fn start(failpoint: &str, target: &Target) -> Edge {
    let config = upgradable(Config::forwarding_to(&[target.address]));
    let environment = [("CULVERT_FAILPOINT", failpoint)];
    Edge::start_by(&config, |arguments| {
        Process::start_in(&environment, arguments)
    })
    .await
}

async fn say_hello(client: &mut Connection) {
    client.send("hello").await;
    assert_eq!(client.exactly(5).await, b"hello");
}

/// The new process dies at this point, and the old one goes on with its tunnels.
async fn nothing_is_lost(failpoint: &str) {
    let target = Target::mirror().await;
    let edge = start(failpoint, &target).await;
    let mut clients = edge.tunnels(5).await;
    for client in &mut clients {
        say_hello(client).await;
    }
    upgrade(&edge).await;
    let is_alone = || (edge.processes() == [edge.id()]).then_some(());
    eventually("the new process is gone", is_alone).await;
    for mut client in clients {
        say_hello(&mut client).await;
        client.finish().await;
        client.to_end().await;
    }
    let lines = lines(&edge, 5).await;
    assert!(lines.iter().all(|line| sums(line) == [10, 10]), "{lines:?}");
}

#[tokio::test]
async fn a_new_process_that_dies_before_it_has_built_them_loses_none() {
    nothing_is_lost("before_built").await;
}

#[tokio::test]
async fn a_new_process_that_dies_before_they_are_given_away_loses_none() {
    nothing_is_lost("after_built").await;
}

#[tokio::test]
async fn one_that_dies_with_them_takes_them_along_as_in_any_crash() {
    let target = Target::mirror().await;
    let mut edge = start("after_go", &target).await;
    let clients = edge.tunnels(3).await;
    upgrade(&edge).await;
    for mut client in clients {
        soon("the end", client.to_end()).await;
    }
    assert_eq!(edge.exited().await.code(), Some(0));
    lines(&edge, 0).await;
}

/// Still in the old process, and counted in the new one.
async fn they_stay(edge: &Edge, target: &Target, mut clients: Vec<Connection>) {
    let count = clients.len() as f64;
    let are_known = || (edge.tunnels_active(target.address) == count).then_some(());
    eventually("the new one knows of them", are_known).await;
    assert_eq!(edge.metric("old_generations"), 1.0);
    for client in &mut clients {
        say_hello(client).await;
    }
    drop(clients);
    one_is_left(edge).await;
    lines(edge, count as usize).await;
}

#[tokio::test]
async fn a_version_that_knows_nothing_of_it_leaves_them_where_they_are() {
    let target = Target::mirror().await;
    let edge = start("no_move", &target).await;
    let clients = edge.tunnels(3).await;
    upgrade(&edge).await;
    they_stay(&edge, &target, clients).await;
}

#[tokio::test]
async fn they_stay_where_the_file_says_so() {
    let target = Target::mirror().await;
    let config = upgradable(Config::forwarding_to(&[target.address]));
    let edge = Edge::start(&config.server("upgrade: {moveTunnels: false}")).await;
    let clients = edge.tunnels(3).await;
    upgrade(&edge).await;
    they_stay(&edge, &target, clients).await;
}

#[tokio::test]
async fn those_for_which_the_new_process_has_no_files_stay() {
    const TUNNELS: usize = 60;
    let target = Target::mirror().await;
    let config = upgradable(Config::forwarding_to(&[target.address]));
    let edge = Edge::start(&config).await;
    let mut clients = edge.tunnels(TUNNELS).await;
    let file = edge.file();
    let new = Process::start_with_files(220, &["-c", file.to_str().unwrap(), "-u"]);
    let took_over = || {
        edge.signal("QUIT");
        (edge.pid_in_file() == Some(new.id())).then_some(())
    };
    eventually("the hand-over", took_over).await;
    edge.says("the new process has no files for them").await;
    edge.metric_becomes("old_generations", 1.0).await;
    assert_eq!(edge.tunnels_active(target.address), TUNNELS as f64);
    for client in &mut clients {
        say_hello(client).await;
    }
    drop(clients);
    let lines = lines(&edge, TUNNELS).await;
    assert!(lines.iter().all(|line| sums(line) == [5, 5]));
}

#[tokio::test]
async fn those_whose_descriptors_are_lost_on_the_way_stay() {
    const TUNNELS: usize = 120;
    let target = Target::mirror().await;
    let config = upgradable(Config::forwarding_to(&[target.address]));
    let edge = Edge::start(&config).await;
    let mut clients = edge.tunnels(TUNNELS).await;
    let file = edge.file();
    // It says that it has room for all.
    let environment = [("CULVERT_FAILPOINT", "room")];
    let new = Process::start_in(&environment, &["-c", file.to_str().unwrap(), "-u"]);
    let is_told = || new.diagnostics().contains("open files").then_some(());
    eventually("it has looked at its limit", is_told).await;
    new.limit_open_files(150);
    let took_over = || {
        edge.signal("QUIT");
        (edge.pid_in_file() == Some(new.id())).then_some(())
    };
    eventually("the hand-over", took_over).await;
    let are_refused = || {
        new.diagnostics()
            .contains("cannot go on here")
            .then_some(())
    };
    eventually("some are refused", are_refused).await;
    for client in &mut clients {
        say_hello(client).await;
    }
    drop(clients);
    let lines = lines(&edge, TUNNELS).await;
    assert!(lines.iter().all(|line| sums(line) == [5, 5]));
}
