//! A request is done when every live node serves what was written.

use serde_json::Value;

use crate::harness::api::{Api, Reply, group_path};
use crate::harness::edge::free_addresses;
use crate::harness::{Etcd, eventually};

/// What came of a write, as its node says.
fn status(api: &Api, reply: &Reply) -> Value {
    let location = reply.header("location").unwrap();
    let path = &location[location.find("/cloudapi").unwrap()..];
    api.get(path)["metadata"].clone()
}

#[tokio::test]
async fn a_write_is_done_at_its_first_look_where_all_nodes_serve_it() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let (one, two, three) = (
        etcd.node("one", "").await,
        etcd.node("two", "").await,
        etcd.node("three", "").await,
    );
    // On a machine that is busy a write may take longer than its answer waits.
    for api in [&one, &two, &three] {
        eventually("a write that is done at once", || {
            let reply = api.post_group("g");
            (status(api, &reply)["status"] == "DONE").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_node_that_cannot_serve_is_named_and_the_request_failed() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let (one, other) = (etcd.node("one", "").await, etcd.node("other", "").await);
    let (group, balancer) = (one.group(), one.balancer());
    eventually("the group at the other", || {
        let there = other.ask("GET", &group_path(&group), &[], "").status();
        (there == 200).then_some(())
    })
    .await;
    // Both are on this machine, and share its ports: only one of them can have it, whichever is
    // first.
    let [address] = free_addresses();
    let reply = one.post_rule(&balancer, "r", address, &group);
    let message = eventually("a failure", || {
        let status = status(&one, &reply);
        (status["status"] == "FAILED").then(|| status["message"].as_str().unwrap().to_owned())
    })
    .await;
    let is_named = ["node one: ", "node other: "].map(|node| message.starts_with(node));
    assert!(is_named.contains(&true), "{message}");
    assert!(message.contains("cannot listen on"), "{message}");
    // What they had they have.
    for node in [&one, &other] {
        assert_eq!(node.edge.get("/").await.text(), "hello");
    }
    let revision = |node: &Api, kind: &str| {
        let metric = format!("api_revision{{kind=\"{kind}\"}}");
        node.edge.metric(&metric)
    };
    let is_behind = |node: &&Api| revision(node, "known") > revision(node, "served");
    eventually("a node that is behind", || {
        [&one, &other].iter().any(is_behind).then_some(())
    })
    .await;
    // Once the rule is gone it serves everything again.
    let id = reply.body["id"].as_str().unwrap();
    let gone = one.ask(
        "DELETE",
        &format!("{balancer}/forwardingrules/{id}"),
        &[],
        "",
    );
    eventually("the end of it", || {
        (status(&one, &gone)["status"] == "DONE").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_that_stands_still_is_waited_for_until_its_lease_is_over() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let (one, other) = etcd.two_nodes().await;
    other.edge.signal("STOP");
    let reply = one.post_group("g");
    assert_eq!(status(&one, &reply)["status"], "RUNNING");
    eventually("the end of the lease", || {
        (status(&one, &reply)["status"] == "DONE").then_some(())
    })
    .await;
    other.edge.signal("CONT");
    let path = group_path(&reply.body["id"]);
    eventually("what it has missed", || {
        (other.ask("GET", &path, &[], "").status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_that_ends_is_not_waited_for() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let (one, other) = etcd.two_nodes().await;
    other.edge.terminate().await;
    assert_eq!(etcd.ctl(&["get", "/culvert/nodes/other"]), "");
    eventually("a write that is done at once", || {
        let reply = one.post_group("g");
        (status(&one, &reply)["status"] == "DONE").then_some(())
    })
    .await;
}
