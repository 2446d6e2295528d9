//! Nodes at addresses of their own serve one Gateway on one port, and its status has all of them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::harness::edge::get_now;
use crate::harness::{ApiServer, Edge, Target, eventually};

const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Waits until the status of the Gateway has these addresses.
async fn has(server: &ApiServer, addresses: &[&str]) {
    eventually(&format!("{addresses:?}"), || {
        let edge = server.get("gateways", "apps", "edge");
        let all = edge["status"]["addresses"].as_array()?;
        let all: Vec<_> = all.iter().filter_map(|one| one["value"].as_str()).collect();
        (all == addresses).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_all_serve_have_a_gateway_programmed_at_all_their_addresses() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.serve("chat", target.address);
    let _one = server.node("one").await;
    server.tells("gateways", "edge", "Programmed", "True").await;
    has(&server, &["127.0.0.1"]).await;
    let other = Edge::start(&server.config_at("other", OTHER, "")).await;
    has(&server, &["127.0.0.1", "127.0.0.2"]).await;
    server.tells("gateways", "edge", "Programmed", "True").await;
    server.answers("/chat", "chat").await;
    let at_other = SocketAddr::new(OTHER, server.gateway.port());
    eventually("the other serves", || {
        get_now(at_other, "/chat")?.ends_with("chat").then_some(())
    })
    .await;
    // One that has ended in order is waited for no longer.
    other.terminate().await;
    has(&server, &["127.0.0.1"]).await;
    server.tells("gateways", "edge", "Programmed", "True").await;
}
