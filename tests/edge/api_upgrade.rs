//! The API's address outlives a drain, and is handed over like the others.

use std::io::Read as _;
use std::net::TcpStream;

use crate::failed_hand_over::fail_to_take_over;
use crate::harness::admin::ask_unix;
use crate::harness::api::{Api, BASE, GROUPS, Reply};
use crate::harness::{Config, Connection, Edge, PATIENCE, Process, Target, eventually};

#[tokio::test]
async fn the_api_is_handed_over_and_what_it_keeps_is_there() {
    let api = Api::with(Config::answering("hello").upgradable(), "").await;
    let made = api.post_group("before");
    assert_eq!(made.status(), 202, "{made:?}");
    let mut kept = TcpStream::connect(api.address).unwrap();
    kept.set_read_timeout(Some(PATIENCE)).unwrap();

    let successor = api.hand_over().await;

    // Whoever has asked nothing is let go by the old process.
    assert_eq!(kept.read(&mut [0; 8]).unwrap_or(0), 0);
    let made = eventually("the new process takes writes", || {
        let made = api.post_group("after");
        (made.status() != 429).then_some(made)
    });
    let made = made.await;
    assert_eq!(made.status(), 202, "{made:?}");
    let groups = api.get(&format!("{GROUPS}?depth=1"))["items"].clone();
    let groups = groups.as_array().unwrap().iter();
    let mut names: Vec<&str> = groups
        .map(|one| one["properties"]["name"].as_str().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["after", "before"]);
    Process::signal_to(successor.id(), "TERM");
    let is_closed = || TcpStream::connect(api.address).is_err().then_some(());
    eventually("nobody listens any more", is_closed).await;
}

#[tokio::test]
async fn who_had_come_before_a_hand_over_gets_an_answer() {
    let api = Api::with(Config::answering("hello").upgradable(), "").await;
    let mut visitor = Connection::open(api.address).await;
    let _successor = api.hand_over().await;
    // It has nothing to stay for but this.
    api.says("an old process now").await;
    let ask = format!("GET {GROUPS} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    visitor.send(ask).await;
    assert_eq!(visitor.answer_to_end().await.status, 200);
}

#[tokio::test]
async fn after_a_hand_over_that_fails_the_api_takes_writes_as_before() {
    let api = Api::with(Config::answering("hello").upgradable(), "").await;
    fail_to_take_over(&api).await;
    let made = eventually("it takes writes", || {
        let made = api.post_group("after");
        (made.status() != 429).then_some(made)
    });
    let made = made.await;
    assert_eq!(made.status(), 202, "{made:?}");
    assert_eq!(api.get(GROUPS)["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_unix_socket_of_the_api_is_handed_over_and_nobody_finds_it_closed() {
    let config = Config::answering("hello").upgradable();
    let edge = Edge::start(&config.api("unix:FOLDER/api.sock", "")).await;
    let socket = edge.folder.path().join("api.sock");
    let successor = edge.hand_over().await;
    assert_eq!(
        Reply::of(&ask_unix(&socket, "GET", BASE).unwrap()).status(),
        200
    );
    let is_alone = || (edge.processes() == [successor.id()]).then_some(());
    eventually("the old one is gone", is_alone).await;
    assert_eq!(
        Reply::of(&ask_unix(&socket, "GET", BASE).unwrap()).status(),
        200
    );
    Process::signal_to(successor.id(), "TERM");
    eventually("the socket is gone", || (!socket.exists()).then_some(())).await;
}

#[tokio::test]
async fn a_drain_leaves_the_api_until_the_end() {
    let target = Target::named("target").await;
    let config = Config::forwarding_to(&[target.address]).server("drain: {deadline: 1h}");
    let api = Api::with(config, "").await;
    let (mut client, _) = api.tunnel().await;
    api.signal("TERM");
    let is_unready = || api.admin_page("/readyz").contains(" 503 ").then_some(());
    eventually("it is not ready any more", is_unready).await;
    let is_closed = || TcpStream::connect(api.edge.address).is_err().then_some(());
    eventually("the listeners are closed", is_closed).await;
    assert_eq!(api.ask("GET", GROUPS, &[], "").status(), 200);
    client.say_hi().await;
    client.reset();
    let is_closed = || TcpStream::connect(api.address).is_err().then_some(());
    eventually("the process ends", is_closed).await;
}
