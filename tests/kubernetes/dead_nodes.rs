//! A Gateway is programmed when all nodes that live serve it.

use crate::harness::{Space, condition, free_address};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_serve_is_waited_for_as_long_as_it_lives() {
    let space = Space::shared().await;
    // Two at one address of one machine: only the first can listen there.
    let first = space.node_at("one", "127.0.0.1").await;
    let port = free_address().port();
    space.apply(&space.gateway("edge", port)).await;
    space
        .tells("Gateway", "edge", ["Programmed", "True", "Programmed"])
        .await;
    first.is_ready().await;
    let second = space.node_at("two", "127.0.0.1").await;
    let waits = |edge: &serde_json::Value| {
        let programmed = condition(edge, "Programmed");
        let message = programmed["message"].as_str().unwrap();
        programmed["status"] == "False" && message.contains("two")
    };
    space.waits_for("Gateway", "edge", waits).await;
    second.kill();
    space
        .tells("Gateway", "edge", ["Programmed", "True", "Programmed"])
        .await;
}
