//! A leader that hangs: another takes over, and the old one writes nothing any more.

use crate::harness::api_server::{Request, route};
use crate::harness::{ApiServer, Edge, Target, eventually};

/// The status writes of a node so far.
fn writes(server: &ApiServer, node: &str) -> usize {
    let are_its = |one: &Request| one.is_status_write() && one.node == node;
    server.requests(are_its).len()
}

async fn leads(edge: &Edge, does: bool) {
    let is_it = || ((edge.metric("gateway_leader") == 1.0) == does).then_some(());
    eventually("whether it leads", is_it).await;
}

/// The second of two nodes leads, after the first one has hung.
async fn taken_over(server: &ApiServer, hang: impl AsyncFn(&Edge)) -> [Edge; 2] {
    let one = server.node("one").await;
    leads(&one, true).await;
    server.tells("httproutes", "chat", "Accepted", "True").await;
    let other = Edge::start(&server.config_at("other", [127, 0, 0, 2].into(), "")).await;
    assert_eq!(writes(server, "other"), 0);
    hang(&one).await;
    leads(&other, true).await;
    assert_eq!(server.leader(), "other");
    [one, other]
}

/// Changes what both nodes would tell something of, and waits until that is told.
async fn changes(server: &ApiServer, name: &str) {
    server.put("httproutes", route(name, &format!("/{name}"), "chat"));
    server.edit("gateways", "edge", |edge| {
        let mut more = edge["spec"]["listeners"][0].clone();
        (more["name"], more["hostname"]) = (name.into(), format!("{name}.example").into());
        edge["spec"]["listeners"].as_array_mut().unwrap().push(more);
    });
    server.tells("httproutes", name, "Accepted", "True").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_stopped_writes_nothing_after_another_leads() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.serve("chat", target.address);
    let [one, _other] = taken_over(&server, async |one| one.signal("STOP")).await;
    let before = writes(&server, "one");
    changes(&server, "first").await;
    one.signal("CONT");
    changes(&server, "second").await;
    leads(&one, false).await;
    // It has heard of all that there is, and asks for what there is to do.
    server.is_quiet().await;
    assert_eq!(writes(&server, "one"), before);
    assert_eq!(server.leader(), "other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_connections_are_stalled_writes_nothing_after_another_leads() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    server.serve("chat", target.address);
    let [one, _other] = taken_over(&server, async |one| {
        server.stall("one", true);
        one.says("Lease: ").await;
    })
    .await;
    leads(&one, false).await;
    let before = writes(&server, "one");
    changes(&server, "first").await;
    server.stall("one", false);
    changes(&server, "second").await;
    server.is_quiet().await;
    assert_eq!(writes(&server, "one"), before);
    assert_eq!(server.leader(), "other");
}
