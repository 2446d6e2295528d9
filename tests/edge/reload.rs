//! SIGHUP: a file is taken whole or not at all, and what is open does not notice.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::edge::{free_addresses, get_now, lines_of};
use crate::harness::{Config, Connection, Edge, Load, Target, eventually};

pub const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const APPLIED: &str = "config_reloads_total{result=\"applied\"}";
const REJECTED: &str = "config_reloads_total{result=\"rejected\"}";
const LAST: &str = "config_last_reload_timestamp_seconds";

/// A configuration that answers everything itself.
pub fn saying(text: &str) -> Config {
    Config::answering(text).rule("clientTimeout: 60s")
}

/// A configuration that forwards everything to targets with these keys, in a group with these.
pub fn group(keys: &str, targets: &[(SocketAddr, &str)]) -> Config {
    let group = Config::to_group("healthCheck: {checkInterval: 100}", &[])
        .rule("clientTimeout: 60s")
        .group(keys);
    let add = |config: Config, (target, keys): &(SocketAddr, &str)| config.target(*target, keys);
    targets.iter().fold(group, add)
}

pub async fn all_say_hi(clients: &mut [Connection]) {
    for client in clients {
        client.say_hi().await;
    }
}

#[tokio::test]
async fn rules_change_in_place_for_new_connections_and_for_those_that_are_open() {
    let edge = Edge::start(&saying("first")).await;
    let mut client = edge.connect().await;
    client.send(GET).await;
    assert_eq!(client.answer().await.text(), "first");
    let before = edge.metric(LAST);

    edge.reload(&saying("second")).await;

    assert_eq!(edge.get("/").await.text(), "second");
    client.send(GET).await;
    assert_eq!(client.answer().await.text(), "second");
    assert_eq!((edge.metric(APPLIED), edge.metric(REJECTED)), (1.0, 0.0));
    assert!(edge.metric(LAST) >= before);
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_all_its_problems_are_told() {
    let edge = Edge::start(&saying("first")).await;
    let before = edge.metric(LAST);
    let second = saying("second");
    let two_problems = saying("second")
        .rule("clientTimeut: 60s")
        .http_rule("statusCode: 99");
    // The rest cannot be known from the file alone.
    let elsewhere = saying("second")
        .add_rule("other")
        .rule("listenerIp: 192.0.2.1");
    let no_folder = saying("second").top("accessLog: {path: FOLDER/missing/access.log}");
    for (place, (bad, problems)) in [
        (
            &two_problems,
            &["statusCode: must be", "clientTimeut: unknown key"][..],
        ),
        (
            &elsewhere,
            &["forwardingRules[1] \"other\": cannot listen on 192.0.2.1:"],
        ),
        (&no_folder, &["accessLog.path: No such file"]),
    ]
    .into_iter()
    .enumerate()
    {
        edge.configure(bad);
        edge.signal("HUP");
        let rejected = place as f64 + 1.0;
        let is_rejected = || (edge.metric(REJECTED) == rejected).then_some(());
        eventually("it is rejected", is_rejected).await;
        for problem in problems {
            edge.says(problem).await;
        }
        assert_eq!(edge.get("/").await.text(), "first");
    }
    assert_eq!((edge.metric(APPLIED), edge.metric(LAST)), (0.0, before));
    edge.reload(&second).await;
    assert_eq!(edge.get("/").await.text(), "second");
}

#[tokio::test]
async fn weights_change_in_place() {
    let [one, two] = [Target::named("one").await, Target::named("two").await];
    let weights = |weights: [&'static str; 2]| {
        let targets = [(one.address, weights[0]), (two.address, weights[1])];
        group("", &targets)
    };
    let edge = Edge::start(&weights(["weight: 1", "weight: 0"])).await;
    assert_eq!(edge.answers(12).await, ["one"; 12]);
    edge.reload(&weights(["weight: 1", "weight: 3"])).await;
    let shared = edge.answers(12).await;
    let of_two = shared.iter().filter(|name| *name == "two");
    assert_eq!(of_two.count(), 9, "{shared:?}");
}

#[tokio::test]
async fn timeouts_change_in_place() {
    let silent = Target::scripted(async |_: Connection| std::future::pending().await).await;
    let with = |timeout| group(timeout, &[(silent.address, "")]);
    let edge = Edge::start(&with("responseTimeout: 1h")).await;
    edge.reload(&with("responseTimeout: 200ms")).await;
    assert_eq!(edge.get("/").await.status, 504);
}

#[tokio::test]
async fn the_access_log_moves_to_another_file_with_the_tunnels_that_were_open() {
    let target = Target::named("target").await;
    let with = |log: &str| {
        group("", &[(target.address, "")]).top(&format!("accessLog: {{path: FOLDER/{log}.log}}"))
    };
    let edge = Edge::start(&with("first")).await;
    let (mut client, _) = edge.tunnel().await;
    edge.get("/before").await;
    let uris = |log: &str| -> Vec<Value> {
        let lines = lines_of(&edge.folder.path().join(format!("{log}.log")));
        lines
            .into_iter()
            .map(|mut line| line["requestUri"].take())
            .collect()
    };
    let has_line = || (uris("first") == ["/before"]).then_some(());
    eventually("the first line", has_line).await;

    edge.reload(&with("second")).await;
    edge.get("/after").await;
    let has_line = || (uris("second") == ["/after"]).then_some(());
    eventually("the second line", has_line).await;
    client.leave(1000).await;

    let has_both = || (uris("second") == ["/after", "/chat"]).then_some(());
    eventually("the tunnel's line", has_both).await;
    assert_eq!(uris("first"), ["/before"]);
}

#[tokio::test]
async fn a_target_keeps_its_health_and_its_open_tunnels() {
    let [target, dies] = [Target::named("target").await, Target::named("dies").await];
    let down = dies.address;
    drop(dies);
    let slow = "healthCheck: {checkInterval: 200, unhealthyThreshold: 1, healthyThreshold: 100}";
    let with = |settings: &'static str| {
        let targets = [(target.address, settings), (down, settings)];
        group(slow, &targets)
    };
    let edge = Edge::start(&with("")).await;
    let health = format!("target_healthy{{target=\"{down}\",target_group=\"group\"}}");
    let is_down = || (edge.metric(&health) == 0.0).then_some(());
    eventually("it is unhealthy", is_down).await;
    let mut clients = edge.tunnels(3).await;
    // A target that began anew would be healthy from now on; this one must first pass a hundred
    // checks.
    let _back = Target::answering_at(down, "back").await;

    for settings in ["maintenanceEnabled: false", "healthCheckEnabled: true"] {
        edge.reload(&with(settings)).await;
        assert_eq!(edge.metric(&health), 0.0);
        assert_eq!(edge.tunnels_active(target.address), 3.0);
        assert_eq!(edge.answers(10).await, ["target"; 10]);
    }

    all_say_hi(&mut clients).await;
    clients[0].leave(1000).await;
    edge.log_lines(21).await;
    assert_eq!(edge.tunnels_active(target.address), 2.0);
}

