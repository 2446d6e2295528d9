//! A tunnel's end is told truly, whoever ends it, the process included.

use std::io::ErrorKind;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc::unbounded_channel;

use crate::harness::client::HANDSHAKE;
use crate::harness::target::switching_protocols;
use crate::harness::{Connection, Edge, Noise, Target, eventually, soon};
use crate::tunnels::{MEGABYTE, say_hello, with_tunnels};

#[tokio::test]
async fn a_client_that_closes_is_heard_out_and_logged_as_client_closed() {
    let (heard, mut bytes) = unbounded_channel();
    let target = Target::upgrading(move |mut connection: Connection| {
        let heard = heard.clone();
        async move { heard.send(connection.to_end().await).unwrap() }
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let (mut client, _) = edge.tunnel().await;
    let last_words = Noise::seeded(5).bytes(MEGABYTE);
    client.send(&last_words).await;
    client.finish().await;

    let heard = soon("the target's end", bytes.recv()).await.unwrap();
    assert!(heard == last_words, "{} bytes arrived", heard.len());
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "client_closed");
    assert_eq!(line["requestBodyBytes"], MEGABYTE);
    assert_eq!(line.get("error"), None);
}

#[tokio::test]
async fn a_target_that_closes_is_heard_out_and_logged_as_target_closed() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.send(Noise::seeded(6).bytes(MEGABYTE)).await;
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let (mut client, _) = edge.tunnel().await;

    let heard = client.to_end().await;
    assert!(
        heard == Noise::seeded(6).bytes(MEGABYTE),
        "{} bytes arrived",
        heard.len()
    );
    client.finish().await;
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "target_closed");
    assert_eq!(line["responseBodyBytes"], MEGABYTE);
    assert_eq!(line.get("error"), None);
}

/// Sends for as long as somebody takes it.
async fn pour(connection: &mut Connection) {
    let bytes = [0; 10_000];
    while connection.stream.write_all(&bytes).await.is_ok() {}
}

#[tokio::test]
async fn a_client_that_breaks_off_is_logged_as_client_error() {
    for does_target_talk in [false, true] {
        let target = Target::upgrading(move |mut connection: Connection| async move {
            connection.exactly(5).await;
            if does_target_talk {
                pour(&mut connection).await;
            }
            connection.to_end().await;
        })
        .await;
        let edge = Edge::forwarding_to(&[target.address]).await;
        let (mut client, _) = edge.tunnel().await;
        client.send("hello").await;
        if does_target_talk {
            client.exactly(MEGABYTE).await;
        }
        client.reset();
        let line = edge.log_line().await;
        assert_eq!(line["closeReason"], "client_error", "{does_target_talk}");
        assert_eq!(line["httpStatusCode"], 101);
        assert!(line["error"].is_string(), "{line}");
    }
}

/// Several tunnels, in which the client is silent or `talks` all the time, until the target breaks
/// them off.
async fn target_breaks_off(talks: bool) {
    const TUNNELS: usize = 8;
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.exactly(5).await;
        connection.reset();
    })
    .await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    for _ in 0..TUNNELS {
        let (mut client, _) = edge.tunnel().await;
        client.send("hello").await;
        if talks {
            soon("the break", pour(&mut client)).await;
        }
        client.to_end().await;
    }
    for line in edge.log_lines(TUNNELS).await {
        assert_eq!(line["closeReason"], "target_error");
        assert_eq!(line["httpStatusCode"], 101);
        assert!(line["error"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn a_target_that_breaks_off_is_logged_as_target_error() {
    target_breaks_off(false).await;
}

#[tokio::test]
async fn a_target_that_breaks_off_while_the_client_sends_is_logged_as_target_error() {
    target_breaks_off(true).await;
}

async fn is_draining(edge: &Edge) {
    let is_unready = || edge.admin_page("/readyz").contains(" 503 ").then_some(());
    eventually("it is not ready any more", is_unready).await;
}

#[tokio::test]
async fn on_sigterm_nothing_new_is_taken_and_open_tunnels_live_to_their_end() {
    let (_target, mut edge, mut clients) = with_tunnels(2).await;
    edge.signal("TERM");
    is_draining(&edge).await;
    eventually("connections are refused", || {
        let refused = std::net::TcpStream::connect(edge.address).err()?;
        (refused.kind() == ErrorKind::ConnectionRefused).then_some(())
    })
    .await;
    edge.metric_becomes("draining", 1.0).await;
    for client in &mut clients {
        say_hello(client).await;
    }
    clients.pop();
    assert_eq!(edge.log_line().await["closeReason"], "client_closed");
    say_hello(&mut clients[0]).await;
    assert!(edge.is_running());
    clients.pop();

    let (status, lines) = edge.ended().await;
    assert_eq!(status.code(), Some(0));
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert_eq!(lines[1]["closeReason"], "client_closed");
}

/// The process ends although its three tunnels do not, and leaves a line for each.
async fn exits_now(edge: Edge) {
    let (status, lines) = edge.ended().await;
    assert_eq!(status.code(), Some(0));
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for line in lines {
        assert_eq!(line["closeReason"], "process_exit");
        assert_eq!(line["httpStatusCode"], 101);
        assert_eq!(line["upgrade"], "websocket");
        assert_eq!(line["requestHeaderBytes"], HANDSHAKE.len());
        assert_eq!(line["requestBodyBytes"], 5);
        assert_eq!(line["responseBodyBytes"], 5);
        let head = switching_protocols(HANDSHAKE);
        assert_eq!(line["responseHeaderBytes"], head.len());
    }
}

#[tokio::test]
async fn on_sigint_the_process_exits_with_a_line_for_each_open_tunnel() {
    let (_target, edge, _clients) = with_tunnels(3).await;
    edge.signal("INT");
    exits_now(edge).await;
}

#[tokio::test]
async fn on_a_second_sigterm_the_process_exits_with_a_line_for_each_open_tunnel() {
    let (_target, edge, _clients) = with_tunnels(3).await;
    edge.signal("TERM");
    is_draining(&edge).await;
    edge.signal("TERM");
    exits_now(edge).await;
}
