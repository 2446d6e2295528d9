//! A client's body in frames of one byte takes no more memory than one in large frames.

use crate::harness::http2::{END_HEADERS, Frames, GOAWAY, HEADERS, PING, SETTINGS, frame};
use crate::harness::{Config, Connection, Edge, Target};

const DATA: u8 = 0;
/// POST, http, / and the authority a (RFC 7541).
const POST: [u8; 6] = [0x83, 0x86, 0x84, 0x41, 0x01, b'a'];
const STREAMS: u32 = 4;
/// Nearly a stream's window.
const BYTES: usize = 60_000;
/// How many are sent before it is waited until they have been read: many that nobody has taken end
/// the connection.
const AT_ONCE: usize = 200;
/// What the reference allows is 640 KB, and 2 MB for small frames on their way; the rest is what a
/// process keeps of what it had.
const MOST: usize = 4 << 20;

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

#[tokio::test]
async fn a_body_in_frames_of_one_byte_takes_no_more_memory_than_its_window() {
    let target = taking_nothing().await;
    let configuration = Config::forwarding_to(&[target.address])
        .rule("h2c: true")
        .group("protocolVersion: HTTP2")
        .rule("clientTimeout: 60s")
        .group("responseTimeout: 60s");
    let edge = Edge::start(&configuration).await;
    let mut client = Frames::connect(edge.address).await;
    let streams: Vec<_> = (0..STREAMS).map(|number| 2 * number + 1).collect();
    for stream in &streams {
        let head = frame(HEADERS, END_HEADERS, *stream, &POST);
        client.0.send(head).await;
    }
    is_read(&mut client).await;
    let before = edge.resident_memory();
    for stream in streams {
        for _ in 0..BYTES / AT_ONCE {
            let part = frame(DATA, 0, stream, b"x").repeat(AT_ONCE);
            client.0.send(part).await;
            is_read(&mut client).await;
        }
    }
    let more = edge.resident_memory().saturating_sub(before);
    assert!(more < MOST, "{more} bytes");
    assert_eq!(edge.count_lines(), 0, "all requests go on");
}
