//! Requests and WebSockets to endpoints that a cluster names. Each test is in a network of its own,
//! with its own server: endpoints may not be at addresses of the loopback.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::node::get;
use crate::harness::space::{route, service, slice};
use crate::harness::{Server, Setup, Space, eventually, free_address, inside, soon, target};

/// A space in the network that the test is in.
async fn space() -> Space {
    let server = Arc::new(Server::start(Setup::Ready).await);
    Space::on(&server).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_with_the_host_of_a_route_goes_through_to_an_endpoint() {
    if !inside("traffic::a_websocket_with_the_host_of_a_route_goes_through_to_an_endpoint") {
        return;
    }
    let (space, address) = (space().await, free_address());
    let endpoint = target::echoing("10.99.0.1").await;
    let route =
        route("chat", "edge", "chat").replace("spec: {", "spec: {hostnames: [contoso.com], ");
    space
        .apply(
            &[
                space.gateway("edge", address.port()),
                route,
                service("chat", &[endpoint]),
            ]
            .concat(),
        )
        .await;
    let _node = space.node().await;
    space
        .tells(
            "HTTPRoute",
            "chat",
            ["ResolvedRefs", "True", "ResolvedRefs"],
        )
        .await;
    space
        .tells("Gateway", "edge", ["Programmed", "True", "Programmed"])
        .await;
    let mut socket = target::websocket(address, "contoso.com", "/chat").await;
    socket.send(Message::text("hi")).await.unwrap();
    let answer = soon("an echo", socket.next()).await.unwrap().unwrap();
    assert_eq!(answer.into_text().unwrap(), "hi");
    let other = get(address, "other.example", "/chat").await.unwrap();
    assert!(other.starts_with("HTTP/1.1 404 "), "{other}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_ends_is_used_only_where_nothing_else_is_left() {
    if !inside("traffic::an_endpoint_that_ends_is_used_only_where_nothing_else_is_left") {
        return;
    }
    let (space, address) = (space().await, free_address());
    let old = target::named("old", "10.99.0.1").await;
    let new = target::named("new", "10.99.0.2").await;
    space
        .apply(
            &[
                space.gateway("edge", address.port()),
                route("r", "edge", "s"),
                service("s", &[old]),
            ]
            .concat(),
        )
        .await;
    let _node = space.node().await;
    let answered_by = async |name: &str| {
        let is_it = async || get(address, "a", "/").await?.ends_with(name).then_some(());
        eventually(&format!("an answer of {name}"), is_it).await;
    };
    answered_by("old").await;
    let ends = "ready: false, serving: true, terminating: true";
    space.apply(&slice("s", &[old], ends)).await;
    // It is the only one: all requests are its own.
    for _ in 0..20 {
        answered_by("old").await;
    }
    let beside = slice("s", &[new], "ready: true").replace("name: s,", "name: s-new,");
    space.apply(&beside).await;
    answered_by("new").await;
    for _ in 0..20 {
        let answer = get(address, "a", "/").await.unwrap();
        assert!(answer.ends_with("new"), "{answer}");
    }
}
