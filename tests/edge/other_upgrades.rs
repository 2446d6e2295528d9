//! What an HTTP rule lets through besides WebSocket: the upgrades that it names, as Tailscale,
//! Docker and kubectl ask for them, carried as bytes that are no frames. All others stay what they
//! are without it: nothing that a target hears of.

use std::net::SocketAddr;

use http::{Method, Request};
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;

use crate::harness::admin::ask;
use crate::harness::client::{HANDSHAKE, header, status};
use crate::harness::http2::Http2;
use crate::harness::{Config, Connection, Edge, Target, soon};

/// Of a frame, if there were any: the head of one that is longer than what comes, and a Close.
const NO_FRAMES: &[u8] = b"\x82\xFE\xFF\xFF\x88\x02\x03\xE8\x81\x05";

/// A configuration whose only HTTP rule has these further keys.
fn with(keys: &str, target: SocketAddr) -> Config {
    Config::forwarding_to(&[target])
        .rule("h2c: true")
        .http_rule(keys)
}

const PERMITTED: &str = "upgrades: [tcp, SPDY/3.1, tailscale-control-protocol]";

fn asking(line: &str, upgrade: &str, rest: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\nUpgrade: {upgrade}\r\nConnection: upgrade\r\n{rest}")
}

fn switching(protocol: &str) -> String {
    format!("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n")
}

/// A target that switches to whatever it is asked for, and sends back every byte.
async fn switches() -> Target {
    Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        connection.body(&head).await;
        let protocol = header(&head, "upgrade").unwrap().to_owned();
        connection.send(switching(&protocol)).await;
        connection.echo().await;
    })
    .await
}

#[tokio::test]
async fn a_permitted_upgrade_is_carried_byte_for_byte_to_its_end() {
    let target = switches().await;
    let edge = Edge::start(&with(PERMITTED, target.address)).await;
    for (place, (line, upgrade, rest)) in [
        (
            "POST /ts2021",
            "tailscale-control-protocol",
            "Content-Length: 0\r\n\r\n",
        ),
        ("GET /exec", "spdy/3.1", "\r\n"),
        (
            "POST /exec/1/start",
            "tcp",
            "Content-Length: 16\r\n\r\n{\"Detach\":false}",
        ),
        (
            "POST /attach",
            "tcp",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = edge.connect().await;
        client.send(asking(line, upgrade, rest)).await;
        let head = client.head().await;
        assert_eq!(
            (status(&head), header(&head, "upgrade")),
            (101, Some(upgrade)),
            "{line}"
        );
        client.send(NO_FRAMES).await;
        assert_eq!(client.exactly(NO_FRAMES.len()).await, NO_FRAMES);
        client.finish().await;
        assert_eq!(client.to_end().await, b"");
        let line = edge.log_lines(place + 1).await[place].clone();
        assert_eq!(line["upgrade"].as_str().unwrap().to_lowercase(), upgrade);
        assert_eq!(line["closeReason"], "client_closed");
        assert_eq!(line["requestBodyBytes"], NO_FRAMES.len());
        assert!(
            line.get("framesIn").is_none() && line.get("closeCode").is_none(),
            "{line}"
        );
    }
}

#[tokio::test]
async fn one_that_is_ended_gets_a_fin_on_both_sides_and_no_close_frame() {
    let (heard, mut hears) = unbounded_channel();
    let target = Target::scripted(move |mut connection: Connection| {
        let heard = heard.clone();
        async move {
            connection.head().await;
            connection.send(switching("tcp") + "hello").await;
            heard.send(connection.to_end().await).unwrap();
        }
    })
    .await;
    let edge = Edge::start(&with(PERMITTED, target.address)).await;
    let mut client = edge.connect().await;
    client.send(asking("GET /", "tcp", "\r\n")).await;
    client.head().await;
    assert_eq!(client.exactly(5).await, b"hello");
    let killed = edge.admin_request("DELETE", "/api/v1/tunnels?targetGroup=group");
    assert!(killed.contains(" 202 "), "{killed}");
    assert_eq!(client.to_end().await, b"");
    assert_eq!(
        soon("the target's end", hears.recv()).await,
        Some(Vec::new())
    );
    drop(client);
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "killed");
    assert_eq!(line.get("closeCode"), None);
}

