//! A client cannot make its tunnel expensive by a long head: what is kept of it is cut, and what is
//! cut is marked.

use crate::harness::client::{HANDSHAKE, handshake, status};
use crate::harness::http2::{Http2, websocket};
use crate::harness::{Config, Connection, Edge, Target, eventually};

const TUNNELS: usize = 300;
/// What each may cost: far less than its head.
const MOST: usize = 24 << 10;

/// Waits until the memory is not much more than before all these tunnels.
async fn is_cheap(edge: &Edge, before: usize, tunnels: usize, what: &str) {
    let is_cheap = || {
        let grown = edge.resident_memory().saturating_sub(before);
        (grown / tunnels < MOST).then_some(())
    };
    eventually(&format!("{what} costs little"), is_cheap).await;
}

#[tokio::test]
async fn a_tunnel_with_a_long_head_costs_little_more_than_another() {
    let target = Target::mirror().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let _others = edge.tunnels(TUNNELS).await;
    let long = "a".repeat(60_000);
    let many: String = (0..90)
        .map(|place| format!("X-{place}: {}\r\n", &long[..600]))
        .collect();
    for (what, line) in [
        ("a path", None),
        ("a host", Some(format!("Host: {long}\r\n"))),
        ("a User-Agent", Some(format!("User-Agent: {long}\r\n"))),
        ("a Referer", Some(format!("Referer: {long}\r\n"))),
        ("a cookie", Some(format!("Cookie: {long}\r\n"))),
        (
            "a subprotocol",
            Some(format!("Sec-WebSocket-Protocol: {long}\r\n")),
        ),
        ("many headers", Some(many)),
    ] {
        let handshake = match line {
            None => handshake(&format!("/{long}"), ""),
            Some(host) if host.starts_with("Host") => {
                HANDSHAKE.replace("Host: example.com\r\n", &host)
            }
            Some(lines) => handshake("/chat", &lines),
        };
        let before = edge.resident_memory();
        let mut tunnels = Vec::new();
        for _ in 0..TUNNELS {
            let mut client = edge.connect().await;
            client.send(&handshake).await;
            assert_eq!(status(&client.head().await), 101, "{what}");
            tunnels.push(client);
        }
        is_cheap(&edge, before, TUNNELS, what).await;
    }
}

#[tokio::test]
async fn so_does_one_in_http_2() {
    let target = Target::mirror().await;
    let configuration = Config::forwarding_to(&[target.address]).rule("h2c: true");
    let edge = Edge::start(&configuration).await;
    let (mut clients, mut tunnels) = (Vec::new(), Vec::new());
    for length in [0, 25_000] {
        let before = edge.resident_memory();
        for _ in 0..10 {
            let mut client = Http2::connect(edge.address).await;
            for _ in 0..TUNNELS / 10 {
                let mut request = websocket("/");
                for name in ["user-agent", "x-a"] {
                    let value = "a".repeat(length).parse().unwrap();
                    request.headers_mut().insert(name, value);
                }
                let (stream, answer) = client.begin(request).await;
                assert_eq!(answer.status(), 200);
                tunnels.push(stream);
            }
            clients.push(client);
        }
        is_cheap(&edge, before, TUNNELS, &format!("a head of {length}")).await;
    }
}

#[tokio::test]
async fn what_is_cut_is_marked() {
    let target = Target::mirror().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let path = format!(
        "/{}?token=secret&a={}",
        "a".repeat(2_030),
        "b".repeat(20_000)
    );
    let lines = format!(
        "User-Agent: {}\r\nReferer: http://a/?key=secret&{}\r\n",
        "u".repeat(10_000),
        "r".repeat(10_000)
    );
    let mut client: Connection = edge.connect().await;
    client.send(handshake(&path, &lines)).await;
    assert_eq!(status(&client.head().await), 101);
    client.finish().await;

    let line = edge.log_line().await;
    let redacted = path.replace("secret", "<redacted>");
    let uri = format!("{}…[+{} bytes]", &redacted[..2048], redacted.len() - 2048);
    assert_eq!(line["requestUri"], uri.as_str());
    let agent = format!("{}…[+7952 bytes]", "u".repeat(2048));
    assert_eq!(line["userAgent"], agent.as_str());
    let kept = format!("http://a/?key=<redacted>&{}", "r".repeat(2_023));
    assert_eq!(line["referer"], format!("{kept}…[+7977 bytes]"));
}
