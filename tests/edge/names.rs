//! Targets by name: they follow what the name resolves to.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::harness::admin::ask;
use crate::harness::client::HANDSHAKE;
use crate::harness::dns::{Dns, Records};
use crate::harness::edge::{body_of, free_addresses};
use crate::harness::process::run;
use crate::harness::target::ok;
use crate::harness::tls::Answering;
use crate::harness::{Authority, Config, Connection, Edge, Target, eventually};

const HOST: &str = "chat.internal";

fn ip(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

fn addresses(last: &[u8]) -> Records {
    Records::Addresses(last.iter().map(|last| ip(*last)).collect())
}

/// Targets on one port of several addresses of this machine, each named after its address' last
/// byte.
async fn targets<const COUNT: usize>(names: [(u8, &'static str); COUNT]) -> ([Target; COUNT], u16) {
    let [free] = free_addresses();
    let mut targets = Vec::new();
    for (last, name) in names {
        let address = SocketAddr::new(ip(last), free.port());
        targets.push(Target::named_at(address, name).await);
    }
    let targets = targets.try_into();
    (targets.unwrap_or_else(|_| unreachable!()), free.port())
}

/// A configuration whose only target is a name.
fn configuration(host: &str, port: u16, resolver: &str) -> Config {
    Config::forwarding_to(&[])
        .server(&format!("resolver: {resolver}, drain: {{deadline: 1s}}"))
        .group(&format!(
            "deregistrationDelay: 0, targets: [{{host: {host}, port: {port}}}]"
        ))
}

fn asking(dns: &Dns) -> String {
    format!("{{nameServers: [\"{}\"], timeout: 300ms}}", dns.address)
}

fn resolutions(edge: &Edge, result: &str) -> f64 {
    let labels = format!("{{host=\"{HOST}\",result=\"{result}\",target_group=\"group\"}}");
    edge.metric(&format!("target_resolutions_total{labels}"))
}

/// The targets that the status shows: their addresses' last bytes, and their names.
fn shown(edge: &Edge, port: u16) -> Vec<u8> {
    let status = body_of(&edge.admin_page("/api/v1/status"));
    let targets = status["targetGroups"][0]["targets"]
        .as_array()
        .unwrap()
        .clone();
    let shown = targets.iter().map(|target| {
        assert_eq!(target["host"], HOST);
        let address: SocketAddr = target["address"].as_str().unwrap().parse().unwrap();
        assert_eq!(address.port(), port);
        match address.ip() {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(_) => 0,
        }
    });
    shown.collect()
}

async fn becomes(edge: &Edge, port: u16, expected: &[u8]) {
    let is_it = || (shown(edge, port) == expected).then_some(());
    eventually(&format!("the targets are {expected:?}"), is_it).await;
}

async fn answers(edge: &Edge) -> [String; 2] {
    let mut answers =
        [edge.get("/").await, edge.get("/").await].map(|answer| answer.text().to_owned());
    answers.sort();
    answers
}

#[tokio::test]
async fn targets_come_and_go_with_the_addresses_of_their_name() {
    let (_targets, port) = targets([(1, "one"), (2, "two"), (3, "three")]).await;
    let dns = Dns::start(addresses(&[1]), 1).await;
    let edge = Edge::start(&configuration(HOST, port, &asking(&dns))).await;
    assert_eq!(answers(&edge).await, ["one", "one"]);
    let (mut client, _) = Connection::tunnel(edge.address, "/chat").await;

    dns.change(addresses(&[2, 1]));
    becomes(&edge, port, &[1, 2]).await;
    assert_eq!(answers(&edge).await, ["one", "two"]);
    client.say_hi().await;
    let status = run(
        &["-c", edge.file().to_str().unwrap(), "status"],
        edge.folder.path(),
    );
    let status = String::from_utf8_lossy(&status.stdout);
    assert!(
        status.contains(&format!("127.0.0.2:{port} ({HOST})")),
        "{status}"
    );

    dns.change(addresses(&[3, 2]));
    client.is_sent_away().await;
    becomes(&edge, port, &[2, 3]).await;
    assert_eq!(answers(&edge).await, ["three", "two"]);
    let lines = edge.log_lines(7).await;
    let tunnel = lines.iter().find(|line| line["upgrade"] == "websocket");
    assert_eq!(tunnel.unwrap()["closeReason"], "target_removed");

    let mut many: Vec<IpAddr> = (0..100).map(|n| IpAddr::from([127, 0, 1, n])).collect();
    many.insert(50, ip(2));
    dns.change(Records::Addresses(many));
    eventually("there are 64 targets", || {
        (shown(&edge, port).len() == 64).then_some(())
    })
    .await;
    edge.says("only 64 of them are targets").await;
    assert_eq!(resolutions(&edge, "failed"), 0.0);
    assert!(resolutions(&edge, "resolved") >= 4.0);
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_any_more_keeps_its_addresses() {
    let (_targets, port) = targets([(1, "one"), (2, "two")]).await;
    for failure in [
        Records::Failure,
        Records::NoName,
        Records::Silence,
        addresses(&[]),
    ] {
        let dns = Dns::start(addresses(&[1]), 1).await;
        let edge = Edge::start(&configuration(HOST, port, &asking(&dns))).await;
        let (mut client, _) = Connection::tunnel(edge.address, "/chat").await;

        dns.change(failure.clone());
        let failed = || (resolutions(&edge, "failed") >= 2.0).then_some(());
        eventually(&format!("two look-ups fail: {failure:?}"), failed).await;
        assert_eq!(answers(&edge).await, ["one", "one"], "{failure:?}");
        client.say_hi().await;
        let said = edge.says("cannot be resolved").await;
        let warnings = said
            .lines()
            .filter(|line| line.contains("cannot be resolved"));
        assert_eq!(warnings.count(), 1, "{failure:?}: {said}");

        dns.change(addresses(&[1, 2]));
        becomes(&edge, port, &[1, 2]).await;
        client.say_hi().await;
        edge.says("chat.internal can be resolved again").await;
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_at_the_start_keeps_nobody_waiting() {
    let (_targets, port) = targets([(1, "one")]).await;
    let dns = Dns::start(Records::Silence, 1).await;
    let began = Instant::now();
    let edge = Edge::start(&configuration(HOST, port, &asking(&dns))).await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    edge.says("WARN").await;
    assert_eq!(edge.get("/").await.status, 503);

    dns.change(addresses(&[1]));
    becomes(&edge, port, &[1]).await;
    assert_eq!(answers(&edge).await, ["one", "one"]);
}

#[tokio::test]
async fn a_name_server_that_is_silent_about_ipv6_is_heard_about_ipv4() {
    let (_targets, port) = targets([(1, "one"), (2, "two")]).await;
    let dns = Dns::start(Records::Only4(vec![ip(1)]), 1).await;
    let edge = Edge::start(&configuration(HOST, port, &asking(&dns))).await;
    becomes(&edge, port, &[1]).await;
    dns.change(Records::Only4(vec![ip(2)]));
    becomes(&edge, port, &[2]).await;
}

#[tokio::test]
async fn a_new_process_knows_the_addresses_though_the_name_cannot_be_resolved_any_more() {
    let (_targets, port) = targets([(1, "one")]).await;
    let dns = Dns::start(addresses(&[1]), 1).await;
    let configuration = configuration(HOST, port, &asking(&dns)).upgradable();
    let edge = Edge::start(&configuration).await;
    becomes(&edge, port, &[1]).await;
    dns.change(Records::Silence);
    let successor = edge.hand_over().await;
    assert_eq!(answers(&edge).await, ["one", "one"]);
    drop(successor);
}

#[tokio::test]
async fn what_an_operator_decided_about_a_target_outlives_other_addresses() {
    let (_targets, port) = targets([(1, "one"), (2, "two"), (3, "three")]).await;
    let dns = Dns::start(addresses(&[1, 2]), 1).await;
    let edge = Edge::start(&configuration(HOST, port, &asking(&dns))).await;
    let path = format!("/api/v1/targetgroups/group/targets/127.0.0.1:{port}");
    let (status, decided) = ask(&edge, "PATCH", &path, &[], "{\"maintenance\": true}");
    assert_eq!((status, &decided["host"]), (200, &HOST.into()), "{decided}");

    dns.change(addresses(&[1, 2, 3]));
    becomes(&edge, port, &[1, 2, 3]).await;

    assert_eq!(answers(&edge).await, ["three", "two"]);
    let status = body_of(&edge.admin_page("/api/v1/status"));
    let first = &status["targetGroups"][0]["targets"][0];
    assert_eq!(first["override"]["maintenance"], true);
}

#[tokio::test]
async fn a_reload_may_change_the_name_and_takes_its_tunnels_away() {
    let (_targets, port) = targets([(1, "one"), (2, "two")]).await;
    let dns = Dns::start(addresses(&[2]), 300).await;
    let asking = asking(&dns);
    let edge = Edge::start(&configuration(HOST, port, &asking)).await;
    let (mut client, _) = Connection::tunnel(edge.address, "/chat").await;

    // In /etc/hosts.
    edge.reload(&configuration("LocalHost", port, &asking))
        .await;

    client.is_sent_away().await;
    assert_eq!(answers(&edge).await, ["one", "one"]);
    let labels = format!("{{host=\"{HOST}\"");
    let is_forgotten = || (!edge.admin_page("/metrics").contains(&labels)).then_some(());
    eventually("the other name is forgotten", is_forgotten).await;
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    assert!(client.head().await.contains("X-Target: one"));
}

#[tokio::test]
async fn over_tls_a_target_is_asked_for_its_name() {
    let authority = Authority::new();
    authority.issue("one", &["localhost"]);
    let target = authority.target("one", async |mut connection: Answering| {
        while connection.has_more().await {
            connection.head().await;
            connection.send(ok("hello")).await;
        }
    });
    let target = target.await;
    let tls = format!(
        "protocol: HTTPS, caFile: {}",
        authority.file("ca.crt").display()
    );
    let by_name = configuration("localhost", target.address.port(), "{}").group(&tls);
    let by_address = by_name.clone().each_target("host: null, ip: 127.0.0.1");
    for (configuration, status) in [(by_name, 200), (by_address, 503)] {
        let edge = Edge::start(&configuration).await;
        assert_eq!(edge.get("/").await.status, status);
        let mut client = edge.connect().await;
        client.send(HANDSHAKE).await;
        assert_eq!(client.answer().await.status, status);
    }
}
