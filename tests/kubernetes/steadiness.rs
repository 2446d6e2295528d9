//! Nothing is written that is there already, and times stay while nothing changes.

use serde_json::{Value, json};

use crate::harness::space::{redirect, route};
use crate::harness::{Space, condition, free_address};

/// The versions of these objects of a space.
async fn versions(space: &Space) -> Vec<Value> {
    let mut versions = Vec::new();
    for (kind, name) in [
        ("GatewayClass", &*space.name),
        ("Gateway", "edge"),
        ("HTTPRoute", "r"),
    ] {
        let object = space.get(kind, name).await;
        versions.push(object["metadata"]["resourceVersion"].clone());
    }
    versions
}

/// Has another Gateway told of, with what was to be written before it.
async fn another(space: &Space, name: &str) {
    space
        .apply(&space.gateway(name, free_address().port()))
        .await;
    space
        .tells("Gateway", name, ["Programmed", "True", "Programmed"])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_been_told_is_not_written_again() {
    let space = Space::shared().await;
    let port = free_address().port();
    space
        .apply(&[space.gateway("edge", port), route("r", "edge", "nowhere")].concat())
        .await;
    let node = space.node().await;
    let attached = |edge: &Value| edge["status"]["listeners"][0]["attachedRoutes"] == 1;
    space.waits_for("Gateway", "edge", attached).await;
    space
        .tells(
            "HTTPRoute",
            "r",
            ["ResolvedRefs", "False", "BackendNotFound"],
        )
        .await;
    another(&space, "second").await;
    let before = versions(&space).await;
    another(&space, "third").await;
    assert_eq!(versions(&space).await, before);
    // Nor by a node that begins anew.
    node.kill();
    let _other = space.node_at("two", "127.0.0.1").await;
    another(&space, "fourth").await;
    assert_eq!(versions(&space).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_keeps_its_time_until_its_status_changes() {
    let space = Space::shared().await;
    let port = free_address().port();
    space
        .apply(
            &[
                space.gateway("edge", port),
                redirect("r", "edge", "b.example"),
            ]
            .concat(),
        )
        .await;
    let _node = space.node().await;
    let accepted = ["Accepted", "True", "Accepted"];
    // Old enough that another time would be seen.
    space.tells("HTTPRoute", "r", accepted).await;
    let old = "2026-01-01T00:00:00Z";
    space
        .put_status("HTTPRoute", "r", |status| {
            let conditions = status["parents"][0]["conditions"].as_array_mut().unwrap();
            conditions
                .iter_mut()
                .for_each(|one| one["lastTransitionTime"] = old.into());
        })
        .await;
    let hostnames = json!({"spec": {"hostnames": ["a.example"]}});
    space.patch("HTTPRoute", "r", hostnames).await;
    let told = space.tells("HTTPRoute", "r", accepted).await;
    assert_eq!(condition(&told, "Accepted")["lastTransitionTime"], old);
    let nowhere = json!({"spec": {"rules": [{"backendRefs": [{"name": "nowhere", "port": 80}]}]}});
    space.patch("HTTPRoute", "r", nowhere).await;
    let lost = ["ResolvedRefs", "False", "BackendNotFound"];
    let told = space.tells("HTTPRoute", "r", lost).await;
    assert_eq!(condition(&told, "Accepted")["lastTransitionTime"], old);
    assert_ne!(condition(&told, "ResolvedRefs")["lastTransitionTime"], old);
}
