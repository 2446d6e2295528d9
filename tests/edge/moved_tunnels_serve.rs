//! A tunnel that has moved to the new process is one of its own: in its metrics, its API, its
//! limits and its drain.

use std::time::Duration;

use crate::harness::admin::{ask, get, send};
use crate::harness::{Config, Connection, Edge, Process, Target, eventually};
use crate::moved_tunnels::{lines, one_is_left, sums, upgradable, upgrade};

async fn moved(config: Config, tunnels: usize) -> (Edge, Vec<Connection>) {
    let edge = Edge::start(&upgradable(config)).await;
    let clients = edge.tunnels(tunnels).await;
    upgrade(&edge).await;
    one_is_left(&edge).await;
    (edge, clients)
}

fn labels(name: &str, target: &Target) -> String {
    let target = target.address;
    format!("{name}{{forwarding_rule=\"edge\",target=\"{target}\",target_group=\"group\"}}")
}

#[tokio::test]
async fn it_is_counted_as_adopted_and_never_as_opened() {
    let target = Target::mirror().await;
    let (edge, clients) = moved(Config::forwarding_to(&[target.address]), 3).await;
    assert_eq!(edge.metric(&labels("tunnels_active", &target)), 3.0);
    assert_eq!(edge.metric(&labels("tunnels_adopted_total", &target)), 3.0);
    assert_eq!(edge.metric(&labels("tunnels_opened_total", &target)), 0.0);
    assert_eq!(
        edge.metric("connections_active{forwarding_rule=\"edge\"}"),
        3.0
    );
    drop(clients);
    edge.metric_becomes(&labels("tunnels_active", &target), 0.0)
        .await;
    edge.metric_becomes("connections_active{forwarding_rule=\"edge\"}", 0.0)
        .await;
}

#[tokio::test]
async fn it_is_listed_and_killed_with_its_true_age_and_sums() {
    let target = Target::mirror().await;
    let edge = Edge::start(&upgradable(Config::forwarding_to(&[target.address]))).await;
    let (mut client, _) = edge.tunnel().await;
    client.send("hello").await;
    assert_eq!(client.exactly(5).await, b"hello");
    tokio::time::sleep(Duration::from_secs(1)).await;
    upgrade(&edge).await;
    one_is_left(&edge).await;
    let listed = get(&edge, "/api/v1/tunnels");
    let one = &listed["tunnels"][0];
    assert_eq!(
        (one["bytesIn"].as_u64(), one["bytesOut"].as_u64()),
        (Some(5), Some(5)),
        "{listed}"
    );
    let id = one["id"].as_str().expect("an id").to_owned();
    let (status, answer) = send(&edge, "DELETE", &format!("/api/v1/tunnels/{id}"));
    assert!(status < 300, "{status}: {answer}");
    client.to_end().await;
    let line = lines(&edge, 1).await.remove(0);
    assert_eq!(line["closeReason"], "killed");
    assert_eq!(line["trackingId"], id.as_str());
    assert!(line["durationMs"].as_f64().unwrap() >= 1000.0, "{line}");
    assert_eq!(sums(&line)[0], 5);
}

#[tokio::test]
async fn it_has_a_place_among_those_of_its_rule() {
    let target = Target::mirror().await;
    let config = Config::forwarding_to(&[target.address]).rule("maxConnections: 2");
    let (edge, mut clients) = moved(config, 2).await;
    assert_eq!(edge.get("/").await.status, 503);
    drop(clients.pop());
    let is_let_in = || {
        let answer = crate::harness::edge::get_now(edge.address, "/");
        answer
            .is_some_and(|answer| !answer.contains(" 503 "))
            .then_some(())
    };
    eventually("there is a place", is_let_in).await;
}

#[tokio::test]
async fn its_target_may_be_gone_in_the_new_file_and_then_it_is_sent_away() {
    let (target, other) = (Target::mirror().await, Target::mirror().await);
    let delay = "deregistrationDelay: 1s";
    let before = upgradable(Config::forwarding_to(&[target.address]).group(delay));
    let edge = Edge::start(&before).await;
    let (mut client, _) = edge.tunnel().await;
    edge.configure(&upgradable(
        Config::forwarding_to(&[other.address]).group(delay),
    ));
    upgrade(&edge).await;
    one_is_left(&edge).await;
    client.to_end().await;
    let line = lines(&edge, 1).await.remove(0);
    assert_eq!(line["closeReason"], "target_removed");
}

#[tokio::test]
async fn it_is_drained_with_the_new_process() {
    let target = Target::mirror().await;
    let config = upgradable(Config::forwarding_to(&[target.address]));
    let edge = Edge::start(&config.server("drain: {deadline: 1s}")).await;
    let (mut client, _) = edge.tunnel().await;
    upgrade(&edge).await;
    one_is_left(&edge).await;
    Process::signal_to(edge.pid_in_file().unwrap(), "TERM");
    client.to_end().await;
    assert_eq!(lines(&edge, 1).await[0]["closeReason"], "drained");
}

#[tokio::test]
async fn one_that_opens_late_in_the_old_process_follows() {
    let target =
        Target::upgrading(async |mut connection: Connection| connection.echo().await).await;
    let patient = Config::forwarding_to(&[target.address]).rule("clientTimeout: 50s");
    let edge = Edge::start(&upgradable(patient)).await;
    let mut early = Connection::open(edge.address).await;
    early.send("GET /chat HTTP/1.1\r\nHost: a\r\n").await;
    let accepted =
        || (edge.metric("connections_active{forwarding_rule=\"edge\"}") == 1.0).then_some(());
    eventually("it is accepted", accepted).await;
    upgrade(&edge).await;
    let rest = crate::harness::client::handshake("/chat", "");
    let (_, rest) = rest.split_once("\r\n").unwrap();
    let rest: String = rest
        .lines()
        .filter(|line| !line.starts_with("Host"))
        .map(|line| format!("{line}\r\n"))
        .collect();
    early.send(rest).await;
    assert!(early.head().await.contains(" 101 "));
    one_is_left(&edge).await;
    early.send("hello").await;
    assert_eq!(early.exactly(5).await, b"hello");
    assert_eq!(edge.metric(&labels("tunnels_adopted_total", &target)), 1.0);
}

#[tokio::test]
async fn it_is_sent_away_with_its_target_when_an_operator_drains_that() {
    let target = Target::named("target").await;
    let config = Config::forwarding_to(&[target.address]).upgradable();
    let config = config.server("drain: {deadline: 1s}");
    let edge = Edge::start(&config.top("accessLog: {path: FOLDER/access.log}")).await;
    let (mut client, _) = edge.tunnel().await;
    upgrade(&edge).await;
    one_is_left(&edge).await;
    client.say_hi().await;
    let path = format!("/api/v1/targetgroups/group/targets/{}", target.address);
    let (status, answer) = ask(&edge, "PATCH", &path, &[], "{\"drain\": true}");
    assert_eq!(status, 200, "{answer}");
    client.is_sent_away().await;
    assert_eq!(lines(&edge, 1).await[0]["closeReason"], "drained");
}
