//! Connections to targets leave from the addresses that a group names.

use std::collections::BTreeSet;

use crate::harness::client::HANDSHAKE;
use crate::harness::target::{ok, refusing, switching_protocols};
use crate::harness::{Config, Connection, Edge, Target};

/// A target that answers each request with the address that it came from.
async fn mirror_of_sources() -> Target {
    Target::scripted(async |mut connection: Connection| {
        let source = connection.stream.peer_addr().unwrap().ip();
        while connection.has_more().await {
            let head = connection.head().await;
            if head.contains("websocket") {
                connection.send(switching_protocols(&head)).await;
                connection.send(source.to_string()).await;
                return connection.echo().await;
            }
            connection.send(ok(&source.to_string())).await;
        }
    })
    .await
}

async fn start(target: &Target, keys: &str) -> Edge {
    Edge::start(&Config::forwarding_to(&[target.address]).group(keys)).await
}

const SOURCES: &str = "sourceAddresses: [127.0.0.102, 127.0.0.103]";

#[tokio::test]
async fn tunnels_leave_from_the_addresses_in_turn() {
    let target = mirror_of_sources().await;
    let edge = start(&target, SOURCES).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let mut client = edge.connect().await;
        client.send(HANDSHAKE).await;
        client.head().await;
        seen.push(String::from_utf8(client.exactly("127.0.0.102".len()).await).unwrap());
    }
    assert_eq!(
        seen,
        ["127.0.0.102", "127.0.0.103", "127.0.0.102", "127.0.0.103"]
    );
}

#[tokio::test]
async fn plain_requests_leave_from_them_and_their_connections_are_kept() {
    let target = mirror_of_sources().await;
    let edge = start(&target, SOURCES).await;
    let (mut first, mut second) = (edge.connect().await, edge.connect().await);
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        for client in [&mut first, &mut second] {
            client.send(get).await;
            seen.insert(client.answer().await.text().to_owned());
        }
    }
    assert!(
        seen.iter()
            .all(|ip| ["127.0.0.102", "127.0.0.103"].contains(&&**ip)),
        "{seen:?}"
    );
    // The first may not be back in the pool yet when the second client asks.
    assert!(target.connections() <= 2, "{}", target.connections());
    let metric = "source_ports_exhausted_total{target_group=\"group\"}";
    assert!(
        edge.admin_page("/metrics")
            .contains(&format!("culvert_{metric} 0"))
    );
}

#[tokio::test]
async fn with_a_proxy_protocol_and_without_addresses_of_the_family_connections_are_made_too() {
    let target = Target::scripted(async |mut connection: Connection| {
        let line = connection.exactly(6).await;
        let source = connection.stream.peer_addr().unwrap().ip();
        connection.head().await;
        let line = String::from_utf8(line).unwrap();
        connection.send(ok(&format!("{line}{source}"))).await;
    })
    .await;
    for (sources, expected) in [
        ("127.0.0.102", "PROXY 127.0.0.102"),
        ("\"::1\"", "PROXY 127.0.0.1"),
    ] {
        let configuration = Config::forwarding_to(&[target.address])
            .each_target("proxyProtocol: v1")
            .group(&format!("sourceAddresses: [{sources}]"));
        let edge = Edge::start(&configuration).await;
        assert_eq!(edge.get("/").await.text(), expected);
    }
}

#[tokio::test]
async fn a_target_that_refuses_is_a_503_from_there_as_well() {
    let target = mirror_of_sources().await;
    let configuration = Config::forwarding_to(&[refusing()])
        .group(SOURCES)
        .group("healthCheck: {unhealthyThreshold: 100}");
    let edge = Edge::start(&configuration).await;
    assert_eq!(edge.get("/").await.status, 503);
    let mut client = edge.connect().await;
    client.send(HANDSHAKE).await;
    assert_eq!(client.answer().await.status, 503);
    drop(target);
}
