//! At the limits that there are by default the open files never run out, whatever mix of
//! connections, streams and tunnels is open.

use crate::harness::http2::{END_HEADERS, END_STREAM, HEADERS, SETTINGS, frame};
use crate::harness::target::{ok, switching_protocols};
use crate::harness::{Config, Connection, Edge, Target, eventually};

const FILES: usize = 400;
const HANDSHAKE: &str = crate::harness::client::HANDSHAKE;

/// A target that keeps its connections, opens tunnels, and answers all but what is to be slow.
async fn target() -> Target {
    Target::scripted(async |mut connection: Connection| {
        while connection.has_more().await {
            let head = connection.head().await;
            if head.contains("pgrade: websocket") {
                connection.send(switching_protocols(&head)).await;
                return connection.echo_messages().await;
            }
            if head.starts_with("GET /slow ") {
                connection.to_end().await;
                return;
            }
            connection.send(ok("quick")).await;
        }
    })
    .await
}

async fn start(target: &Target) -> Edge {
    // A client that has only ended its side is waited for no longer than that.
    let tunnel = "tunnel: {halfCloseTimeout: 1s}";
    let configuration = Config::forwarding_to(&[target.address])
        .rule("h2c: true, maxConcurrentStreams: 1000, clientTimeout: 50s")
        .rule(tunnel)
        .group("responseTimeout: 50s");
    Edge::start_with_files(&configuration, FILES as u64).await
}

/// `:method: GET`, `:scheme: http`, `:path: /slow`, `:authority: a`.
const SLOW: &[u8] = b"\x82\x86\x04\x05/slow\x01\x01a";
/// The extended CONNECT of a WebSocket.
const CONNECT: &[u8] = b"\x02\x07CONNECT\x00\x09:protocol\x09websocket\x86\x84\x01\x01a\
    \x00\x15sec-websocket-version\x0213";

/// What a client of HTTP/2 sends to have 15 slow requests and 15 tunnels, without waiting for
/// anything.
fn streams() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    for number in (1..60).step_by(4) {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, number, SLOW));
        bytes.extend(frame(HEADERS, END_HEADERS, number + 2, CONNECT));
    }
    bytes
}

/// Asks for something on this many connections at a time, which leaves as many to the target that
/// nobody needs.
async fn leave_idle_connections(edge: &Edge, count: usize) {
    let ask = |_| async move { edge.get("/quick").await.status };
    let asked = futures_util::future::join_all((0..count).map(ask)).await;
    assert!(asked.contains(&200));
}

fn is_well(edge: &Edge, most: &mut usize) {
    *most = (*most).max(edge.open_files());
    let said = edge.diagnostics();
    assert!(!said.contains("cannot accept"), "{said}");
    assert!(!said.contains("Too many open files"), "{said}");
}

#[tokio::test]
async fn no_mix_of_connections_streams_and_tunnels_takes_all_files() {
    let target = target().await;
    let (streams, plain) = (streams(), "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let (plain, tunnel) = (plain.as_bytes(), HANDSHAKE.as_bytes());
    for (mix, at_least) in [
        (&[&streams, plain, tunnel, b""][..], 150),
        (&[&streams], 100),
        (&[plain], 200),
        (&[tunnel], 200),
        (&[&streams, b""], 100),
    ] {
        let edge = start(&target).await;
        let (mut open, _) = edge.tunnel().await;
        let mut most = 0;
        leave_idle_connections(&edge, 60).await;
        let mut connections = Vec::new();
        for number in 0..600 {
            let connection = edge.connect().await;
            // One that is too many may be closed by now.
            connection.stream.try_write(mix[number % mix.len()]).ok();
            connections.push(connection);
            if number % 20 == 0 {
                is_well(&edge, &mut most);
            }
        }
        open.say_hi().await;
        is_well(&edge, &mut most);

        assert!((at_least..FILES).contains(&most), "{most} files");

        drop(connections);
        let active = || edge.metric("connections_active{forwarding_rule=\"edge\"}");
        let are_gone = || (active() == 1.0 && edge.open_files() < FILES / 2).then_some(());
        eventually("the files are free again", are_gone).await;
        assert_eq!(edge.get("/quick").await.text(), "quick");
        is_well(&edge, &mut most);
    }
}
