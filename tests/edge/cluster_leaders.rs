//! One node writes the statuses, and never two.

use std::time::{Duration, Instant};

use crate::harness::api_server::route;
use crate::harness::{ApiServer, Edge, Target, eventually};

/// How long a leader goes on after its last renewal, and a write.
const LEADING: Duration = Duration::from_secs(14);

fn is_leader(edge: &Edge) -> bool {
    edge.metric("gateway_leader") == 1.0
}

async fn leads(edge: &Edge) {
    eventually("it leads", || is_leader(edge).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_leads_after_the_leader_was_killed_and_not_before_its_lease_is_over() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    let one = server.node("one").await;
    leads(&one).await;
    let other = server.node("other").await;
    one.signal("KILL");
    let killed = Instant::now();
    server.serve("chat", target.address);
    eventually("the other leads", || is_leader(&other).then_some(())).await;
    // A renewal is up to five seconds old.
    assert!(killed.elapsed() > Duration::from_secs(9));
    server.tells("httproutes", "chat", "Accepted", "True").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_leads_at_once_after_the_leader_has_ended_in_order() {
    let server = ApiServer::start().await;
    let one = server.node("one").await;
    leads(&one).await;
    let other = server.node("other").await;
    let lease = |name: &str| {
        let name = format!("culvert.dev-gateway.{name}");
        server.get("leases", "culvert-system", &name)
    };
    eventually("both are there", || {
        let both = ["one", "other"].iter().all(|name| !lease(name).is_null());
        both.then_some(())
    })
    .await;
    one.terminate().await;
    assert!(lease("one").is_null());
    assert_ne!(server.leader(), "one");
    leads(&other).await;
    assert_eq!(server.leader(), "other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_renewals_are_refused_stops_to_write() {
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    let one = server.node("one").await;
    leads(&one).await;
    server.refuse("PUT", "leases", 500);
    let refused = Instant::now();
    eventually("it leads no longer", || (!is_leader(&one)).then_some(())).await;
    assert!(refused.elapsed() < LEADING);
    server.serve("chat", target.address);
    server.answers("/chat", "chat").await;
    server.put("httproutes", route("more", "/more", "chat"));
    server.answers("/more", "chat").await;
    assert!(server.get("httproutes", "apps", "more")["status"].is_null());
    server.allow_all();
    server.tells("httproutes", "more", "Accepted", "True").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_one_writes_and_both_are_waited_for() {
    // Only one of them can have the port.
    let (server, target) = (ApiServer::start().await, Target::named("chat").await);
    let one = server.node("one").await;
    leads(&one).await;
    server.tells("gateways", "edge", "Programmed", "True").await;
    let other = server.node("other").await;
    server
        .tells("gateways", "edge", "Programmed", "False")
        .await;
    assert!(!is_leader(&other));
    // One of them has gone, and its lease is lost.
    server.delete_lease("culvert.dev-gateway");
    eventually("somebody leads", || {
        assert!(!(is_leader(&one) && is_leader(&other)));
        (!server.leader().is_empty()).then_some(())
    })
    .await;
    server.serve("chat", target.address);
    server.tells("httproutes", "chat", "Accepted", "True").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_started_again_takes_its_lease_at_once_and_no_status_changes() {
    let server = ApiServer::start().await;
    let mut one = server.node("one").await;
    leads(&one).await;
    server.tells("gateways", "edge", "Programmed", "True").await;
    server.is_quiet().await;
    let holder = || {
        let lease = server.get("leases", "culvert-system", "culvert.dev-gateway.one");
        lease["spec"]["holderIdentity"].clone()
    };
    let (before, writes) = (holder(), server.status_writes());
    one.signal("KILL");
    one.exited().await;
    one.start_again().await;
    eventually("it has its lease", || (holder() != before).then_some(())).await;
    server.is_quiet().await;
    assert_eq!(server.status_writes(), writes);
}
