//! What no decent client of HTTP/2 does ends with a GOAWAY, and fills nothing.

use std::time::Duration;

use http::Request;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Bytes;

use crate::harness::http2::{
    CONTINUATION, END_HEADERS, END_STREAM, Frames, HEADERS, Http2, PING, RST_STREAM, SETTINGS,
    clear, frame, get, start,
};
use crate::harness::{Connection, Edge, Target, eventually, eventually_or, soon};

const ENHANCE_YOUR_CALM: u32 = 11;

#[tokio::test]
async fn limits_hold_for_each_request() {
    let target = Target::named("target").await;
    let edge = start(
        &target,
        "maxRequestsPerSecondPerClient: 3, maxConcurrentStreams: 7",
    )
    .await;
    let mut client = Http2::connect(edge.address).await;
    assert_eq!(client.most_streams(), 7);
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(client.ask(get("/"), "").await.status());
    }
    assert!(
        statuses.contains(&200) && statuses.contains(&429),
        "{statuses:?}"
    );
    let full = start(&target, "maxConnections: 1").await;
    let _held = full.tunnel().await;
    let mut client = Http2::connect(full.address).await;
    let reply = client.ask(get("/"), "").await;
    assert_eq!(reply.status(), 503);
    assert!(reply.head.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_body_that_stops_halfway_is_answered_with_408() {
    let target = Target::answering("hello").await;
    let configuration = clear(target.address, "").rule("clientTimeout: 1800");
    let edge = Edge::start(&configuration).await;
    let mut client = Http2::connect(edge.address).await;
    let post = Request::post("http://a.example/").body(()).unwrap();
    let (answer, mut sender) = client.send(post);
    sender
        .send_data(Bytes::from_static(b"half"), false)
        .unwrap();
    let head = soon("an answer", answer).await.unwrap();
    assert_eq!(head.status(), 408);
    let line = edge.log_line().await;
    assert_eq!(client.ask(get("/"), "").await.text(), "hello");
    assert_eq!(
        line["error"],
        "the request's body did not arrive within clientTimeout"
    );
}

/// A request's header block: `:method: GET`, `:scheme: http`, `:path: /`, `:authority: a` (RFC
/// 7541).
const GET_BLOCK: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];

#[tokio::test]
async fn streams_that_are_opened_and_reset_without_end_end_with_a_goaway() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        connection.to_end().await;
    })
    .await;
    let edge = start(&target, "maxConcurrentStreams: 10").await;
    let mut client = Frames::connect(edge.address).await;
    let mut flood = Vec::new();
    for number in 0..2_000 {
        let stream = 2 * number + 1;
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &GET_BLOCK));
        flood.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
    }
    client.0.stream.write_all(&flood).await.ok();
    assert_eq!(client.goaway().await, Some(ENHANCE_YOUR_CALM));
    eventually("it is counted", || {
        (edge.refusals("http2") == 1.0).then_some(())
    })
    .await;
    let is_blamed = |line: &Value| {
        let error = line["error"].as_str();
        error.is_some_and(|error| error.starts_with("HTTP/2: "))
    };
    eventually("it is logged", || edge.log().into_iter().find(is_blamed)).await;
    assert!(
        target.connections() <= 40,
        "{} requests reached the target",
        target.connections()
    );
    assert_eq!(
        edge.request("garbage\r\n\r\n").await.status,
        400,
        "others are served"
    );
}

#[tokio::test]
async fn floods_of_other_frames_neither_end_nor_fill_the_process() {
    let target = Target::answering("hello").await;
    let edge = start(&target, "").await;
    let before = edge.resident_memory();
    let empty = frame(SETTINGS, 0, 0, &[]).repeat(1_000);
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(1_000);
    let endless = [
        frame(HEADERS, 0, 1, &GET_BLOCK),
        frame(CONTINUATION, 0, 1, &[0x40, 1, b'x', 1, b'y'].repeat(3_000)).repeat(10),
    ]
    .concat();
    let empty_data = [
        frame(HEADERS, END_HEADERS, 1, &GET_BLOCK),
        frame(0, 0, 1, &[]).repeat(5_000),
    ]
    .concat();
    for flood in [empty, pings, endless, empty_data] {
        let mut client = Frames::connect(edge.address).await;
        // Nobody reads the answers, and the flood goes on until it is stopped.
        let flooding = async {
            for _ in 0..100 {
                let write = client.0.stream.write_all(&flood);
                if !matches!(
                    tokio::time::timeout(Duration::from_secs(1), write).await,
                    Ok(Ok(()))
                ) {
                    return;
                }
            }
        };
        soon("the flood is over", flooding).await;
    }
    assert_eq!(edge.get("/").await.text(), "hello");
    eventually_or("the memory is given back", || {
        let grown = edge.resident_memory().saturating_sub(before);
        let is_little = grown < 32 << 20;
        is_little
            .then_some(())
            .ok_or_else(|| format!("{grown} bytes more"))
    })
    .await;
}
