//! How many connections there may be, and what becomes of those beyond.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::client::{HANDSHAKE, handshake, status};
use crate::harness::{Answer, Config, Connection, Edge, Target, eventually, soon};

const GET: &str = "GET /beyond HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const ACTIVE: &str = "connections_active{forwarding_rule=\"edge\"}";

/// A client of the machine that is called so by its last byte.
fn client(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, number).into()
}

/// A configuration with more keys for its forwarding rule.
fn with(keys: &str, target: SocketAddr) -> Config {
    Config::forwarding_to(&[target]).rule(keys)
}

/// A tunnel of the client with this last byte.
async fn tunnel(edge: &Edge, number: u8) -> Connection {
    let mut connection = Connection::open_from(client(number), edge.address).await;
    connection.send(HANDSHAKE).await;
    assert!(connection.head().await.contains(" 101 "));
    connection
}

/// The answer to a plain request of the client with this last byte.
async fn ask(edge: &Edge, number: u8) -> Answer {
    let mut connection = Connection::open_from(client(number), edge.address).await;
    connection.send(GET).await;
    connection.answer_to_end().await
}

fn assert_refused(answer: &Answer, detail: &str) {
    assert_eq!(answer.status, 503);
    assert_eq!(answer.text(), format!("503 {detail}\n"));
    assert_eq!(answer.header("connection"), Some("close"));
    let seconds = answer.header("retry-after").unwrap().parse::<u64>();
    assert!((5..=15).contains(&seconds.unwrap()));
}

/// Waits until this many connections are open.
async fn open(edge: &Edge, count: usize) {
    let is = || (edge.metric(ACTIVE) == count as f64).then_some(());
    eventually(&format!("{count} connections are open"), is).await;
}

#[tokio::test]
async fn a_connection_beyond_the_rules_limit_is_told_to_come_back_later() {
    let target = Target::named("target").await;
    let edge = Edge::start(&with("maxConnections: 2", target.address)).await;
    let first = tunnel(&edge, 1).await;
    let _second = tunnel(&edge, 1).await;

    assert_refused(&ask(&edge, 1).await, "too many connections to this address");

    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "refused");
    assert_eq!(line["httpStatusCode"], 503);
    assert_eq!(line["requestUri"], "/beyond");
    assert_eq!(line["error"], "too many connections to this address");
    assert_eq!(line.get("httpRule"), None);
    edge.refused("max_connections", 1).await;

    drop(first);
    open(&edge, 1).await;
    assert_eq!(ask(&edge, 1).await.text(), "target");
}

#[tokio::test]
async fn a_handshake_beyond_the_limit_is_refused_like_any_request() {
    let target = Target::named("target").await;
    let edge = Edge::start(&with("maxConnections: 1", target.address)).await;
    let _open = tunnel(&edge, 1).await;
    let mut beyond = edge.connect().await;
    beyond.send(HANDSHAKE).await;
    let answer = beyond.answer_to_end().await;
    assert_refused(&answer, "too many connections to this address");
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn the_process_has_a_limit_over_all_rules() {
    let target = Target::named("target").await;
    let [other] = crate::harness::edge::free_addresses();
    let limited = with("", target.address)
        .server("maxConnections: 2")
        .add_rule("other")
        .listen(other);
    let edge = Edge::start(&limited).await;
    let _tunnel = tunnel(&edge, 1).await;
    let _silent = Connection::open(other).await;
    let active = || edge.metric("connections_active{forwarding_rule=\"other\"}");
    eventually("it is there", || (active() == 1.0).then_some(())).await;

    assert_refused(&ask(&edge, 1).await, "too many connections");

    edge.refused("server_max_connections", 1).await;
    edge.reload(&limited.server("maxConnections: 3")).await;
    assert_eq!(ask(&edge, 1).await.text(), "target");
}

#[tokio::test]
async fn a_client_has_a_limit_of_its_own() {
    let target = Target::named("target").await;
    let edge = Edge::start(&with("maxConnectionsPerClient: 2", target.address)).await;
    let first = tunnel(&edge, 2).await;
    let _second = tunnel(&edge, 2).await;
    let detail = "too many connections from this client";

    assert_refused(&ask(&edge, 2).await, detail);
    assert_eq!(ask(&edge, 3).await.text(), "target");

    let line = edge.log_lines(2).await.remove(0);
    assert_eq!(
        (&line["clientIp"], &line["error"]),
        (&"127.0.0.2".into(), &detail.into())
    );
    edge.refused("max_connections_per_client", 1).await;
    drop(first);
    open(&edge, 1).await;
    assert_eq!(ask(&edge, 2).await.text(), "target");
}

#[tokio::test]
async fn the_client_that_the_proxy_protocol_names_is_the_one_that_is_counted() {
    let target = Target::named("target").await;
    let keys = "maxConnectionsPerClient: 1, proxyProtocol: {from: [127.0.0.1]}";
    let edge = Edge::start(&with(keys, target.address)).await;
    let from = async |client: &str| {
        let mut connection = edge.connect().await;
        let handshake = format!("PROXY {client}\r\n{HANDSHAKE}");
        connection.send(handshake).await;
        let head = connection.head().await;
        (connection, head.contains(" 101 "))
    };
    let mut open = Vec::new();
    for (client, is_served) in [
        ("TCP6 2001:db8::1 ::1 1 80", true),
        ("TCP6 2001:db8::ffff:2 ::1 1 80", false),
        ("TCP6 2001:db8:0:1::1 ::1 1 80", true),
        ("TCP4 192.0.2.1 192.0.2.2 1 80", true),
        ("TCP4 192.0.2.1 192.0.2.2 2 80", false),
        ("UNKNOWN", true),
        ("UNKNOWN", true),
    ] {
        let (connection, served) = from(client).await;
        assert_eq!(served, is_served, "{client}");
        open.push(connection);
    }
}

#[tokio::test]
async fn the_connections_of_a_trusted_proxy_are_not_counted() {
    let target = Target::named("target").await;
    let keys = "maxConnectionsPerClient: 1, trustedProxies: [127.0.0.2]";
    let edge = Edge::start(&with(keys, target.address)).await;
    let _open = (tunnel(&edge, 2).await, tunnel(&edge, 2).await);
    let _other = tunnel(&edge, 3).await;
    assert_eq!(ask(&edge, 3).await.status, 503);
}

#[tokio::test]
async fn one_that_says_nothing_has_a_second_and_leaves_no_line() {
    let target = Target::named("target").await;
    let configuration = with("maxConnections: 1", target.address);
    let patient = configuration.rule("clientTimeout: 50s");
    let edge = Edge::start(&patient).await;
    let _open = tunnel(&edge, 1).await;
    let began = Instant::now();
    let (mut silent, mut slow) = (edge.connect().await, edge.connect().await);
    slow.send("GET /").await;
    assert_eq!(silent.to_end().await, b"");
    slow.to_end().await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert!(began.elapsed() < Duration::from_secs(20));
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "refused");
    assert_eq!(line["error"], "too many connections to this address");
    edge.refused("max_connections", 2).await;
}

