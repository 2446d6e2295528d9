//! Each key of a TunnelPolicy has the effect that it has in the configuration file.

use std::fs;
use std::net::SocketAddr;

use crate::harness::client::{HANDSHAKE, handshake, header, status};
use crate::harness::manifests::{policy, route, service};
use crate::harness::target::switching_protocols;
use crate::harness::{Connection, Manifests, Target, eventually};
use crate::relay::{GOING_AWAY, HI, close_of_client, listening, reason};

/// A route to this target under a policy for it.
async fn under(says: &str, target: &Target) -> Manifests {
    Manifests::under("TunnelPolicy", "HTTPRoute chat", says, &[target.address]).await
}

async fn open(edge: &Manifests) -> Connection {
    let (client, head) = Connection::tunnel(edge.gateway, "/chat").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

/// The status of the answer to a handshake with these lines besides.
async fn shake(edge: &Manifests, lines: &str) -> u16 {
    let mut client = Connection::open(edge.gateway).await;
    client.send(handshake("/chat", lines)).await;
    status(&client.head().await)
}

#[tokio::test]
async fn a_policy_says_how_long_a_handshake_may_take() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.to_end().await;
    })
    .await;
    let edge = under("tunnel: {handshakeTimeout: 300ms}", &target).await;
    assert_eq!(shake(&edge, "").await, 504);
    let took = edge.log_line().await["durationMs"].as_f64().unwrap();
    assert!((300.0..5000.0).contains(&took), "{took}");
}

#[tokio::test]
async fn a_policy_says_after_how_much_silence_a_tunnel_is_closed() {
    let target = listening().await;
    let edge = under("tunnel: {idleTimeout: 200ms, closeTimeout: 200ms}", &target).await;
    let mut client = open(&edge).await;
    assert_eq!(client.to_end().await, GOING_AWAY);
    assert_eq!(reason(&edge.log_line().await), ("idle_timeout", Some(1001)));
}

#[tokio::test]
async fn a_policy_says_how_long_tunnels_live_and_by_how_much_that_varies() {
    let target = listening().await;
    let says = "tunnel: {maxLifetime: 1s, lifetimeJitter: 1, closeTimeout: 100ms}";
    let edge = under(says, &target).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(open(&edge).await);
    }
    let lines = edge.log_lines(20).await;
    assert!(lines.iter().all(|line| reason(line).0 == "max_lifetime"));
    let lived = lines
        .iter()
        .map(|line| line["durationMs"].as_f64().unwrap());
    let shortest = lived.fold(f64::INFINITY, f64::min);
    assert!(shortest < 900.0, "{shortest}");
}

#[tokio::test]
async fn a_policy_without_jitter_gives_each_tunnel_its_whole_life() {
    let target = listening().await;
    let says = "tunnel: {maxLifetime: 400ms, lifetimeJitter: 0, closeTimeout: 100ms}";
    let edge = under(says, &target).await;
    let mut client = open(&edge).await;
    client.to_end().await;
    let line = edge.log_line().await;
    assert_eq!(reason(&line).0, "max_lifetime");
    assert!(line["durationMs"].as_f64().unwrap() >= 400.0);
}

#[tokio::test]
async fn a_policy_says_how_long_sides_may_stay_after_their_close() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.exactly(8).await;
        connection.send([0x88, 2, 0x03, 0xE8]).await;
        std::future::pending().await
    })
    .await;
    let edge = under("tunnel: {closeTimeout: 200ms}", &target).await;
    let mut client = open(&edge).await;
    client.send(close_of_client(1000)).await;
    assert_eq!(client.to_end().await, [0x88, 2, 0x03, 0xE8]);
    let line = edge.log_line().await;
    assert_eq!(reason(&line), ("client_closed", Some(1000)));
    assert!(line["durationMs"].as_f64().unwrap() < 4000.0, "{line}");
}

#[tokio::test]
async fn a_policy_says_how_long_half_a_tunnel_lives() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.finish().await;
        std::future::pending().await
    })
    .await;
    let edge = under("tunnel: {halfCloseTimeout: 200ms}", &target).await;
    let mut client = open(&edge).await;
    assert_eq!(client.to_end().await, b"");
    let line = edge.log_line().await;
    assert_eq!(reason(&line), ("target_closed", None));
    let lived = line["durationMs"].as_f64().unwrap();
    assert!((200.0..4000.0).contains(&lived), "{lived}");
}

/// In how many hundredths of a second the system asks the other side of a connection; nothing
/// where it does not.
fn asks_in(port: u16) -> Option<u64> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    let timers = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (timer, when) = fields[5].split_once(':')?;
        let is_it = fields[1].ends_with(&local) && fields[3] == "01" && timer == "02";
        is_it.then(|| u64::from_str_radix(when, 16).unwrap())
    });
    timers.max()
}

