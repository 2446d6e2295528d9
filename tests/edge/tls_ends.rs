//! How a connection in TLS ends, on either side, and what becomes of clients that cannot or will
//! not shake hands.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::client::{CLOSE, GOING_AWAY};
use crate::harness::tls::{Encrypted, HOST, forwarding, start};
use crate::harness::{Authority, Connection, Edge, Target, eventually, soon};
use crate::tls_relay::shown;

/// Long enough for a slow machine, and too short for any other timeout.
const LATEST: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_client_of_an_older_version_than_the_oldest_is_refused() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    authority.issue("one", &[HOST]);
    let with = |settings| forwarding(&authority, &["one"], settings, target.address);
    let edge = Edge::start(&with("")).await;
    let strict = Edge::start(&with("minTlsVersion: \"1.3\"")).await;
    for (version, in_edge, in_strict) in [
        ("-tls1_1", None, None),
        ("-tls1_2", Some("one"), None),
        ("-tls1_3", Some("one"), Some("one")),
    ] {
        let found = shown(&edge, &authority, &["one"], &[version]).await;
        assert_eq!(found, in_edge, "{version}");
        let found = shown(&strict, &authority, &["one"], &[version]).await;
        assert_eq!(found, in_strict, "{version}, 1.3 being the oldest");
    }
}

#[tokio::test]
async fn the_end_of_a_direction_is_passed_on_and_the_other_goes_on() {
    // One after the other ends first.
    let target = Target::upgrading(async |mut connection: Connection| {
        let heard = connection.to_end().await;
        connection.send(heard).await;
    })
    .await;
    let authority = Authority::new();
    let edge = start(&authority, "", &target).await;
    let mut client = authority.tunnel(edge.address, HOST).await;
    client.send(b"\x83and then?").await;
    client.finish().await;
    assert_eq!(client.to_end().await, b"\x83and then?");
    assert_eq!(edge.log_line().await["closeReason"], "client_closed");

    let target = Target::upgrading(async |mut connection: Connection| {
        connection.finish().await;
        assert_eq!(connection.to_end().await, b"\x83and then?");
    })
    .await;
    let edge = start(&authority, "", &target).await;
    let mut client = authority.tunnel(edge.address, HOST).await;
    assert!(!soon("the close_notify", client.has_more()).await);
    client.send(b"\x83and then?").await;
    client.finish().await;
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "target_closed");
    assert_eq!(line["requestBodyBytes"], 10);
}

#[tokio::test]
async fn a_fin_without_a_close_notify_is_an_end_like_any_other() {
    let (authority, target) = (Authority::new(), Target::mirror().await);
    let edge = start(&authority, "", &target).await;
    let client = authority.tunnel(edge.address, HOST).await;
    let (stream, _) = client.into_parts();
    let (mut socket, _) = stream.into_inner();
    socket.shutdown().await.unwrap();
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "client_closed");
    assert!(line.get("error").is_none(), "{line}");
}

#[tokio::test]
async fn an_idle_tunnel_is_sent_a_close_and_told_of_its_end() {
    let (authority, target) = (Authority::new(), Target::named("target").await);
    let edge = start(&authority, "tunnel: {idleTimeout: 300ms}", &target).await;
    let mut client = authority.tunnel(edge.address, HOST).await;
    let close = soon("the Close", client.frame()).await;
    assert_eq!(close, Some((CLOSE, GOING_AWAY.to_be_bytes().to_vec())));
    client.leave(GOING_AWAY).await;
    assert_eq!(client.to_end().await, b"");
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "idle_timeout");
    assert_eq!(line["closeCode"], 1001);
}

#[tokio::test]
async fn a_drain_sends_tunnels_away_and_ends() {
    let (authority, target) = (Authority::new(), Target::named("target").await);
    authority.issue("one", &[HOST]);
    let configuration = forwarding(&authority, &["one"], "", target.address);
    let edge = Edge::start(&configuration.server("drain: {deadline: 400ms}")).await;
    let mut clients: Vec<Encrypted> = Vec::new();
    for _ in 0..5 {
        clients.push(authority.tunnel(edge.address, HOST).await);
    }
    // One is idle after its handshake, one in the middle of it.
    let mut silent = authority.connect(edge.address, HOST).await;
    let mut half = edge.connect().await;
    half.send([0x16]).await;
    edge.signal("TERM");
    for client in &mut clients {
        client.is_sent_away().await;
    }
    soon("the end of the silent one", silent.has_more()).await;
    assert_eq!(half.to_end().await, b"");
    let (status, lines) = edge.ended().await;
    assert!(status.success());
    let drained = lines.iter().filter(|line| line["closeReason"] == "drained");
    assert_eq!((lines.len(), drained.count()), (5, 5), "{lines:#?}");
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut_and_counted_and_leaves_no_line() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let edge = start(&authority, "", &target).await;
    let began = Instant::now();
    let [mut slow, mut silent] = [edge.connect().await, edge.connect().await];
    // The beginning of a ClientHello.
    slow.send([0x16, 3, 1, 2, 0, 1, 0]).await;
    assert_eq!(slow.to_end().await, b"");
    assert_eq!(silent.to_end().await, b"");
    // The rule's `clientTimeout`.
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2) && took < LATEST, "{took:?}");
    let is_counted = || (edge.refusals("tls_handshake") == 1.0).then_some(());
    eventually("it is counted", is_counted).await;
    assert_eq!(edge.log().len(), 0);
    let active = "connections_active{forwarding_rule=\"edge\"}";
    let are_gone = || (edge.metric(active) == 0.0).then_some(());
    eventually("both are gone", are_gone).await;
}

#[tokio::test]
async fn a_client_of_plain_http_is_told_of_tls_and_counted() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let edge = start(&authority, "", &target).await;
    let mut client = edge.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer_to_end().await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("TLS"), "{}", answer.text());
    let is_counted = || (edge.refusals("tls_handshake") == 1.0).then_some(());
    eventually("it is counted", is_counted).await;
    assert_eq!(edge.log().len(), 0);
    assert_eq!(target.connections(), 0);
    // What is neither gets no answer in HTTP.
    let mut client = edge.connect().await;
    client.send("\r\n\r\n").await;
    let said = client.to_end().await;
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    let is_counted = || (edge.refusals("tls_handshake") == 2.0).then_some(());
    eventually("it is counted, too", is_counted).await;
}

#[tokio::test]
async fn a_head_that_does_not_come_is_a_408_in_tls() {
    let (authority, target) = (Authority::new(), Target::answering("hello").await);
    let edge = start(&authority, "", &target).await;
    let mut client = authority.connect(edge.address, HOST).await;
    client.send("GET / HT").await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 408);
    let line = edge.log_line().await;
    assert_eq!(line["httpStatusCode"], 408);
    assert_eq!(line["tlsProtocol"], "TLSv1.3");
}

#[tokio::test]
async fn a_client_in_tls_that_breaks_off_is_an_error_of_the_client() {
    let (authority, target) = (Authority::new(), Target::mirror().await);
    let edge = start(&authority, "", &target).await;
    let client = authority.tunnel(edge.address, HOST).await;
    let (stream, _) = client.into_parts();
    let (socket, _): (TcpStream, _) = stream.into_inner();
    socket.set_zero_linger().unwrap();
    drop(socket);
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "client_error");
}
