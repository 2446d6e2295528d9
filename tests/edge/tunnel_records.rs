//! Tunnels in TLS pass every byte, whatever speaks TLS in them, and while both peers change their keys.

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::harness::target::switching_protocols;
use crate::harness::tls::{Answering, HOST, TARGET_HOST, forwarding, trusting};
use crate::harness::{Authority, Edge, Noise, Target};

const ROUNDS: u64 = 8;
const SIZE: usize = 100_000;

/// A target in TLS that sends back what comes, each time under other keys.
async fn updating(authority: &Authority) -> Target {
    authority.issue("target", &[TARGET_HOST]);
    let script = async |mut connection: Answering| {
        let head = connection.head().await;
        connection.send(switching_protocols(&head)).await;
        for _ in 0..ROUNDS {
            let bytes = connection.exactly(SIZE).await;
            let (_, state) = connection.stream.get_mut();
            state.refresh_traffic_keys().unwrap();
            connection.send(bytes).await;
        }
        connection.to_end().await;
    };
    authority.target("target", script).await
}

async fn every_byte_passes(records: &str, version: &'static SupportedProtocolVersion) {
    let authority = Authority::new();
    let target = updating(&authority).await;
    authority.issue("one", &[HOST]);
    let config = forwarding(&authority, &["one"], "", target.address)
        .group("protocol: HTTPS")
        .group(&trusting(&authority))
        .server(&format!("tunnelRecords: {records}"));
    let edge = Edge::start(&config).await;
    let mut client = authority.tunnel_in(version, edge.address, HOST).await;
    for round in 0..ROUNDS {
        let bytes = Noise::seeded(round).bytes(SIZE);
        client.send(&bytes[..SIZE / 2]).await;
        // TLS 1.2 has no other keys.
        client.stream.get_mut().1.refresh_traffic_keys().ok();
        client.send(&bytes[SIZE / 2..]).await;
        assert!(client.exactly(SIZE).await == bytes, "round {round}");
    }
    client.finish().await;
    let line = edge.log_line().await;
    assert_eq!(line["closeReason"], "client_closed");
    let sum = ROUNDS as usize * SIZE;
    assert_eq!(
        (&line["requestBodyBytes"], &line["responseBodyBytes"]),
        (&sum.into(), &sum.into())
    );
    assert!(line.get("error").is_none(), "{line}");
}

#[tokio::test]
async fn every_byte_passes_in_tls_1_3_by_our_own_records() {
    every_byte_passes("own", &TLS13).await;
}

#[tokio::test]
async fn every_byte_passes_in_tls_1_2_by_our_own_records() {
    every_byte_passes("own", &TLS12).await;
}

#[tokio::test]
async fn every_byte_passes_in_tls_1_3_by_rustls() {
    every_byte_passes("rustls", &TLS13).await;
}

#[tokio::test]
async fn every_byte_passes_in_tls_1_2_by_rustls() {
    every_byte_passes("rustls", &TLS12).await;
}
