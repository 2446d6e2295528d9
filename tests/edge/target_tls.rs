//! TLS towards targets: what a tunnel keeps of its promises, and how it ends. The targets are
//! rustls and Python.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

use crate::harness::admin::relayed;
use crate::harness::client::{CLOSE, GOING_AWAY, HANDSHAKE};
use crate::harness::ports::free_address;
use crate::harness::python;
use crate::harness::target::switching_protocols;
use crate::harness::tls::{Answering, TARGET_HOST as HOST, over_tls, trusting};
use crate::harness::{Answer, Authority, Edge, Noise, Target, soon};

/// A Culvert that trusts an authority, with these settings of the tunnels, in front of a target.
pub async fn edge_before(authority: &Authority, tunnel: &str, target: &Target) -> Edge {
    let configuration = over_tls(&trusting(authority), &[target.address]);
    Edge::start(&configuration.rule(&format!("tunnel: {tunnel}"))).await
}

/// A target that accepts the handshake, and leaves the rest to `script`.
async fn upgrading<F, S>(authority: &Authority, script: S) -> Target
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(Answering) -> F + Send + Sync + 'static,
{
    authority.issue("one", &[HOST]);
    let script = Arc::new(script);
    authority
        .target("one", move |mut connection: Answering| {
            let script = Arc::clone(&script);
            async move {
                let head = connection.head().await;
                connection.send(switching_protocols(&head)).await;
                script(connection).await;
            }
        })
        .await
}

/// The answer to a handshake that is not accepted.
pub async fn refused_handshake(edge: &Edge) -> Answer {
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    client.answer_to_end().await
}

pub fn connect_errors(edge: &Edge, target: SocketAddr) -> f64 {
    edge.metric(&format!(
        "target_connect_errors_total{{target=\"{target}\",target_group=\"group\"}}"
    ))
}

#[tokio::test]
async fn pythons_websockets_is_a_target_in_tls() {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    let files = ["one.crt", "one.key"].map(|name| authority.file(name));
    let mut target = python("target.py");
    target.arg(free_address().port().to_string());
    let mut target = target.args(files).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(target.stdout.take().unwrap()).lines();
    let address = soon("the target's address", lines.next_line()).await;
    let address = address.unwrap().expect("an address").parse().unwrap();
    let edge = Edge::start(&over_tls(&trusting(&authority), &[address])).await;

    let client = python("client.py")
        .arg(format!("ws://{}/chat", edge.address))
        .output();
    let output = soon("the client's end", client).await.unwrap();

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the client said:\n{said}");
    let line = edge.log_line().await;
    assert_eq!(
        (&line["upgrade"], &line["closeCode"]),
        (&"websocket".into(), &1000.into())
    );
    assert!(
        line["requestBodyBytes"].as_u64().unwrap() > 10_000,
        "{line}"
    );
    assert!(line["framesOut"].as_u64().unwrap() > 6, "{line}");
}