#[tokio::test]
async fn what_is_not_permitted_or_not_alone_is_no_upgrade() {
    let target = Target::showing().await;
    let edge = Edge::start(&with(PERMITTED, target.address)).await;
    for upgrade in [
        "h2c",
        "spdy/3",
        "tcp, websocket",
        "websocket, tcp",
        "tcp\r\nUpgrade: tcp",
    ] {
        let shown = edge.request(&asking("GET /", upgrade, "\r\n")).await;
        assert_eq!(shown.status, 200, "{upgrade}");
        assert_eq!(header(shown.text(), "upgrade"), None, "{upgrade}");
    }
    // Without a word about it in Connection it is none, either.
    let silent = asking("GET /", "tcp", "\r\n").replace("Connection: upgrade\r\n", "");
    assert_eq!(header(edge.request(&silent).await.text(), "upgrade"), None);
}

#[tokio::test]
async fn a_websocket_is_one_as_before_beside_them() {
    let target = Target::mirror().await;
    let edge = Edge::start(&with(PERMITTED, target.address)).await;
    let (mut client, _) = edge.tunnel().await;
    client.leave(1000).await;
    assert_eq!(client.exactly(8).await.len(), 8);
    drop(client);
    let line = edge.log_line().await;
    assert_eq!(
        (&line["upgrade"], &line["closeCode"]),
        (&"websocket".into(), &1000.into())
    );
    let broken = HANDSHAKE.replace("Sec-WebSocket-Key", "X-Key");
    assert_eq!(edge.request(&broken).await.status, 400);
}

#[tokio::test]
async fn what_a_target_says_instead_is_passed_on_unless_it_is_another_101() {
    let target = Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        connection.body(&head).await;
        let answer = match head.starts_with("GET /other") {
            true => switching("websocket"),
            false => "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope".to_owned(),
        };
        connection.send(answer).await;
        connection.to_end().await;
    })
    .await;
    let edge = Edge::start(&with(PERMITTED, target.address)).await;
    let body = "Content-Length: 3\r\n\r\nabc";
    for (line, rest, expected) in [
        ("GET /", "\r\n", 403),
        ("POST /", body, 403),
        ("GET /other", "\r\n", 502),
    ] {
        let answer = edge.request(&asking(line, "tcp", rest)).await;
        assert_eq!(answer.status, expected, "{line}");
    }
}

#[tokio::test]
async fn they_count_as_handshakes_and_origins_do_not_concern_them() {
    let target = switches().await;
    let keys = format!("allowedOrigins: [\"https://a\"], {PERMITTED}");
    let configuration = with(&keys, target.address).rule("maxHandshakesPerSecond: 1");
    let edge = Edge::start(&configuration).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let mut client = edge.connect().await;
        client.send(asking("GET /", "tcp", "\r\n")).await;
        seen.push(status(&client.head().await));
    }
    assert!(seen.contains(&101) && seen.contains(&429), "{seen:?}");
}

#[tokio::test]
async fn over_http_2_there_are_none() {
    let target = switches().await;
    let edge = Edge::start(&with(PERMITTED, target.address)).await;
    let mut request = Request::builder().method(Method::CONNECT).uri("http://a/");
    let protocol = h2::ext::Protocol::from_static("tcp");
    request.extensions_mut().unwrap().insert(protocol);
    let mut client = Http2::connect(edge.address).await;
    let (_stream, answer) = client.begin(request.body(()).unwrap()).await;
    assert_eq!(answer.status(), 405);
}

#[tokio::test]
async fn explain_tells_which_upgrade_is_forwarded() {
    let target = switches().await;
    let edge = Edge::start(&with(PERMITTED, target.address)).await;
    for (upgrade, expected) in [("spdy/3.1", json!("SPDY/3.1")), ("h2c", Value::Null)] {
        let headers = json!({"Upgrade": upgrade, "Connection": "Upgrade"});
        let sample = json!({"path": "/", "headers": headers}).to_string();
        let (_, told) = ask(&edge, "POST", "/api/v1/explain", &[], &sample);
        assert_eq!(told["action"]["upgrade"], expected, "{upgrade}");
    }
}
