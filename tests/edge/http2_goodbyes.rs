//! Whoever has a connection of HTTP/2 hears of its end with a GOAWAY, and what is on it may
//! finish.

use h2::Reason;

use crate::harness::http2::{Http2, clear, get, start};
use crate::harness::{Connection, Edge, Target, eventually};
use crate::http2_tunnels::reason;

#[tokio::test]
async fn a_drain_says_goaway_and_ends_tunnels_as_elsewhere() {
    let target = Target::named("target").await;
    let edge = Edge::start(&clear(target.address, "").server("drain: {deadline: 5s}")).await;
    let mut client = Http2::connect(edge.address).await;
    let mut tunnels = Vec::new();
    for _ in 0..3 {
        tunnels.push(client.tunnel("/chat").await);
    }
    let idle = Http2::connect(edge.address).await;
    edge.signal("TERM");
    client.is_sent_away().await;
    assert_eq!(idle.ended().await, None);
    for tunnel in &mut tunnels {
        tunnel.is_sent_away().await;
    }
    drop(tunnels);
    assert_eq!(client.ended().await, None);
    let (status, lines) = edge.ended().await;
    assert_eq!(status.code(), Some(0));
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert_eq!(
            (reason(line), &line["closeCode"]),
            ("drained", &1012.into())
        );
    }
}

#[tokio::test]
async fn a_connection_without_streams_is_told_to_go_after_client_timeout() {
    let target = Target::named("target").await;
    let edge = start(&target, "").await;
    let configuration = clear(target.address, "").rule("clientTimeout: 300");
    edge.reload(&configuration).await;
    let mut used = Http2::connect(edge.address).await;
    let mut tunnel = used.tunnel("/chat").await;
    let idle = Http2::connect(edge.address).await;
    assert_eq!(idle.ended().await, None);
    tunnel.say_hi().await;
    assert_eq!(used.ask(get("/"), "").await.text(), "target");
    drop(tunnel);
    used.is_sent_away().await;
}

#[tokio::test]
async fn a_listener_that_is_gone_says_goaway() {
    let (target, [other]) = (
        Target::named("target").await,
        crate::harness::edge::free_addresses(),
    );
    let edge = start(&target, "").await;
    let mut client = Http2::connect(edge.address).await;
    let mut tunnel = client.tunnel("/chat").await;
    let moved = clear(target.address, "").listen(other);
    edge.reload(&moved).await;
    client.is_sent_away().await;
    tunnel.say_hi().await;
}

#[tokio::test]
async fn a_client_that_gives_up_a_request_is_logged_as_closed() {
    let target = Target::scripted(async |mut connection: Connection| {
        connection.head().await;
        connection.to_end().await;
    })
    .await;
    let edge = start(&target, "").await;
    let mut client = Http2::connect(edge.address).await;
    let (answer, mut sender) = client.send(get("/slow"));
    eventually("the target is asked", || {
        (target.heads().len() == 1).then_some(())
    })
    .await;
    sender.send_reset(Reason::CANCEL);
    drop(answer);
    assert_eq!(reason(&edge.log_line().await), "client_closed");
}