#[tokio::test]
async fn a_tunnel_over_tls_is_handed_over_and_counted_as_it_is_without() {
    let authority = Authority::new();
    authority.issue("one", &[HOST]);
    let target = authority.serving("one").await;
    let edge = edge_before(&authority, "{}", &target).await;
    let (mut client, _) = edge.tunnel().await;
    client.say_hi().await;
    assert_eq!(relayed(&edge), 1);
    assert_eq!(edge.tunnels_active(target.address), 1.0);
    client.leave(1000).await;
    let close = soon("the target's Close", client.frame()).await;
    assert_eq!(close, Some((CLOSE, 1000u16.to_be_bytes().to_vec())));
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "client_closed");
    assert_eq!(line["closeCode"], 1000);
    assert_eq!(
        (&line["requestBodyBytes"], &line["responseBodyBytes"]),
        (&16.into(), &8.into())
    );
    assert_eq!(
        (&line["framesIn"], &line["framesOut"]),
        (&2.into(), &2.into())
    );
    assert!(line["targetConnectMs"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn every_byte_arrives_once_and_in_order_over_tls() {
    const LENGTH: usize = 3_000_000;
    let authority = Authority::new();
    let target = upgrading(&authority, async |mut connection: Answering| {
        let (sent, mut sizes) = (Noise::seeded(2).bytes(LENGTH), Noise::seeded(3));
        let heard = connection.swap(&sent, LENGTH, &mut sizes).await;
        assert!(
            heard == Noise::seeded(1).bytes(LENGTH),
            "the target heard something else"
        );
        connection.send("all of it").await;
        connection.to_end().await;
    })
    .await;
    let edge = edge_before(&authority, "{}", &target).await;
    let mut client = edge.connect().await;
    let sent = Noise::seeded(1).bytes(LENGTH);
    // The first bytes leave with the handshake.
    client
        .send([HANDSHAKE.as_bytes(), &sent[..1000]].concat())
        .await;
    client.head().await;
    let heard = client
        .swap(&sent[1000..], LENGTH, &mut Noise::seeded(4))
        .await;
    assert!(
        heard == Noise::seeded(2).bytes(LENGTH),
        "the client heard something else"
    );
    assert_eq!(client.exactly(9).await, b"all of it");
    drop(client);
    let line = edge.log_line().await;
    assert_eq!(line["requestBodyBytes"], LENGTH);
    assert_eq!(line["responseBodyBytes"], LENGTH + 9);
}

#[tokio::test]
async fn a_client_that_has_ended_still_gets_what_a_target_in_tls_sends() {
    let authority = Authority::new();
    let target = upgrading(&authority, async |mut connection: Answering| {
        let heard = connection.to_end().await;
        connection
            .send(format!("heard {} bytes", heard.len()))
            .await;
    })
    .await;
    let edge = edge_before(&authority, "{}", &target).await;
    let (mut client, _) = edge.tunnel().await;
    client.send("to the end").await;
    client.finish().await;
    assert_eq!(client.to_end().await, b"heard 10 bytes");
    assert_eq!(edge.log_line().await["closeReason"], "client_closed");
}

#[tokio::test]
async fn a_target_that_ends_with_or_without_a_close_notify_has_closed() {
    for says_so in [true, false] {
        let authority = Authority::new();
        let (heard, mut hears) = mpsc::unbounded_channel();
        let target = upgrading(&authority, move |mut connection: Answering| {
            let heard = heard.clone();
            async move {
                connection.send("bye").await;
                match says_so {
                    true => connection.stream.shutdown().await.unwrap(),
                    false => connection.stream.get_mut().0.shutdown().await.unwrap(),
                }
                let mut rest = Vec::new();
                let read = connection.stream.read_to_end(&mut rest).await;
                heard.send((read.is_ok(), rest)).unwrap();
            }
        })
        .await;
        let edge = edge_before(&authority, "{}", &target).await;
        let (mut client, _) = edge.tunnel().await;
        assert_eq!(client.to_end().await, b"bye");
        client.send("after your end").await;
        client.finish().await;
        // The end with a close_notify: rustls calls one without it an error.
        let heard = soon("what the target hears", hears.recv()).await.unwrap();
        assert_eq!(heard, (true, b"after your end".to_vec()), "{says_so}");
        let line = edge.log_line().await;
        assert_eq!(line["closeReason"], "target_closed", "{says_so}: {line}");
        assert!(line.get("error").is_none(), "{line}");
    }
}

#[tokio::test]
async fn an_idle_tunnel_over_tls_is_closed_on_both_sides_with_a_close_notify_to_the_target() {
    let authority = Authority::new();
    let (heard, mut hears) = mpsc::unbounded_channel();
    let target = upgrading(&authority, move |mut connection: Answering| {
        let heard = heard.clone();
        async move {
            let close = connection.frame().await;
            connection.send([0x88, 2, 0x03, 0xE9]).await;
            let end = connection.stream.read_to_end(&mut Vec::new()).await;
            heard.send((close, end.is_ok())).unwrap();
        }
    })
    .await;
    let edge = edge_before(&authority, "{idleTimeout: 200}", &target).await;
    let (mut client, _) = edge.tunnel().await;
    client.is_ended_with(GOING_AWAY).await;
    let close = Some((CLOSE, GOING_AWAY.to_be_bytes().to_vec()));
    let heard = soon("what the target hears", hears.recv()).await;
    assert_eq!(heard, Some((close, true)));
    let line = edge.log_line().await;
    assert_eq!(
        (&line["closeReason"], &line["closeCode"]),
        (&"idle_timeout".into(), &1001.into())
    );
}

#[tokio::test]
async fn a_target_that_is_broken_off_is_a_target_error() {
    let authority = Authority::new();
    let target = upgrading(&authority, async |mut connection: Answering| {
        connection.exactly(2).await;
        connection.stream.get_mut().0.set_zero_linger().unwrap();
    })
    .await;
    let edge = edge_before(&authority, "{}", &target).await;
    let (mut client, _) = edge.tunnel().await;
    client.send("hi").await;
    client.to_end().await;
    assert_eq!(edge.log_line().await["closeReason"], "target_error");
}