#[tokio::test]
async fn a_policy_says_when_the_system_asks_whether_a_side_is_there() {
    let target = listening().await;
    let edge = under("tunnel: {tcpKeepalive: 50s}", &target).await;
    let _client = open(&edge).await;
    let port = edge.gateway.port();
    let is_set = || asks_in(port).filter(|when| (4000..=5000).contains(when));
    eventually("it is set", is_set).await;
}

#[tokio::test]
async fn a_policy_says_whose_pages_open_tunnels() {
    let target = Target::named("chat").await;
    let edge = under("allowedOrigins: [\"https://*.example.com\"]", &target).await;
    assert_eq!(
        shake(&edge, "Origin: https://app.example.com\r\n").await,
        101
    );
    assert_eq!(shake(&edge, "Origin: https://evil.example\r\n").await, 403);
}

#[tokio::test]
async fn a_policy_says_which_subprotocols_there_are() {
    let target = Target::named("chat").await;
    let edge = under("allowedSubprotocols: [chat.v1]", &target).await;
    let asks = |name: &str| format!("Sec-WebSocket-Protocol: {name}\r\n");
    assert_eq!(shake(&edge, &asks("chat.v1")).await, 101);
    assert_eq!(shake(&edge, &asks("chat.v2")).await, 403);
}

/// A target whose 101 has no `Sec-WebSocket-Accept`.
async fn without_accept() -> Target {
    Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        let right = switching_protocols(&head);
        let accept = header(&right, "sec-websocket-accept").unwrap();
        let line = format!("Sec-WebSocket-Accept: {accept}\r\n");
        connection.send(right.replace(&line, "")).await;
        connection.echo().await;
    })
    .await
}

#[tokio::test]
async fn a_policy_says_whether_the_accept_of_a_target_counts() {
    let target = without_accept().await;
    for (says, expected) in [("checkAccept: true", 502), ("checkAccept: false", 101)] {
        let edge = under(says, &target).await;
        assert_eq!(shake(&edge, "").await, expected, "{says}");
    }
}

#[tokio::test]
async fn a_policy_says_whether_handshakes_of_old_clients_are_taken() {
    let target = Target::named("chat").await;
    for (says, expected) in [
        ("lenientHandshake: true", 101),
        ("lenientHandshake: false", 400),
    ] {
        let edge = under(says, &target).await;
        let mut client = Connection::open(edge.gateway).await;
        let old = HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=");
        client.send(old).await;
        assert_eq!(status(&client.head().await), expected, "{says}");
    }
}

#[tokio::test]
async fn the_policy_of_a_gateway_holds_for_routes_without_one_of_their_own() {
    let target = listening().await;
    let addresses: [SocketAddr; 1] = [target.address];
    let of_route = policy(
        "TunnelPolicy",
        "HTTPRoute other",
        "tunnel: {closeTimeout: 300ms}",
    );
    let all = route("chat", "/chat", "chat")
        + &route("other", "/other", "chat")
        + &service("chat", &addresses)
        + &of_route.replace("name: policy", "name: other")
        + &policy(
            "TunnelPolicy",
            "Gateway edge",
            "tunnel: {idleTimeout: 200ms}",
        );
    let edge = Manifests::with(&all).await;
    let (mut bound, _) = Connection::tunnel(edge.gateway, "/chat").await;
    let (mut other, _) = Connection::tunnel(edge.gateway, "/other").await;
    assert_eq!(bound.exactly(4).await, GOING_AWAY);
    other.send(HI).await;
    let line = edge.log_line().await;
    assert_eq!(line["httpRule"], "apps/chat/0");
    assert_eq!(reason(&line).0, "idle_timeout");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_comes_holds_for_tunnels_that_come_after_it() {
    let target = listening().await;
    let plain = route("chat", "/", "chat") + &service("chat", &[target.address]);
    let edge = Manifests::with(&plain).await;
    let mut before = open(&edge).await;
    let says = "tunnel: {idleTimeout: 300ms, closeTimeout: 100ms}";
    let more = policy("TunnelPolicy", "HTTPRoute chat", says);
    edge.write("policy.yaml", &more);
    edge.policy_holds("TunnelPolicy").await;
    let mut after = open(&edge).await;
    assert_eq!(after.to_end().await, GOING_AWAY);
    before.send(close_of_client(1000)).await;
    let lines = edge.log_lines(1).await;
    assert_eq!(reason(&lines[0]).0, "idle_timeout");
}
