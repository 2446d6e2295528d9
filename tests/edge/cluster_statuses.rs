//! Statuses in a cluster: others' entries stay, and nothing is written that is there.

use serde_json::{Value, json};

use crate::harness::api_server::{CONTROLLER, route};
use crate::harness::{ApiServer, Target, eventually};

fn foreign(name: &str) -> Value {
    json!({
        "controllerName": "example.com/other", "parentRef": {"name": name},
        "conditions": [{
            "type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
            "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    })
}

/// The entries of ours and of others.
fn parents(route: &Value) -> (usize, usize) {
    let all = route["status"]["parents"].as_array();
    let all: Vec<_> = all.into_iter().flatten().collect();
    let ours = all
        .iter()
        .filter(|one| one["controllerName"] == CONTROLLER)
        .count();
    (ours, all.len() - ours)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_meets_a_change_of_another_keeps_what_that_wrote() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.meddle("httproutes", |route| {
        route["status"] = json!({"parents": [foreign("a")]});
    });
    server.meddle("httproutes", |route| {
        let parents = route["status"]["parents"].as_array_mut().unwrap();
        parents.push(foreign("b"));
    });
    server.serve("chat", target.address);
    let _edge = server.node("one").await;
    let written = |ours| {
        let server = &server;
        eventually("the entries of all", move || {
            let route = server.get("httproutes", "apps", "chat");
            (parents(&route) == (ours, 2)).then_some(())
        })
    };
    written(1).await;
    // A reference that goes elsewhere takes our entry along, and no other.
    server.edit("httproutes", "chat", |route| {
        route["spec"]["parentRefs"] = json!([{"name": "nowhere"}]);
    });
    written(0).await;
}

/// So a leader that hung between its look at the lease and its write does no harm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_status_is_written_in_place_of_what_was_not_seen() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    for plural in ["gatewayclasses", "gateways"] {
        server.meddle(plural, |object| {
            object["metadata"]["annotations"] = json!({"of": "another"});
        });
    }
    server.serve("chat", target.address);
    let edge = server.node("one").await;
    server.tells("gateways", "edge", "Programmed", "True").await;
    server.is_quiet().await;
    for plural in ["gatewayclasses", "gateways"] {
        let writes = server.requests(|one| one.is_status_write() && one.plural == plural);
        let versions: Vec<_> = writes
            .iter()
            .map(|one| &one.body["metadata"]["resourceVersion"])
            .collect();
        assert!(versions.iter().all(|one| one.is_string()), "{versions:?}");
        // The first one was refused, and the next one is for what was read then.
        assert!(versions.len() > 1, "{versions:?}");
        assert_ne!(versions[0], versions[1]);
    }
    assert!(!edge.diagnostics().contains("status of"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_while_nothing_changes() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.serve("chat", target.address);
    let edge = server.node("one").await;
    server.tells("httproutes", "chat", "Accepted", "True").await;
    server.tells("gateways", "edge", "Programmed", "True").await;
    server.is_quiet().await;
    let (writes, gateway) = (
        server.status_writes(),
        server.get("gateways", "apps", "edge"),
    );
    // Others write what is theirs, and all is listed anew.
    server.edit("httproutes", "chat", |route| {
        let parents = route["status"]["parents"].as_array_mut().unwrap();
        parents.insert(0, foreign("a"));
    });
    server.forget();
    server.is_quiet().await;
    assert_eq!(server.status_writes(), writes);
    assert_eq!(server.get("gateways", "apps", "edge"), gateway);
    // A change that changes no condition moves no time.
    let time = |server: &ApiServer| {
        let route = server.get("httproutes", "apps", "chat");
        let parents = route["status"]["parents"].as_array().unwrap().clone();
        let ours = parents
            .iter()
            .find(|one| one["controllerName"] == CONTROLLER);
        ours.unwrap()["conditions"][0].clone()
    };
    let before = time(&server);
    server.put("httproutes", {
        let mut changed = server.get("httproutes", "apps", "chat");
        changed["spec"] = route("chat", "/else", "chat")["spec"].clone();
        changed
    });
    eventually("the generation is told", || {
        (time(&server)["observedGeneration"] == 2).then_some(())
    })
    .await;
    assert_eq!(
        time(&server)["lastTransitionTime"],
        before["lastTransitionTime"]
    );
    drop(edge);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_that_is_refused_is_told_once_and_written_once_it_may_be() {
    for status in [403, 500, 429] {
        let (server, target) = (ApiServer::start().await, Target::named("chat").await);
        server.refuse("PATCH", "httproutes", status);
        server.serve("chat", target.address);
        let edge = server.node("one").await;
        let said = "status of HTTPRoute apps/chat";
        edge.says(said).await;
        let tries = || server.requests(|one| one.is_status_write() && one.plural == "httproutes");
        eventually("it is tried again", || (tries().len() >= 2).then_some(())).await;
        assert_eq!(edge.diagnostics().matches(said).count(), 1);
        server.allow_all();
        server.tells("httproutes", "chat", "Accepted", "True").await;
    }
}
