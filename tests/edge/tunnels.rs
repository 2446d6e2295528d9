//! What a tunnel carries: every byte, however slowly it is read and however long nothing is said.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::harness::client::{HANDSHAKE, handshake, status};
use crate::harness::target::switching_protocols;
use crate::harness::{Config, Connection, Edge, Noise, Target, eventually};

pub const MEGABYTE: usize = 1 << 20;

/// What the client and the target of a tunnel with this number say.
fn words(number: u64) -> [Vec<u8>; 2] {
    let mut noise = Noise::seeded(number);
    [(); 2].map(|()| {
        let count = noise.below(200_000);
        noise.bytes(count)
    })
}

#[tokio::test]
async fn three_hundred_tunnels_at_once_carry_every_byte_and_count_it() {
    const TUNNELS: u64 = 300;
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        let number = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        connection.send(switching_protocols(&head)).await;
        let [expected, own] = words(number);
        let mut sizes = Noise::seeded(!number);
        let received = connection.swap(&own, expected.len(), &mut sizes).await;
        let verdict = if received == expected { "same" } else { "else" };
        connection.send(verdict).await;
        connection.to_end().await;
    })
    .await;
    // Both ends of all tunnels share one thread: each may have to wait for the others.
    let configuration = Config::forwarding_to(&[target.address])
        .rule("clientTimeout: 20s")
        .group("connectTimeout: 20s, responseTimeout: 20s");
    let edge = Edge::start(&configuration).await;
    let mut clients = JoinSet::new();
    for number in 0..TUNNELS {
        let mut client = edge.connect().await;
        clients.spawn(async move {
            client.send(handshake(&format!("/{number}"), "")).await;
            assert_eq!(status(&client.head().await), 101);
            let [own, expected] = words(number);
            let mut sizes = Noise::seeded(number);
            let received = client.swap(&own, expected.len(), &mut sizes).await;
            assert!(received == expected, "other bytes from target {number}");
            assert_eq!(client.exactly(4).await, b"same", "client {number}");
            client
        });
    }
    let clients = clients.join_all().await;
    assert!(edge.log().is_empty(), "a line before the close");
    drop(clients);

    let lines = edge.log_lines(300).await;
    for number in 0..TUNNELS {
        let of_tunnel = |line: &&Value| line["requestUri"] == format!("/{number}");
        let line = lines.iter().find(of_tunnel).unwrap();
        let [sent, received] = words(number);
        assert_eq!(line["closeReason"], "client_closed", "{line}");
        assert_eq!(line["requestBodyBytes"], sent.len(), "{line}");
        assert_eq!(line["responseBodyBytes"], received.len() + 4, "{line}");
    }
}

/// With these short clocks, a tunnel in which nothing moves for a second still works.
async fn silence_outlives(clocks: impl FnOnce(Config) -> Config) {
    let target = Target::mirror().await;
    let short = clocks(Config::forwarding_to(&[target.address]));
    let edge = Edge::start(&short).await;
    let (mut client, _) = edge.tunnel().await;
    sleep(Duration::from_secs(1)).await;
    client.send("hello").await;
    assert_eq!(client.exactly(5).await, b"hello");
    sleep(Duration::from_secs(1)).await;
    client.send("again").await;
    assert_eq!(client.exactly(5).await, b"again");
    client.finish().await;
    assert_eq!(edge.log_line().await["closeReason"], "client_closed");
}

#[tokio::test]
async fn the_client_timeout_does_not_end_a_silent_tunnel() {
    silence_outlives(|config| config.rule("clientTimeout: 800")).await;
}

#[tokio::test]
async fn the_response_timeout_does_not_end_a_silent_tunnel() {
    silence_outlives(|config| config.group("responseTimeout: 800")).await;
}

#[tokio::test]
async fn a_reader_that_pauses_for_longer_than_the_timeouts_gets_every_byte() {
    const MUCH: usize = 30 * MEGABYTE;
    let target = Target::upgrading(async |mut connection: Connection| {
        sleep(Duration::from_secs(1)).await;
        let bytes = connection.exactly(MUCH).await;
        connection.send(bytes).await;
        connection.to_end().await;
    })
    .await;
    let short = Config::forwarding_to(&[target.address])
        .rule("clientTimeout: 300")
        .group("connectTimeout: 300, responseTimeout: 300");
    let edge = Edge::start(&short).await;
    let (mut client, _) = edge.tunnel().await;
    let bytes = Noise::seeded(7).bytes(MUCH);
    client.send(&bytes).await;
    sleep(Duration::from_secs(1)).await;
    assert!(client.exactly(MUCH).await == bytes, "other bytes");
    client.finish().await;
    assert_eq!(edge.log_line().await["closeReason"], "client_closed");
}

