//! A connection of HTTP/2 ends whether its client cooperates or not: these clients never answer,
//! and never go by themselves.

use std::time::{Duration, Instant};

use crate::harness::http2::{
    END_HEADERS, END_STREAM, Frames, HEADERS, PING, RST_STREAM, SETTINGS, frame,
};
use crate::harness::target::ok;
use crate::harness::{Config, Connection, Edge, Target, soon};

const GET_BLOCK: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
const POST_BLOCK: [u8; 6] = [0x83, 0x86, 0x84, 0x41, 0x01, b'a'];
const INITIAL_WINDOW_SIZE_0: [u8; 6] = [0, 4, 0, 0, 0, 0];
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];

fn configuration(target: &Target) -> Config {
    Config::forwarding_to(&[target.address])
        .rule("h2c: true")
        .group("responseTimeout: 50s")
        .rule("clientTimeout: 700")
}

/// What such clients send after the preface.
fn stubborn() -> Vec<(&'static str, Vec<u8>)> {
    let window_0 = [
        frame(SETTINGS, 0, 0, &INITIAL_WINDOW_SIZE_0),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &GET_BLOCK),
    ];
    vec![
        ("silence", Vec::new()),
        ("half a frame", frame(PING, 0, 0, &[0; 8])[..12].to_vec()),
        ("half a head of a frame", vec![0, 0, 8, PING]),
        ("no END_HEADERS", frame(HEADERS, END_STREAM, 1, &GET_BLOCK)),
        ("no body", frame(HEADERS, END_HEADERS, 1, &POST_BLOCK)),
        ("a window of 0", window_0.concat()),
    ]
}

/// Clients that have sent all that, and leave it at that.
async fn stubborn_clients(edge: &Edge) -> Vec<(&'static str, Frames)> {
    let mut clients = Vec::new();
    for (name, bytes) in stubborn() {
        let mut client = Frames::connect(edge.address).await;
        client.0.send(bytes).await;
        clients.push((name, client));
    }
    clients
}

#[tokio::test]
async fn whoever_makes_no_progress_is_let_go_after_client_timeout() {
    let target = Target::answering("hello").await;
    let edge = Edge::start(&configuration(&target)).await;
    let began = Instant::now();
    for (name, mut client) in stubborn_clients(&edge).await {
        client.0.to_end().await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(12), "{name}: {took:?}");
    }
}

#[tokio::test]
async fn pings_are_no_progress() {
    let target = Target::answering("hello").await;
    let edge = Edge::start(&configuration(&target)).await;
    let mut client = Frames::connect(edge.address).await;
    let pinging = async {
        use tokio::io::AsyncReadExt as _;
        use tokio::io::AsyncWriteExt as _;
        let (mut reader, mut writer) = client.0.stream.split();
        let mut pong = [0; 17];
        loop {
            let sent = writer.write_all(&frame(PING, 0, 0, &[1; 8])).await;
            // Not an answer to the edge's own PING is among what is read, which is looked at by
            // nobody.
            if sent.is_err() || !matches!(reader.read(&mut pong).await, Ok(1..)) {
                return;
            }
        }
    };
    soon("the end of the pinging", pinging).await;
}

#[tokio::test]
async fn a_drain_does_not_wait_for_those_who_do_not_answer() {
    let target = Target::answering("hello").await;
    let patient = configuration(&target).rule("clientTimeout: 50s");
    let edge = Edge::start(&patient.server("drain: {deadline: 60s}")).await;
    let mut clients = stubborn_clients(&edge).await;
    clients.retain(|(name, _)| *name != "no body" && *name != "a window of 0");
    let began = Instant::now();
    let (status, _) = edge.terminate().await;
    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{began:?}");
}

#[tokio::test]
async fn an_old_process_with_no_tunnel_left_ends_at_once() {
    let target = Target::answering("hello").await;
    let patient = configuration(&target).rule("clientTimeout: 50s");
    let mut edge = Edge::start(&patient.upgradable()).await;
    let clients = stubborn_clients(&edge).await;
    let mut clients: Vec<_> = clients.into_iter().map(|(_, client)| client).collect();
    clients.drain(4..);
    let _successor = edge.hand_over().await;
    let began = Instant::now();
    edge.exited().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{began:?}");
}

#[tokio::test]
async fn streams_that_come_long_after_goaway_are_refused_and_may_be_tried_elsewhere() {
    let target = Target::scripted(async |mut connection: Connection| {
        while connection.has_more().await {
            if connection.head().await.starts_with("GET /slow ") {
                connection.to_end().await;
                return;
            }
            connection.send(ok("")).await;
        }
    })
    .await;
    let edge = Edge::start(&configuration(&target)).await;
    let mut client = Frames::connect(edge.address).await;
    let ask = |number: u32| frame(HEADERS, END_HEADERS | END_STREAM, number, &GET_BLOCK);
    let slow = b"\x82\x86\x04\x05/slow\x01\x01a";
    let slow = frame(HEADERS, END_HEADERS | END_STREAM, 1, slow);
    client.0.send(slow).await;
    edge.signal("TERM");
    assert_eq!(client.goaway().await, Some(0));
    let refused = async {
        for number in (3..).step_by(2) {
            client.0.send(ask(number)).await;
            let (kind, payload) = client.next_of(&[RST_STREAM, HEADERS]).await;
            if kind == RST_STREAM {
                return payload;
            }
        }
        unreachable!("streams have no end")
    };
    assert_eq!(soon("a refusal", refused).await, REFUSED_STREAM);
}
