//! The admin address has few places, and whoever does nothing with theirs cannot keep others out.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::harness::admin::{ask_unix, get};
use crate::harness::client::status;
use crate::harness::{Config, Edge, eventually};

const PLACES: usize = 64;
const STREAMS: usize = 16;
/// A connection that does nothing is closed by then anyway.
const IDLE: Duration = Duration::from_secs(10);
/// A body of which the rest does not come.
const PART: &str = "POST /api/v1/explain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{";

async fn start() -> Edge {
    Edge::start(&Config::answering("hello")).await
}

/// This many connections that have sent this much.
fn connect(edge: &Edge, count: usize, sent: &str) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(edge.admin).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    };
    (0..count).map(connect).collect()
}

/// How many were closed; what they were sent is read.
fn closed(streams: &mut [TcpStream]) -> usize {
    streams
        .iter_mut()
        .map(is_closed)
        .filter(|closed| *closed)
        .count()
}

fn is_closed(stream: &mut TcpStream) -> bool {
    loop {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[tokio::test]
async fn a_connection_that_asks_nothing_gives_way_to_a_new_one_the_longest_silent_first() {
    let edge = start().await;
    for sent in ["", "GET /livez HTTP/1.1\r\nHost:", PART] {
        let began = Instant::now();
        let mut silent = connect(&edge, PLACES, sent);
        for _ in 0..10 {
            assert_eq!(status(&edge.admin_page("/livez")), 200);
        }
        assert!(
            began.elapsed() < IDLE,
            "{sent:?}: only when they are let go"
        );
        let first = || (closed(&mut silent[..1]) == 1).then_some(());
        eventually("the first is closed", first).await;
        assert_eq!(closed(&mut silent[11..]), 0, "{sent:?}: more than needed");
    }
}

#[tokio::test]
async fn a_thousand_connections_that_keep_coming_keep_nobody_out() {
    let edge = start().await;
    let began = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.extend(connect(&edge, 50, ""));
        assert_eq!(get(&edge, "/api/v1/status")["pid"], edge.id());
    }
    assert!(began.elapsed() < 3 * IDLE, "{:?}", began.elapsed());
    let open = || (silent.len() - closed(&mut silent) <= PLACES).then_some(());
    eventually("most are closed", open).await;
}

#[tokio::test]
async fn streams_of_events_leave_places_to_others_and_are_not_closed_for_them() {
    let edge = start().await;
    let ask = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut streams = connect(&edge, PLACES, ask);
    for stream in &mut streams {
        stream.set_nonblocking(false).unwrap();
        stream.read_exact(&mut [0; 12]).unwrap();
        stream.set_nonblocking(true).unwrap();
    }
    let began = Instant::now();
    let _silent = connect(&edge, PLACES, "");
    for _ in 0..10 {
        assert_eq!(status(&edge.admin_page("/livez")), 200);
    }
    assert!(began.elapsed() < IDLE, "{:?}", began.elapsed());
    assert_eq!(PLACES - closed(&mut streams), STREAMS);
}

#[tokio::test]
async fn who_takes_no_answer_at_a_unix_socket_gives_way_too() {
    let edge = Edge::start(&Config::answering("hello").admin("127.0.0.1:ADMIN_PORT")).await;
    let socket = edge.folder.path().join("admin.sock");
    edge.configure(&Config::answering("hello").admin("unix:FOLDER/admin.sock"));
    edge.signal("HUP");
    let is_served = || ask_unix(&socket, "GET", "/livez").ok();
    eventually("the socket is served", is_served).await;
    let ask = "GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let mut lazy = Vec::new();
    for _ in 0..PLACES {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(ask.as_bytes()).unwrap();
        lazy.push(stream);
    }
    for _ in 0..10 {
        assert_eq!(status(&ask_unix(&socket, "GET", "/livez").unwrap()), 200);
    }
}
