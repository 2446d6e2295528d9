//! Bursts of DATA frames of one byte, from clients and from targets: none takes more memory than
//! large ones would, and what they carry arrives as it was.

use tokio::io::AsyncReadExt as _;

use crate::backlog::{patience, settled};
use crate::harness::http2::{
    END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, SETTINGS, frame,
};
use crate::harness::{Connection, Edge, Target, soon};

const DATA: u8 = 0;
const PADDED: u8 = 8;
const WINDOW_UPDATE: u8 = 8;
/// POST, http, / and the authority a (RFC 7541).
const POST: [u8; 6] = [0x83, 0x86, 0x84, 0x41, 0x01, b'a'];
/// `:status: 200`.
const OK: [u8; 1] = [0x88];
const CLIENTS: usize = 10;
const FRAMES: usize = 8_000;
/// Each client costs 2 MB where each of its frames is kept.
const MOST: usize = 8 << 20;

/// An edge of HTTP/2 for a target that is asked so.
async fn edge_for(target: &Target, version: &str) -> Edge {
    let version = format!("protocolVersion: {version}");
    Edge::start(&patience(target).group(&version)).await
}

/// A target of HTTP/2 whose window takes nothing.
async fn taking_nothing() -> Target {
    Target::scripted(async |mut connection: Connection| {
        let initial_window_size_0 = [0, 4, 0, 0, 0, 0];
        let settings = frame(SETTINGS, 0, 0, &initial_window_size_0);
        connection.send(settings).await;
        connection.to_end().await;
    })
    .await
}

/// A client that has begun a request with a body on its first stream.
async fn begun(edge: &Edge) -> Frames {
    let mut client = Frames::connect(edge.address).await;
    client.0.send(frame(HEADERS, END_HEADERS, 1, &POST)).await;
    is_read(&mut client).await;
    client
}

/// Waits until all that was sent has been read.
async fn is_read(client: &mut Frames) {
    client.0.send(frame(PING, 0, 0, &[1; 8])).await;
    loop {
        match client.next_of(&[PING, GOAWAY]).await {
            (PING, payload) if payload == [1; 8] => return,
            (PING, _) => {}
            (_, payload) => panic!("GOAWAY: {}", String::from_utf8_lossy(&payload)),
        }
    }
}

/// How much more memory clients take that send this at once.
async fn cost_of(burst: &[u8]) -> usize {
    let target = taking_nothing().await;
    let edge = edge_for(&target, "HTTP2").await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(begun(&edge).await);
    }
    let before = edge.resident_memory();
    for client in &mut clients {
        client.0.send(burst).await;
        is_read(client).await;
    }
    edge.resident_memory().saturating_sub(before)
}

#[tokio::test]
async fn a_burst_of_small_frames_takes_no_more_memory_than_large_ones() {
    let more = cost_of(&frame(DATA, 0, 1, b"x").repeat(FRAMES)).await;
    assert!(more < MOST, "{more} bytes");
}

#[tokio::test]
async fn nor_does_one_whose_frames_cannot_be_joined() {
    let between = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
    let pair = [frame(DATA, 0, 1, b"x"), between].concat();
    let more = cost_of(&pair.repeat(FRAMES)).await;
    assert!(more < MOST, "{more} bytes");
}

#[tokio::test]
async fn what_small_frames_carry_arrives_as_it_was() {
    let target = Target::showing().await;
    let edge = edge_for(&target, "HTTP1").await;
    let mut client = begun(&edge).await;
    let mut sent = Vec::new();
    for number in 0..20_000_u32 {
        let byte = b'a' + (number % 23) as u8;
        sent.push(byte);
        let padded = [&[3], &[byte][..], &[0; 3]].concat();
        client
            .0
            .send(match number % 5 {
                3 => frame(DATA, PADDED, 1, &padded),
                _ => frame(DATA, 0, 1, &[byte]),
            })
            .await;
    }
    client.0.send(frame(DATA, END_STREAM, 1, b"")).await;
    let mut answer = Vec::new();
    while !answer.ends_with(&sent) {
        let (_, part) = soon("the answer", client.next_of(&[DATA])).await;
        answer.extend(part);
    }
}

/// A target of HTTP/2 that answers each request with a body of small frames, as many as its
/// stream's window takes.
async fn answering_in_small_frames() -> Target {
    Target::scripted(async |mut connection: Connection| {
        let mut preface = [0; 24];
        connection.stream.read_exact(&mut preface).await.unwrap();
        let mut frames = Frames(connection);
        frames.0.send(frame(SETTINGS, 0, 0, &[])).await;
        for number in 0.. {
            frames.next_of(&[HEADERS]).await;
            let stream = 2 * number + 1;
            let head = frame(HEADERS, END_HEADERS, stream, &OK);
            let body = frame(DATA, 0, stream, b"x").repeat(16 << 10);
            frames.0.send([head, body].concat()).await;
        }
    })
    .await
}

#[tokio::test]
async fn nor_does_an_answer_in_small_frames_that_its_client_does_not_take() {
    let target = answering_in_small_frames().await;
    let edge = edge_for(&target, "HTTP2").await;
    let ask = async || {
        let mut client = edge.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.head().await;
        client
    };
    let _first = ask().await;
    let before = settled(&edge).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(ask().await);
    }
    let more = settled(&edge).await.saturating_sub(before);
    assert!(more < MOST, "{more} bytes");
}
