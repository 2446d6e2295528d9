//! What passes through a tunnel and who is told of its end, whichever side ends first.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::client::HANDSHAKE;
use crate::harness::edge::body_of;
use crate::harness::{Config, Connection, Edge, Target, eventually, soon};

/// Close 1001, as it goes to a client.
pub const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xE9];
/// A text frame "hi", of a target and of a client with an empty key.
pub const HI: [u8; 4] = [0x81, 2, b'h', b'i'];

/// A running Culvert with these `tunnel` settings.
pub async fn edge_with(tunnel: &str, target: &Target) -> Edge {
    let tunnel = format!("tunnel: {tunnel}");
    Edge::start(&Config::forwarding_to(&[target.address]).rule(&tunnel)).await
}

pub async fn open(edge: &Edge) -> Connection {
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    client
}

/// A target that ends the connection once it has read to the end.
pub async fn listening() -> Target {
    Target::upgrading(async |mut connection: Connection| {
        connection.to_end().await;
    })
    .await
}

/// A Close frame with this code from a client, with an empty key.
pub fn close_of_client(code: u16) -> Vec<u8> {
    [&[0x88, 0x82, 0, 0, 0, 0], code.to_be_bytes().as_slice()].concat()
}

pub fn reason(line: &Value) -> (&str, Option<u64>) {
    (
        line["closeReason"].as_str().unwrap(),
        line["closeCode"].as_u64(),
    )
}

#[tokio::test]
async fn a_client_that_has_ended_still_gets_what_the_target_sends() {
    let target = Target::upgrading(async |mut connection: Connection| {
        let heard = connection.to_end().await;
        connection
            .send(format!("heard {} bytes", heard.len()))
            .await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = open(&edge).await;
    client.send("to the end").await;
    client.finish().await;
    assert_eq!(client.to_end().await, b"heard 10 bytes");
    assert_eq!(reason(&edge.log_line().await), ("client_closed", None));
}

#[tokio::test]
async fn a_target_that_has_ended_still_gets_what_the_client_sends() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.send("bye").await;
        connection.finish().await;
        assert_eq!(connection.to_end().await, b"after your end");
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = open(&edge).await;
    assert_eq!(client.to_end().await, b"bye");
    client.send("after your end").await;
    client.finish().await;
    let line = edge.log_line().await;
    assert_eq!(reason(&line), ("target_closed", None));
    assert_eq!(line["requestBodyBytes"], 14);
}

#[tokio::test]
async fn a_tunnel_that_an_operator_kills_is_closed_with_1008_on_both_sides() {
    let target = Target::upgrading(async |mut connection: Connection| {
        let close = connection.exactly(8).await;
        connection
            .send([0x88, 2, close[6] ^ close[2], close[7] ^ close[3]])
            .await;
        connection.to_end().await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = open(&edge).await;
    let other = open(&edge).await;
    let port = client.stream.local_addr().unwrap().port();
    let page = eventually("both tunnels are listed", || {
        let page: Value = body_of(&edge.admin_page("/api/v1/tunnels"));
        (page["total"] == 2).then_some(page)
    })
    .await;
    let listed = page["tunnels"].as_array().unwrap();
    let ours = listed
        .iter()
        .find(|tunnel| tunnel["clientPort"] == port)
        .unwrap();
    let path = format!("/api/v1/tunnels/{}", ours["id"].as_str().unwrap());

    assert!(edge.admin_request("DELETE", &path).contains(" 202 "));

    assert_eq!(client.exactly(4).await, [0x88, 2, 0x03, 0xF0]);
    client.send(close_of_client(1008)).await;
    assert_eq!(client.to_end().await, b"");
    let line = edge.log_line().await;
    assert_eq!(reason(&line), ("killed", Some(1008)));
    assert_eq!(line["trackingId"], ours["id"]);
    let is_gone = || {
        edge.admin_request("DELETE", &path)
            .contains(" 404 ")
            .then_some(())
    };
    eventually("it is not listed any more", is_gone).await;
    drop(other);
}

#[tokio::test]
async fn a_direction_that_stands_in_a_frame_is_cut_without_a_close_frame() {
    const HALF_A_FRAME: [u8; 6] = [0x81, 100, b'h', b'a', b'l', b'f'];
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.send(HALF_A_FRAME).await;
        assert_eq!(connection.exactly(2).await, [0x88, 0x82]);
        connection.to_end().await;
    })
    .await;
    let edge = edge_with("{idleTimeout: 200, closeTimeout: 300}", &target).await;
    let mut client = open(&edge).await;
    assert_eq!(client.to_end().await, HALF_A_FRAME);
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "idle_timeout");
    assert!(line["durationMs"].as_f64().unwrap() >= 500.0);
}