#[tokio::test]
async fn a_client_that_does_not_read_a_gigabyte_costs_no_memory_and_loses_no_byte() {
    const CHUNKS: usize = 1024;
    let stuck = Arc::<AtomicBool>::default();
    let tells = Arc::clone(&stuck);
    let target = Target::upgrading(move |mut connection: Connection| {
        let stuck = Arc::clone(&tells);
        async move {
            let mut chunk = Noise::seeded(4).bytes(MEGABYTE);
            for place in 0..CHUNKS {
                chunk[..8].copy_from_slice(&place.to_be_bytes());
                let mut sending = pin!(connection.stream.write_all(&chunk));
                if timeout(Duration::from_millis(500), &mut sending)
                    .await
                    .is_err()
                {
                    stuck.store(true, SeqCst);
                    sending.await.unwrap();
                }
            }
            stuck.store(true, SeqCst);
            connection.to_end().await;
        }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let (mut client, _) = edge.tunnel().await;
    let before = edge.resident_memory();
    let is_stuck = || stuck.load(SeqCst).then_some(());
    eventually("the target is stuck, or has sent all", is_stuck).await;
    let grown = edge.resident_memory().saturating_sub(before);
    assert!(grown < 8 * MEGABYTE, "grown by {grown} bytes");

    let mut expected = Noise::seeded(4).bytes(MEGABYTE);
    for place in 0..CHUNKS {
        expected[..8].copy_from_slice(&place.to_be_bytes());
        let chunk = client.exactly(MEGABYTE).await;
        assert!(chunk == expected, "megabyte {place}");
    }
    client.finish().await;
    let line = edge.log_line().await;
    assert_eq!(line["responseBodyBytes"], CHUNKS * MEGABYTE);
}

/// A Culvert with this many tunnels, in each of which "hello" went to the target and came back.
pub async fn with_tunnels(count: usize) -> (Target, Edge, Vec<Connection>) {
    let target = Target::mirror().await;
    // A drain whose first seconds end none.
    let patient = Config::forwarding_to(&[target.address]).server("drain: {deadline: 1h}");
    let edge = Edge::start(&patient).await;
    let mut clients = Vec::new();
    for _ in 0..count {
        let (mut client, _) = edge.tunnel().await;
        say_hello(&mut client).await;
        clients.push(client);
    }
    (target, edge, clients)
}

pub async fn say_hello(client: &mut Connection) {
    client.send("hello").await;
    assert_eq!(client.exactly(5).await, b"hello");
}

#[tokio::test]
async fn tunnels_are_counted() {
    let (target, edge, mut clients) = with_tunnels(3).await;
    let of_target = |name: &str| {
        let address = target.address;
        edge.metric(&format!(
            "{name}{{forwarding_rule=\"edge\",target=\"{address}\",target_group=\"group\"}}"
        ))
    };
    let opened_and_active = || {
        (
            of_target("tunnels_opened_total"),
            of_target("tunnels_active"),
        )
    };
    let closed = |reason| {
        edge.metric(&format!(
            "tunnels_closed_total{{forwarding_rule=\"edge\",reason=\"{reason}\",target_group=\"group\"}}"
        ))
    };
    let handshakes = "handshake_duration_seconds_count{forwarding_rule=\"edge\"}";
    edge.metric_becomes(handshakes, 3.0).await;
    assert_eq!(opened_and_active(), (3.0, 3.0));
    assert_eq!(closed("client_closed"), 0.0);
    clients.pop();
    edge.log_line().await;
    assert_eq!(opened_and_active(), (3.0, 2.0));
    assert_eq!(closed("client_closed"), 1.0);
    clients.pop().unwrap().reset();
    edge.log_lines(2).await;
    assert_eq!(opened_and_active(), (3.0, 1.0));
    assert_eq!(closed("client_error"), 1.0);
    edge.metric_becomes(handshakes, 3.0).await;
}

#[tokio::test]
async fn the_bytes_of_tunnels_are_counted_as_they_went_over_the_wire() {
    let (_target, edge, clients) = with_tunnels(3).await;
    let answer = switching_protocols(HANDSHAKE);
    drop(clients);
    for line in edge.log_lines(3).await {
        assert_eq!(line["requestHeaderBytes"], HANDSHAKE.len());
        assert_eq!(line["requestBodyBytes"], 5);
        assert_eq!(line["responseHeaderBytes"], answer.len());
        assert_eq!(line["responseBodyBytes"], 5);
    }
    for (direction, head) in [("in", HANDSHAKE), ("out", &answer)] {
        let labels = format!("direction=\"{direction}\",forwarding_rule=\"edge\"");
        let counted = edge.metric(&format!("bytes_total{{{labels}}}"));
        assert_eq!(counted, 3.0 * (head.len() + 5) as f64, "{direction}");
    }
}