#[tokio::test]
async fn a_flood_beyond_the_limit_is_closed_at_once() {
    let target = Target::named("target").await;
    let configuration = with("maxConnections: 1", target.address);
    let patient = configuration.rule("clientTimeout: 50s");
    let edge = Edge::start(&patient).await;
    let mut tunnel = tunnel(&edge, 1).await;
    let mut flood = Vec::new();
    for _ in 0..400 {
        flood.push(edge.connect().await);
    }
    for mut connection in flood {
        assert_eq!(connection.to_end().await, b"");
    }
    edge.refused("max_connections", 400).await;
    tunnel.say_hi().await;
    open(&edge, 1).await;
    assert_refused(&ask(&edge, 1).await, "too many connections to this address");
}

#[tokio::test]
async fn a_reload_keeps_what_is_open_and_counts_it() {
    let target = Target::named("target").await;
    let configuration = with("maxConnectionsPerClient: 3", target.address);
    let edge = Edge::start(&configuration).await;
    let mut tunnels = [tunnel(&edge, 2).await, tunnel(&edge, 2).await];
    edge.reload(&with("maxConnectionsPerClient: 1", target.address))
        .await;
    assert_eq!(ask(&edge, 2).await.status, 503);
    for tunnel in &mut tunnels {
        tunnel.say_hi().await;
    }
    edge.reload(&configuration).await;
    assert_eq!(ask(&edge, 2).await.status, 200);
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_to_come_back_later_on_the_same_connection() {
    let target = Target::answering("hello").await;
    let keys = "maxRequestsPerSecondPerClient: 5";
    let edge = Edge::start(&with(keys, target.address)).await;
    let mut connection = edge.connect().await;
    let mut answers = Vec::new();
    while answers.len() < 1000 && answers.last() != Some(&429) {
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = connection.answer().await;
        answers.push(answer.status);
        let seconds = answer.header("retry-after").map(|seconds| seconds.parse());
        match answer.status {
            429 => assert!((1..=5).contains(&seconds.unwrap().unwrap())),
            _ => assert_eq!(seconds, None),
        }
    }
    assert_eq!(
        answers.iter().rposition(|status| *status == 200),
        Some(answers.len() - 2)
    );
    assert!(answers.len() > 5);
    assert_eq!(ask(&edge, 2).await.status, 200);
    edge.refused("max_requests_per_second_per_client", 1).await;

    soon("it is served again", async {
        loop {
            connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            if connection.answer().await.status == 200 {
                break;
            }
        }
    })
    .await;
    let is_refused = |line: &Value| line["httpStatusCode"] == 429;
    let line = || edge.log().into_iter().find(is_refused);
    let refused = eventually("its line", line).await;
    assert_eq!(refused["closeReason"], "refused");
    assert_eq!(refused["error"], "too many requests from this client");
}

#[tokio::test]
async fn a_handshake_is_a_request_and_counts_for_the_client_that_a_proxy_names() {
    let target = Target::named("target").await;
    let keys = "maxRequestsPerSecondPerClient: 2, trustedProxies: [127.0.0.1]";
    let edge = Edge::start(&with(keys, target.address)).await;
    let status = async |client: &str| {
        let mut connection = edge.connect().await;
        let forwarded = format!("X-Forwarded-For: {client}\r\n");
        connection.send(handshake("/chat", &forwarded)).await;
        status(&connection.head().await)
    };
    soon("a handshake too many", async {
        while status("192.0.2.1").await != 429 {}
    })
    .await;
    assert_eq!(status("192.0.2.2").await, 101);
    for _ in 0..5 {
        assert_eq!(status("127.0.0.1").await, 101, "the proxy itself");
    }
}
