//! Requests that clients have given up do not end the connection to a target of HTTP/2 that they
//! shared with others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::http2::{END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, frame};
use crate::harness::{Config, Connection, Edge, Target, eventually};

const DATA: u8 = 0;
/// How many give up at a time, all on one connection; and how often. Together they are more than h2
/// forgives unasked.
const AT_A_TIME: usize = 60;
const TIMES: usize = 20;

/// A head, and a body (RFC 7541: `:status` 200).
fn answer(stream: u32) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, stream, b"\x88");
    [head, frame(DATA, END_STREAM, stream, b"hello")].concat()
}

/// Answers a GET at once, and counts whatever else: that is answered when it has been given up, as
/// by a target that does not know yet.
async fn serve(mut connection: Connection, asked: &AtomicUsize) -> Option<()> {
    let stream = &mut connection.stream;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.ok()?;
    stream.read_exact(&mut [0; 24]).await.ok()?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, _, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await.ok()?;
        // GET (RFC 7541).
        let is_get = payload.first() == Some(&0x82);
        match kind {
            HEADERS if !is_get => drop(asked.fetch_add(1, SeqCst)),
            HEADERS | RST_STREAM => {
                let answer = answer(u32::from_be_bytes(id));
                stream.write_all(&answer).await.ok()?;
            }
            _ => {}
        }
    }
}

async fn waiting(edge: &Edge) -> Connection {
    let mut client = edge.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client
}

#[tokio::test]
async fn a_connection_outlives_all_requests_on_it_that_were_given_up() {
    let asked = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&asked);
    let target = Target::scripted(move |connection: Connection| {
        let counted = Arc::clone(&counted);
        async move {
            serve(connection, &counted).await;
        }
    })
    .await;
    let configuration = Config::forwarding_to(&[target.address])
        .group("protocolVersion: HTTP2")
        .group("responseTimeout: 60s");
    let edge = Edge::start(&configuration).await;
    assert!(edge.get("/").await.text().contains("hello"));
    for time in 1..=TIMES {
        let clients = join_all((0..AT_A_TIME).map(|_| waiting(&edge))).await;
        let are_asked = || (asked.load(SeqCst) == time * AT_A_TIME).then_some(());
        eventually("all are asked", are_asked).await;
        clients.into_iter().for_each(Connection::reset);
        edge.log_lines(1 + time * AT_A_TIME).await;
    }
    assert!(edge.get("/").await.text().contains("hello"));
    assert_eq!(target.connections(), 1);
}
