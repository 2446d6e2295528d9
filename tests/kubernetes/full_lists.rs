//! A status that has no room for an entry of ours is left as it is, until there is.

use serde_json::{Value, json};

use crate::harness::space::{redirect, route, service, tls_policy};
use crate::harness::{Space, free_address};

/// So many entries of another controller.
fn entries(count: usize, reference: &str) -> Vec<Value> {
    let entry = |number| {
        json!({
            "controllerName": "example.com/other",
            reference: {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": format!("theirs-{number}")},
            "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        })
    };
    (0..count).map(entry).collect()
}

/// Whether a list of a status has an entry of ours.
fn has_ours(space: &Space, object: &Value, list: &str) -> bool {
    let mut entries = object["status"][list].as_array().into_iter().flatten();
    entries.any(|one| one["controllerName"] == space.controller())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_others_have_filled_stay_whole_and_get_our_entry_once_there_is_room() {
    let space = Space::shared().await;
    let port = free_address().port();
    let objects = [
        space.gateway("edge", port),
        redirect("full", "edge", "b.example"),
        service("chat", &[]),
        tls_policy("full", "chat"),
        route("r", "edge", "chat"),
    ];
    space.apply(&objects.concat()).await;
    let lists = [
        ("HTTPRoute", "parents", "parentRef", 32),
        ("BackendTLSPolicy", "ancestors", "ancestorRef", 16),
    ];
    for (kind, list, reference, most) in lists {
        let full = json!({list: entries(most, reference)});
        space
            .put_status(kind, "full", |status| *status = full.clone())
            .await;
    }
    let _node = space.node().await;
    // What is told of others is not in the way.
    space
        .tells("HTTPRoute", "r", ["Accepted", "True", "Accepted"])
        .await;
    space
        .tells("Gateway", "edge", ["Programmed", "True", "Programmed"])
        .await;
    for (kind, list, reference, most) in lists {
        let object = space.get(kind, "full").await;
        assert_eq!(object["status"][list], json!(entries(most, reference)));
        let fewer = json!({list: entries(most - 1, reference)});
        space
            .put_status(kind, "full", |status| *status = fewer.clone())
            .await;
        space
            .waits_for(kind, "full", |object| has_ours(&space, object, list))
            .await;
    }
}