#[tokio::test]
async fn the_rest_of_a_frame_still_passes_before_our_close() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.send([0x81, 4, b'h', b'a']).await;
        connection.exactly(8).await;
        connection.send([b'l', b'f', 0x81, 1, b'x']).await;
        connection.to_end().await;
    })
    .await;
    let edge = edge_with("{idleTimeout: 200, closeTimeout: 500}", &target).await;
    let mut client = open(&edge).await;
    let expected = [&[0x81, 4], b"half".as_slice(), &GOING_AWAY].concat();
    assert_eq!(client.to_end().await, expected);
    assert_eq!(reason(&edge.log_line().await), ("idle_timeout", Some(1001)));
}

#[tokio::test]
async fn who_sends_the_first_close_frame_closed_the_tunnel_whoever_ends_first() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.exactly(8).await;
        connection.send([0x88, 2, 0x0F, 0xA0]).await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = open(&edge).await;
    client.send(close_of_client(4000)).await;
    assert_eq!(client.to_end().await, [0x88, 2, 0x0F, 0xA0]);
    client.finish().await;
    let line = edge.log_line().await;
    assert_eq!(reason(&line), ("client_closed", Some(4000)));
    assert_eq!(
        (&line["framesIn"], &line["framesOut"]),
        (&1.into(), &1.into())
    );
}

#[tokio::test]
async fn once_both_have_said_close_the_first_end_is_the_end() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.exactly(8).await;
        connection.send([0x88, 2, 0x03, 0xE8]).await;
    })
    .await;
    let edge = edge_with("{closeTimeout: 1h}", &target).await;
    let mut client = open(&edge).await;
    client.send(close_of_client(1000)).await;
    assert_eq!(client.to_end().await, [0x88, 2, 0x03, 0xE8]);
    assert_eq!(
        reason(&edge.log_line().await),
        ("client_closed", Some(1000))
    );
}

#[tokio::test]
async fn a_close_frame_of_the_target_is_its_own_also_when_the_client_breaks_off() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection
            .send([HI.as_slice(), &[0x88, 2, 0x03, 0xF3]].concat())
            .await;
        connection.to_end().await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = open(&edge).await;
    client.exactly(8).await;
    client.reset();
    let line = edge.log_line().await;
    assert_eq!(reason(&line), ("target_closed", Some(1011)));
    assert_eq!(line["framesOut"], 2);
}

#[tokio::test]
async fn a_receiver_that_does_not_read_stalls_only_its_own_direction() {
    const MEGABYTE: usize = 1 << 20;
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let target = Target::upgrading(move |connection: Connection| {
        let heard = heard.clone();
        async move {
            let (mut reads, mut writes) = connection.stream.into_split();
            let flood =
                tokio::spawn(
                    async move { while writes.write_all(&vec![0; MEGABYTE]).await.is_ok() {} },
                );
            reads.read_exact(&mut vec![0; 64 * MEGABYTE]).await.unwrap();
            heard.send(()).unwrap();
            flood.await.unwrap();
        }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = open(&edge).await;
    for _ in 0..64 {
        client.send(vec![0; MEGABYTE]).await;
    }
    soon("the target hears it all", hears.recv()).await.unwrap();
}

#[tokio::test]
async fn both_sides_of_a_tunnel_are_probed_when_silent() {
    let target = listening().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let client = open(&edge).await;
    // Of /proc/net/tcp: the local and the remote address, and the timer, where 02 is keep-alive.
    let probed = |local: u16, remote: u16| {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let (local, remote) = (format!(":{local:04X}"), format!(":{remote:04X}"));
        sockets.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_it =
                (local == ":0000" || fields[1].ends_with(&local)) && fields[2].ends_with(&remote);
            is_it && fields[5].starts_with("02:")
        })
    };
    let port = client.stream.local_addr().unwrap().port();
    eventually("the client's side is probed", || {
        probed(edge.address.port(), port).then_some(())
    })
    .await;
    eventually("the target's side is probed", || {
        probed(0, target.address.port()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_tunnel_that_the_process_cuts_keeps_the_reason_that_it_has() {
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let target = Target::upgrading(move |mut connection: Connection| {
        let heard = heard.clone();
        async move {
            connection.exactly(8).await;
            heard.send(()).unwrap();
            std::future::pending().await
        }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let mut client = open(&edge).await;
    client.send(close_of_client(1000)).await;
    soon("the target hears the Close", hears.recv())
        .await
        .unwrap();
    edge.signal("INT");
    let (_, lines) = edge.ended().await;
    assert_eq!(reason(&lines[0]), ("client_closed", Some(1000)));
}