#[tokio::test]
async fn the_admin_address_moves() {
    let [moved] = free_addresses();
    let mut edge = Edge::start(&saying("first")).await;
    let before = edge.admin;
    let elsewhere = saying("second").admin(moved);
    edge.configure(&elsewhere);
    edge.signal("HUP");
    eventually("the new admin address answers", || {
        get_now(moved, "/readyz").filter(|answer| answer.contains(" 200 "))
    })
    .await;
    let is_closed = || std::net::TcpStream::connect(before).err();
    eventually("the old one is closed", is_closed).await;
    edge.admin = moved;
    // It moves before all else of the configuration is in place.
    let applied = || edge.metric("config_reloads_total{result=\"applied\"}") == 1.0;
    eventually("the configuration is applied", || applied().then_some(())).await;
    assert_eq!(edge.get("/").await.text(), "second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_comes_and_goes_without_a_refusal_on_the_others() {
    let target = Target::named("target").await;
    let one = group("", &[(target.address, "")]);
    // The rule of the address that stays gets another name.
    let two = one.clone().rule("name: renamed").add_rule("other");
    let two = two
        .rule("listenerIp: 127.0.0.2, clientTimeout: 60s")
        .http_rules("{name: all, type: FORWARD, targetGroup: group}");
    let edge = Edge::start(&one).await;
    // The port is ours on every address.
    let host = IpAddr::from(Ipv4Addr::new(127, 0, 0, 2));
    let added = SocketAddr::new(host, edge.address.port());
    let load = Load::on(edge.address);
    let mut clients = Vec::new();
    for _ in 0..5 {
        assert!(std::net::TcpStream::connect(added).is_err());
        edge.reload(&two).await;
        clients.push(Connection::tunnel(added, "/chat").await.0);
        edge.reload(&one).await;
        let is_closed = || std::net::TcpStream::connect(added).err();
        eventually("the added address is closed", is_closed).await;
        all_say_hi(&mut clients).await;
    }
    load.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_reloads_under_load_fail_no_request_drop_no_tunnel_and_cost_no_memory() {
    const MEGABYTE: usize = 1 << 20;
    let target = Target::named("target").await;
    // Half a megabyte that a configuration which is not let go would hold.
    let big = |turn: usize| {
        let text = format!("{turn}").repeat(250_000);
        let rule = format!(
            "{{name: big, type: STATIC, responseMessage: '{text}',
                conditions: [{{type: PATH, condition: EQUALS, value: /big}}]}}"
        );
        group("", &[(target.address, "")]).http_rules(&rule)
    };
    let edge = Edge::start(&big(10)).await;
    let mut kept = edge.connect().await;
    let mut clients = edge.tunnels(20).await;
    let load = Load::on(edge.address);
    let mut before = (0, 0);
    for turn in 0..60 {
        if turn == 10 {
            before = (edge.resident_memory(), edge.open_files());
        }
        edge.reload(&big(10 + turn)).await;
        kept.send(GET).await;
        assert_eq!(kept.answer().await.text(), "target");
        all_say_hi(&mut clients).await;
    }
    load.stop().await;

    let is_flat = || (edge.resident_memory() < before.0 + 12 * MEGABYTE).then_some(());
    eventually("the memory is what it was", is_flat).await;
    let are_closed = || (edge.open_files() <= before.1 + 8).then_some(());
    eventually("the files are closed", are_closed).await;
    assert_eq!(edge.tunnels_active(target.address), 20.0);
    assert_eq!((edge.metric(APPLIED), edge.metric(REJECTED)), (60.0, 0.0));
}

#[tokio::test]
async fn health_is_checked_no_more_often_after_many_reloads() {
    let target = Target::named("target").await;
    let configuration = group("", &[(target.address, "")]);
    let edge = Edge::start(&configuration).await;
    for _ in 0..30 {
        edge.reload(&configuration).await;
    }
    let address = target.address;
    let checks = || {
        edge.metric(&format!(
            "health_checks_total{{result=\"passed\",target=\"{address}\",target_group=\"group\"}}"
        ))
    };
    let (before, since) = (checks(), Instant::now());
    let are_there = || (checks() >= before + 10.0).then_some(());
    eventually("ten checks, one every 100 ms", are_there).await;
    assert!(since.elapsed() > Duration::from_millis(500));
}
