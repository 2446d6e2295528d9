//! From Pingora to the relay: no byte of a tunnel is lost, doubled or moved, whenever it comes.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::sleep;

use crate::harness::client::{handshake, header};
use crate::harness::target::switching_protocols;
use crate::harness::{Config, Connection, Edge, Target, soon};

/// What one side sends: pieces, with a pause before each. The first may leave together with the
/// side's head.
#[derive(Debug, Clone)]
struct Script {
    with_head: bool,
    pieces: Vec<(usize, u64)>,
}

#[derive(Debug, Clone)]
struct Plan {
    client: Script,
    target: Script,
}

fn scripts() -> impl Strategy<Value = Script> {
    let length = prop_oneof![3 => 0..300usize, 2 => 300..5_000usize, 1 => 5_000..200_000usize];
    let pause = prop_oneof![4 => Just(0u64), 1 => 1..4u64];
    (any::<bool>(), vec((length, pause), 0..8))
        .prop_map(|(with_head, pieces)| Script { with_head, pieces })
}

fn plans() -> impl Strategy<Value = Plan> {
    (scripts(), scripts()).prop_map(|(client, target)| Plan { client, target })
}

impl Script {
    /// In a header: `true 12,0 300,2`.
    fn to_header(&self) -> String {
        let pieces = self
            .pieces
            .iter()
            .map(|(length, pause)| format!(" {length},{pause}"));
        format!("{}{}", self.with_head, pieces.collect::<String>())
    }

    fn from_header(text: &str) -> Self {
        let mut words = text.split(' ');
        let with_head = words.next().unwrap() == "true";
        let piece = |word: &str| {
            let (length, pause) = word.split_once(',').unwrap();
            (length.parse().unwrap(), pause.parse().unwrap())
        };
        Script {
            with_head,
            pieces: words.map(piece).collect(),
        }
    }

    fn length(&self) -> usize {
        self.pieces.iter().map(|(length, _)| length).sum()
    }

    /// All bytes of it; each place has its own, and so has each side.
    fn bytes(&self, side: usize) -> Vec<u8> {
        bytes(self.length(), side)
    }

    /// Sends all of it, the head first, and a FIN.
    async fn play(self, head: String, side: usize, mut to: OwnedWriteHalf) {
        let all = self.bytes(side);
        let mut sent = 0;
        let mut packet = head.into_bytes();
        if !self.with_head {
            to.write_all(&std::mem::take(&mut packet)).await.unwrap();
        }
        for (length, pause) in self.pieces {
            sleep(Duration::from_millis(pause)).await;
            packet.extend_from_slice(&all[sent..sent + length]);
            to.write_all(&std::mem::take(&mut packet)).await.unwrap();
            sent += length;
        }
        to.write_all(&packet).await.unwrap();
        to.shutdown().await.unwrap();
    }
}

fn bytes(length: usize, side: usize) -> Vec<u8> {
    (0..length)
        .map(|place| ((place ^ (place >> 8) ^ (place >> 16)) * 31 + side * 101) as u8)
        .collect()
}

async fn read_all(mut from: OwnedReadHalf, mut read: Vec<u8>) -> Vec<u8> {
    from.read_to_end(&mut read).await.unwrap();
    read
}

/// A target that plays the script in its handshake's header, and compares what it hears with the
/// other.
async fn playing_target() -> Target {
    Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        let script = |name| Script::from_header(header(&head, name).unwrap());
        let (mine, theirs) = (script("x-target"), script("x-client"));
        let (stream, early) = connection.into_parts();
        let (reads, writes) = stream.into_split();
        let (heard, ()) = tokio::join!(
            read_all(reads, early),
            mine.play(switching_protocols(&head), 2, writes)
        );
        assert!(heard == theirs.bytes(1), "the target heard something else");
    })
    .await
}

/// Plays the client's script, and compares what it hears with the target's.
async fn talk(edge: &Edge, plan: Plan) {
    let scripts = format!(
        "X-Client: {}\r\nX-Target: {}\r\n",
        plan.client.to_header(),
        plan.target.to_header()
    );
    let head = handshake("/chat", &scripts);
    let stream = TcpStream::connect(edge.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (reads, writes) = stream.into_split();
    let (answer, ()) = tokio::join!(
        read_all(reads, Vec::new()),
        plan.client.play(head, 1, writes)
    );
    let end = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .unwrap()
        + 4;
    let head = String::from_utf8_lossy(&answer[..end]);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(
        answer[end..] == plan.target.bytes(2),
        "the client heard something else"
    );
}

async fn talk_and_log(edge: &Edge, plan: Plan) {
    let lengths = (plan.client.length(), plan.target.length());
    let lines = edge.log().len();
    soon("the tunnel ends", talk(edge, plan)).await;
    let line = edge.log_lines(lines + 1).await.remove(lines);
    assert_eq!(line["requestBodyBytes"], lengths.0);
    assert_eq!(line["responseBodyBytes"], lengths.1);
}

#[test]
fn every_byte_arrives_once_and_in_order_however_and_whenever_it_is_sent() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (edge, _target) = runtime.block_on(async {
        let target = playing_target().await;
        (Edge::forwarding_to(&[target.address]).await, target)
    });
    let config = Cases {
        cases: 96,
        failure_persistence: None,
        max_shrink_iters: 50,
        ..Cases::default()
    };
    let play = |plan| {
        runtime.block_on(talk_and_log(&edge, plan));
        Ok(())
    };
    TestRunner::new(config).run(&plans(), play).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_tunnels_that_talk_at_once_lose_nothing() {
    const TUNNELS: usize = 5_000;
    culvert::os::open_files::raise();
    let target = playing_target().await;
    let patient = Config::forwarding_to(&[target.address])
        .rule("clientTimeout: 60s, tunnel: {handshakeTimeout: 60s}")
        .group("connectTimeout: 60s, responseTimeout: 60s, healthCheck: {checkInterval: 1h}");
    let edge = Arc::new(Edge::start(&patient).await);
    let mut tunnels = tokio::task::JoinSet::new();
    for number in 0..TUNNELS {
        let script = |with_head| Script {
            with_head,
            pieces: vec![(100 + number % 50, 0), (1_000, 1)],
        };
        let plan = Plan {
            client: script(number % 2 == 0),
            target: script(number % 3 == 0),
        };
        let edge = Arc::clone(&edge);
        tunnels.spawn(async move { talk(&edge, plan).await });
    }
    while let Some(ended) = soon("another tunnel ends", tunnels.join_next()).await {
        ended.unwrap();
    }
    let lines = edge.log_lines(TUNNELS).await;
    assert!(lines.iter().all(|line| line["httpStatusCode"] == 101));
    let active = r#"connections_active{forwarding_rule="edge"}"#;
    edge.metric_becomes(active, 0.0).await;
}
