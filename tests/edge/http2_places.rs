//! Tunnels and requests of HTTP/2 take places like connections, and plain ones leave half of them
//! to others.

use std::net::SocketAddr;

use tokio::task::JoinHandle;

use crate::harness::http2::{Http2, get, websocket};
use crate::harness::target::switching_protocols;
use crate::harness::{Config, Connection, Edge, Target, eventually};

/// A configuration with HTTP/2 and this key.
fn with(target: SocketAddr, key: &str) -> Config {
    Config::forwarding_to(&[target])
        .rule("h2c: true")
        .rule(key)
        .group("responseTimeout: 50s")
}

/// A target that opens tunnels, and answers plain requests never.
async fn silent() -> Target {
    Target::scripted(async |mut connection: Connection| {
        let head = connection.head().await;
        if head.contains("pgrade: websocket") {
            connection.send(switching_protocols(&head)).await;
            return connection.echo_messages().await;
        }
        connection.to_end().await;
    })
    .await
}

/// A request that waits for its answer, on a connection of its own or on one that there is.
async fn waiting(client: &mut Http2, target: &Target) -> JoinHandle<()> {
    let before = target.heads().len();
    let (answer, sender) = client.send(get("/slow"));
    let arrived = || (target.heads().len() > before).then_some(());
    eventually("the request is with the target", arrived).await;
    tokio::spawn(async move {
        answer.await.ok();
        drop(sender);
    })
}

#[tokio::test]
async fn tunnels_over_http_2_take_places_for_as_long_as_they_are_open() {
    let target = silent().await;
    for (key, reason, detail) in [
        ("maxConnections: 3", "max_connections", "to this address"),
        (
            "maxConnectionsPerClient: 3",
            "max_connections_per_client",
            "from this client",
        ),
    ] {
        let edge = Edge::start(&with(target.address, key)).await;
        let mut client = Http2::connect(edge.address).await;
        let mut tunnels = Vec::new();
        for _ in 0..3 {
            tunnels.push(client.tunnel("/chat").await);
        }
        let (_, beyond) = client.begin(websocket("/beyond")).await;
        assert_eq!(beyond.status(), 503);
        assert!(beyond.headers().contains_key("retry-after"));
        assert_eq!(edge.get("/beyond").await.status, 503);

        for line in edge.log_lines(2).await {
            assert_eq!(line["requestUri"], "/beyond");
            assert_eq!(line["error"], format!("too many connections {detail}"));
        }
        assert_eq!(edge.refusals(reason), 2.0);
        drop(tunnels.remove(0));
        edge.log_lines(3).await;
        let mut another = client.tunnel("/chat").await;
        another.say_hi().await;
    }
}

#[tokio::test]
async fn the_places_of_the_process_are_for_the_streams_of_all_connections() {
    let target = silent().await;
    let limited = with(target.address, "").server("maxConnections: 6");
    let edge = Edge::start(&limited).await;
    let (mut clients, mut tunnels, mut refused) = (Vec::new(), Vec::new(), 0);
    for _ in 0..3 {
        let mut client = Http2::connect(edge.address).await;
        for _ in 0..4 {
            let (stream, answer) = client.begin(websocket("/chat")).await;
            match answer.status().as_u16() {
                200 => tunnels.push(stream),
                status => assert_eq!(status, 503),
            }
            refused += usize::from(answer.status() == 503);
        }
        clients.push(client);
    }
    // The first connection had four, and the second one of its own and one more; for the third
    // there was no place.
    assert_eq!((tunnels.len(), refused), (6, 6));
    assert_eq!(edge.refusals("server_max_connections"), 6.0);
}

#[tokio::test]
async fn plain_streams_leave_half_of_the_places_to_connections_and_tunnels() {
    let target = silent().await;
    for key in ["maxConnections: 8", "maxConnectionsPerClient: 8"] {
        let edge = Edge::start(&with(target.address, key)).await;
        let mut client = Http2::connect(edge.address).await;
        let mut slow = Vec::new();
        // One has the connection's own place, and four are half of eight.
        for _ in 0..5 {
            slow.push(waiting(&mut client, &target).await);
        }
        let beyond = client.ask(get("/beyond"), "").await;
        assert_eq!(beyond.status(), 503, "{key}");
        assert!(beyond.head.headers().contains_key("retry-after"));

        let (mut beside, _) = edge.tunnel().await;
        let mut within = client.tunnel("/chat").await;
        beside.say_hi().await;
        within.say_hi().await;
        assert_eq!(edge.log_line().await["requestUri"], "/beyond");
        client.close().await;
        edge.log_lines(7).await;
        drop(slow);
    }
}

#[tokio::test]
async fn where_a_client_may_have_one_connection_it_has_one_stream_at_a_time() {
    let target = Target::named("target").await;
    let edge = Edge::start(&with(target.address, "maxConnectionsPerClient: 1")).await;
    let mut client = Http2::connect(edge.address).await;
    for _ in 0..3 {
        assert_eq!(client.ask(get("/"), "").await.text(), "target");
    }
    let mut tunnel = client.tunnel("/chat").await;
    assert_eq!(client.ask(get("/"), "").await.status(), 503);
    tunnel.say_hi().await;
}
