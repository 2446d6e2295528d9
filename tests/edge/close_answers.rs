//! A Close that answers ours ends its side's connection at once, whatever its mask and whatever the
//! other side does: there are clients that notice nothing else, and go on saying what nobody hears.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use crate::harness::ports::free_address;
use crate::harness::python;
use crate::harness::tls::HOST;
use crate::harness::{Authority, Config, Connection, Edge, Target, soon};

/// Close 1001: as it goes to a client, and as a client that masks nothing answers.
const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xE9];
/// The same of a client that masks, or of a target that does, with an empty key.
const GOING_AWAY_MASKED: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE9];
/// Longer than a test may take.
const PATIENT: &str = "{idleTimeout: 200, closeTimeout: 1h}";
/// Far less than the 5 s of `closeTimeout`.
const AT_ONCE: Duration = Duration::from_secs(2);

fn with_tunnel(tunnel: &str, target: SocketAddr) -> Config {
    Config::forwarding_to(&[target]).rule(&format!("tunnel: {tunnel}"))
}

/// A target that answers no Close and never ends.
async fn deaf() -> Target {
    Target::upgrading(async |_connection: Connection| std::future::pending().await).await
}

#[tokio::test]
async fn a_client_that_answers_is_ended_though_the_target_does_not() {
    for answer in [&GOING_AWAY[..], &GOING_AWAY_MASKED] {
        let target = deaf().await;
        let edge = Edge::start(&with_tunnel(PATIENT, target.address)).await;
        let (mut client, _) = edge.tunnel().await;
        assert_eq!(client.exactly(4).await, GOING_AWAY);
        client.send(answer).await;
        assert_eq!(client.to_end().await, b"", "{answer:?}");
    }
}

#[tokio::test]
async fn a_target_that_answers_is_ended_though_the_client_does_not() {
    for answer in [&GOING_AWAY[..], &GOING_AWAY_MASKED] {
        let (ended, mut ends) = unbounded_channel();
        let target = Target::upgrading(move |mut connection: Connection| {
            let ended = ended.clone();
            async move {
                connection.exactly(8).await;
                connection.send(answer).await;
                ended.send(connection.to_end().await).unwrap();
            }
        })
        .await;
        let edge = Edge::start(&with_tunnel(PATIENT, target.address)).await;
        let _client = edge.tunnel().await;
        let rest = soon("the target's end", ends.recv()).await;
        assert_eq!(rest, Some(Vec::new()), "{answer:?}");
    }
}

#[tokio::test]
async fn where_both_answer_the_tunnel_is_over_at_once_whatever_their_masks() {
    let target = Target::upgrading(async |mut connection: Connection| {
        connection.exactly(8).await;
        connection.send(GOING_AWAY_MASKED).await;
        std::future::pending().await
    })
    .await;
    let edge = Edge::start(&with_tunnel(PATIENT, target.address)).await;
    let (mut client, _) = edge.tunnel().await;
    client.exactly(4).await;
    client.send(GOING_AWAY).await;
    let line = edge.log_line().await;
    let told = [&line["closeReason"], &line["closeCode"], &line["framesIn"]];
    assert_eq!(
        told,
        [&Value::from("idle_timeout"), &1001.into(), &1.into()]
    );
}

#[tokio::test]
async fn a_client_whose_frames_cannot_be_followed_hears_a_close_and_the_end() {
    let target = deaf().await;
    let edge = Edge::start(&with_tunnel(PATIENT, target.address)).await;
    let (mut client, _) = edge.tunnel().await;
    client.send(b"\x81\x02hi").await;
    assert_eq!(client.to_end().await, GOING_AWAY);
}

#[tokio::test]
async fn a_target_whose_client_cannot_be_followed_hears_the_end() {
    let (ended, mut ends) = unbounded_channel();
    let target = Target::upgrading(move |mut connection: Connection| {
        let ended = ended.clone();
        async move { ended.send(connection.to_end().await).unwrap() }
    })
    .await;
    let edge = Edge::start(&with_tunnel(PATIENT, target.address)).await;
    let (mut client, _) = edge.tunnel().await;
    client.send(b"\x81\x02hi").await;
    assert_eq!(soon("its end", ends.recv()).await.unwrap(), b"\x81\x02hi");
}

#[tokio::test]
async fn a_client_in_tls_that_answers_is_ended_too() {
    let authority = Authority::new();
    authority.issue("edge", &[HOST]);
    let target = deaf().await;
    let secure = with_tunnel(PATIENT, target.address).tls(&authority, &["edge"]);
    let edge = Edge::start(&secure).await;
    let mut client = authority.tunnel(edge.address, HOST).await;
    assert_eq!(client.exactly(4).await, GOING_AWAY);
    client.send(GOING_AWAY).await;
    assert_eq!(client.to_end().await, b"");
}

/// The lines that a script writes, the first of which are awaited.
async fn started(
    script: &mut Command,
    lines: usize,
) -> (Child, Vec<String>, Lines<BufReader<ChildStdout>>) {
    let mut child = script.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut first = Vec::new();
    while first.len() < lines {
        let line = soon("a line of the script's", output.next_line()).await;
        first.push(line.unwrap().expect("it is running"));
    }
    (child, first, output)
}

#[tokio::test]
async fn paho_mqtt_loses_no_more_than_was_on_its_way_when_its_tunnel_is_ended() {
    let port = free_address().port().to_string();
    let (_target, address, mut heard) = started(python("mqtt_target.py").arg(port), 1).await;
    let edge = Edge::forwarding_to(&[address[0].parse().unwrap()]).await;
    let (host, port) = (
        edge.address.ip().to_string(),
        edge.address.port().to_string(),
    );
    let mut client = python("mqtt_client.py");
    let (_client, _, mut told) = started(client.args([host, port]), 1).await;
    for _ in 0..20 {
        soon("a message", heard.next_line()).await.unwrap();
    }

    let began = Instant::now();
    let killed = edge.admin_request("DELETE", "/api/v1/tunnels?targetGroup=group");
    assert!(killed.contains(" 202 "), "{killed}");
    let published = soon("the client notices", told.next_line()).await.unwrap();
    assert!(began.elapsed() < AT_ONCE, "after {:?}", began.elapsed());

    let published: u64 = published.unwrap().parse().unwrap();
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "killed");
    drop(edge);
    let mut last = 20;
    while let Ok(Ok(Some(line))) = timeout(Duration::from_millis(500), heard.next_line()).await {
        last = line.parse().unwrap();
    }
    assert!(published - last < 50, "{published} published, {last} heard");
}
