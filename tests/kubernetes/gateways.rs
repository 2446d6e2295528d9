//! What is told of a Gateway.

use serde_json::json;

use crate::harness::space::{redirect, route};
use crate::harness::{Space, free_address};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_programmed_for_its_generation_with_its_address_and_listeners() {
    let space = Space::shared().await;
    let port = free_address().port();
    let objects = [
        space.gateway("edge", port),
        route("r", "edge", "nowhere"),
        redirect("s", "edge", "b.example"),
    ];
    space.apply(&objects.concat()).await;
    let _node = space.node().await;
    let programmed = ["Programmed", "True", "Programmed"];
    space.tells("Gateway", "edge", programmed).await;
    // A route that leads nowhere is attached, too.
    let edge = space.waits_for("Gateway", "edge", |edge| {
        edge["status"]["listeners"][0]["attachedRoutes"] == 2
    });
    let edge = edge.await;
    let address = json!([{"type": "IPAddress", "value": "127.0.0.1"}]);
    assert_eq!(edge["status"]["addresses"], address);
    let kinds = json!([{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}]);
    assert_eq!(edge["status"]["listeners"][0]["supportedKinds"], kinds);
    // A change has its generation told everywhere.
    let change = json!({"spec": {"listeners": [{"name": "http", "protocol": "HTTP", "port": free_address().port()}]}});
    space.patch("Gateway", "edge", change).await;
    space.tells("Gateway", "edge", programmed).await;
    space
        .waits_for("Gateway", "edge", |edge| {
            let listeners = edge["status"]["listeners"][0]["conditions"]
                .as_array()
                .unwrap();
            listeners.iter().all(|one| one["observedGeneration"] == 2)
        })
        .await;
}
