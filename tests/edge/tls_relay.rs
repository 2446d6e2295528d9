//! What a tunnel in TLS keeps of its promises, and plain requests too: every byte, in both
//! directions. The clients are rustls, curl and Python.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::process::Command;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::harness::client::HANDSHAKE;
use crate::harness::python;
use crate::harness::target::any_size;
use crate::harness::tls::{HOST, s_client, start};
use crate::harness::{Authority, Connection, Edge, Noise, Target, eventually, soon};

/// The certificate, of these, that OpenSSL is shown.
pub async fn shown<'a>(
    edge: &Edge,
    authority: &Authority,
    names: &[&'a str],
    arguments: &[&str],
) -> Option<&'a str> {
    authority.name_of(&s_client(edge.address, arguments).await, names)
}

#[tokio::test]
async fn curl_is_answered_and_the_target_and_the_log_hear_of_tls() {
    let (authority, target) = (Authority::new(), Target::showing().await);
    let edge = start(&authority, "", &target).await;
    let (port, ca) = (edge.address.port(), authority.file("ca.crt"));
    for (place, (version, protocol, cipher)) in [
        ("1.3", "TLSv1.3", "TLS_AES_256_GCM_SHA384"),
        ("1.2", "TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "-i",
            "--http1.1",
            "--noproxy",
            "*",
            "--tls-max",
            version,
        ]);
        curl.arg("--cacert").arg(&ca);
        curl.args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")]);
        curl.arg(format!("https://{HOST}:{port}/path"));
        let output = soon("curl's end", curl.kill_on_drop(true).output()).await;
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "curl said:\n{said}");
        let answer = String::from_utf8_lossy(&output.stdout).to_lowercase();
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(
            answer.contains("\r\nx-forwarded-proto: https\r\n"),
            "{answer}"
        );
        let line = edge.log_lines(place + 1).await.remove(place);
        assert_eq!(line["tlsProtocol"], protocol);
        assert_eq!(line["tlsCipher"], cipher);
        assert_eq!(line["serverName"], HOST);
        assert_eq!(line["requestUri"], "/path");
        assert_eq!(line["closeReason"], "completed");
    }
}

#[tokio::test]
async fn a_plain_connection_has_no_word_of_tls() {
    let target = Target::showing().await;
    let edge = Edge::forwarding_to(&[target.address]).await;
    let answer = edge.get("/").await;
    assert!(
        answer
            .text()
            .to_lowercase()
            .contains("\r\nx-forwarded-proto: http\r\n")
    );
    let line = edge.log_line().await;
    for field in ["tlsProtocol", "tlsCipher", "serverName"] {
        assert!(line.get(field).is_none(), "{field}");
    }
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_one_after_the_other() {
    let (authority, target) = (Authority::new(), Target::showing().await);
    let edge = start(&authority, "", &target).await;
    let mut client = authority.connect(edge.address, HOST).await;
    let body = "x".repeat(100_000);
    for _ in 0..3 {
        let length = body.len();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        client.send(head + &body).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200);
        assert!(answer.text().ends_with(&body));
    }
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 200);
    // With a close_notify: rustls calls an end without one an error.
    assert_eq!(client.to_end().await, b"");
}

#[tokio::test]
async fn messages_of_up_to_16_megabytes_come_back_unchanged() {
    let (authority, target) = (Authority::new(), Target::echo().await);
    let edge = start(&authority, "", &target).await;
    let (stream, _) = authority.connect(edge.address, HOST).await.into_parts();
    let url = format!("wss://{HOST}/");
    let opened = client_async_with_config(url, stream, Some(any_size())).await;
    let (mut client, _) = opened.expect("the handshake succeeds");
    let mut noise = Noise::seeded(1);
    for message in [
        Message::text(""),
        Message::text("grüße 🚇"),
        Message::binary(Bytes::new()),
        Message::binary(noise.bytes(16_384)),
        Message::binary(noise.bytes(70_000)),
        Message::binary(noise.bytes(16 << 20)),
    ] {
        let sent = soon("sending", client.send(message.clone())).await;
        sent.unwrap();
        let received = soon("the echo", client.next()).await;
        assert!(received.unwrap().unwrap() == message, "{}", message.len());
    }
    client.close(None).await.unwrap();
    while client.next().await.is_some_and(|message| message.is_ok()) {}
    let line = edge.log_line().await;
    assert_eq!(line["upgrade"], "websocket");
    assert_eq!(line["closeReason"], "client_closed");
    assert_eq!(line["tlsProtocol"], "TLSv1.3");
    let bytes = line["responseBodyBytes"].as_u64().unwrap();
    assert!(bytes > 16 << 20 && bytes < 17 << 20, "{bytes}");
}

#[tokio::test]
async fn every_byte_passes_in_both_directions_at_once() {
    let (authority, target) = (Authority::new(), Target::mirror().await);
    let edge = start(&authority, "", &target).await;
    let mut client = authority.tunnel(edge.address, HOST).await;
    let mut noise = Noise::seeded(2);
    let bytes = noise.bytes(8 << 20);
    let echo = client.swap(&bytes, bytes.len(), &mut noise).await;
    assert!(echo == bytes);
}

#[tokio::test]
async fn bytes_in_the_packet_of_the_handshake_are_the_tunnels_first() {
    let (authority, target) = (Authority::new(), Target::named("target").await);
    let edge = start(&authority, "", &target).await;
    let mut client = authority.connect(edge.address, HOST).await;
    let frame = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    client.send([HANDSHAKE.as_bytes(), &frame].concat()).await;
    client.head().await;
    assert_eq!(client.frame().await, Some((1, b"hi".to_vec())));
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_little_and_gets_every_byte_later() {
    const SIZE: usize = 32 << 20;
    let target = Target::upgrading(async |mut connection: Connection| {
        let bytes = Noise::seeded(3).bytes(SIZE);
        connection.send(bytes).await;
        connection.finish().await;
        connection.to_end().await;
    })
    .await;
    let authority = Authority::new();
    let edge = start(&authority, "", &target).await;
    let mut client = authority.tunnel(edge.address, HOST).await;
    let before = edge.resident_memory();
    let is_full = {
        let mut before = 0.0;
        let edge = &edge;
        move || {
            let now = edge.resident_memory() as f64;
            let is_steady = now == before;
            before = now;
            is_steady.then_some(())
        }
    };
    eventually("nothing moves", is_full).await;
    let grown = edge.resident_memory().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes");
    let bytes = client.exactly(SIZE).await;
    assert!(bytes == Noise::seeded(3).bytes(SIZE));
    assert_eq!(client.to_end().await, b"");
}

#[tokio::test]
async fn pythons_websockets_talk_through_tls() {
    let (authority, target) = (Authority::new(), Target::echo().await);
    let edge = start(&authority, "", &target).await;
    let client = python("client.py")
        .arg(format!("wss://{}/chat", edge.address))
        .arg(authority.file("ca.crt"))
        .arg(HOST)
        .output();
    let output = soon("the client's end", client).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the client said:\n{said}");
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "client_closed");
    assert_eq!(line["serverName"], HOST);
}
