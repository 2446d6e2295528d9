//! Statuses are lists that other controllers write, too: their entries stay as they are.

use serde_json::{Value, json};

use crate::harness::space::redirect;
use crate::harness::{Space, free_address};

/// Another controller's entry, of which this is said.
fn entry(gateway: &str, message: &str) -> Value {
    json!({
        "controllerName": "example.com/other",
        "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway},
        "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    })
}

/// Writes another controller's entry, beside those of others.
async fn write(space: &Space, route: &str, message: &str) {
    space
        .put_status("HTTPRoute", route, |status| {
            let parents = status["parents"].as_array_mut();
            let mut parents = parents.cloned().unwrap_or_default();
            parents.retain(|one| one["controllerName"] != "example.com/other");
            parents.push(entry("theirs", message));
            *status = json!({"parents": parents});
        })
        .await;
}

fn ours<'a>(space: &Space, route: &'a Value) -> Option<&'a Value> {
    let parents = route["status"]["parents"].as_array()?;
    parents
        .iter()
        .find(|one| one["controllerName"] == space.controller())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_another_controller_stay_beside_ours() {
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
    write(&space, "r", "first").await;
    let _node = space.node().await;
    let route = space
        .waits_for("HTTPRoute", "r", |route| ours(&space, route).is_some())
        .await;
    assert!(
        route["status"]["parents"]
            .as_array()
            .unwrap()
            .contains(&entry("theirs", "first"))
    );
    let elsewhere = json!({"spec": {"parentRefs": [{"name": "theirs"}]}});
    space.patch("HTTPRoute", "r", elsewhere).await;
    let route = space
        .waits_for("HTTPRoute", "r", |route| ours(&space, route).is_none())
        .await;
    assert_eq!(
        route["status"]["parents"],
        json!([entry("theirs", "first")])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_writes_all_the_time_keeps_what_it_wrote_and_so_do_we() {
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
    for round in 1..=25_u32 {
        write(&space, "r", &round.to_string()).await;
        let hosts = json!({"spec": {"hostnames": [format!("host-{round}.example")]}});
        space.patch("HTTPRoute", "r", hosts).await;
        write(&space, "r", &format!("{round} again")).await;
    }
    let route = space.waits_for("HTTPRoute", "r", |route| {
        let ours = ours(&space, route).map(|ours| &ours["conditions"][0]["observedGeneration"]);
        ours == Some(&route["metadata"]["generation"])
    });
    let parents = route.await["status"]["parents"].clone();
    assert!(
        parents
            .as_array()
            .unwrap()
            .contains(&entry("theirs", "25 again")),
        "{parents}"
    );
}
