//! While memory is short no connection to a target waits for a request.

use std::sync::Arc;

use h2::server::handshake;
use http::Response;
use tokio::sync::Notify;

use crate::harness::target::ok;
use crate::harness::{Config, Connection, Edge, Target, soon};

/// Asks twice on one connection, which outlives a reload; then memory runs short, and the
/// connection is closed.
async fn is_let_go_when_memory_is_short(target: &Target, keys: &str, closed: &Notify) {
    let plenty = Config::forwarding_to(&[target.address]).group(keys);
    let edge = Edge::start(&plenty).await;
    assert_eq!(edge.get("/").await.status, 200);
    edge.reload(&plenty).await;
    assert_eq!(edge.get("/").await.status, 200);
    assert_eq!(target.connections(), 1);
    let short = plenty.server("memory: {limit: 1MiB}");
    edge.reload(&short).await;
    edge.metric_becomes("memory_level", 3.0).await;
    soon("the connection is closed", closed.notified()).await;
}

#[tokio::test]
async fn a_kept_connection_to_a_target_is_let_go() {
    let closed = Arc::<Notify>::default();
    let noting = Arc::clone(&closed);
    let target = Target::scripted(move |mut connection: Connection| {
        let noting = Arc::clone(&noting);
        async move {
            while connection.has_more().await {
                connection.head().await;
                connection.send(ok("hello")).await;
            }
            noting.notify_one();
        }
    })
    .await;
    is_let_go_when_memory_is_short(&target, "", &closed).await;
}

#[tokio::test]
async fn so_is_one_of_http_2_with_nothing_to_carry() {
    let closed = Arc::<Notify>::default();
    let noting = Arc::clone(&closed);
    let target = Target::scripted(move |connection: Connection| {
        let noting = Arc::clone(&noting);
        async move {
            let mut requests = handshake(connection.stream).await.unwrap();
            while let Some(Ok((_, mut answer))) = requests.accept().await {
                answer.send_response(Response::new(()), true).unwrap();
            }
            noting.notify_one();
        }
    })
    .await;
    let keys = "protocolVersion: HTTP2";
    is_let_go_when_memory_is_short(&target, keys, &closed).await;
}
