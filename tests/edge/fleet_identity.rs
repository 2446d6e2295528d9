//! A node takes nothing over from an etcd that is not its fleet's any more.

use crate::harness::api::{Api, group_path};
use crate::harness::{Etcd, Target, eventually};

/// Waits until a node refuses a write with this word.
async fn refuses(node: &Api, word: &str) {
    eventually(word, || {
        let reply = node.post_group("g");
        let message = reply.body["messages"][0]["message"].as_str()?;
        message.contains(word).then(|| reply.is_refused(507))
    })
    .await;
}

#[tokio::test]
async fn a_node_that_has_nothing_begins_no_fleet_where_others_have_objects() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let target = Target::named("target").await;
    let node = etcd.node("one", "").await;
    let rule = node.rule(&node.group_of(&[target.address])).await;
    etcd.wipe().await;
    let reported = || etcd.ctl(&["get", "/culvert/nodes/one"]).contains("seen");
    eventually("a report", || reported().then_some(())).await;
    let new = etcd.node("new", "").await;
    refuses(&new, "nodes have seen writes: one").await;
    assert_eq!(etcd.ctl(&["get", "/culvert/head"]), "");
    assert_eq!(rule.get("/").await.text(), "target");
}

#[tokio::test]
async fn what_another_fleet_has_takes_the_place_of_nothing() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let target = Target::named("target").await;
    let node = etcd.node("one", "").await;
    let group = node.group_of(&[target.address]);
    let rule = node.rule(&group).await;
    node.edge.signal("STOP");
    etcd.wipe().await;
    let new = etcd.node("new", "").await;
    eventually("another fleet", || {
        (new.post_group("g").status() == 202).then_some(())
    })
    .await;
    node.edge.signal("CONT");
    refuses(&node, "/culvert/head is of the fleet").await;
    assert_eq!(rule.get("/").await.text(), "target");
    assert_eq!(node.get(&group_path(&group))["properties"]["name"], "group");
    // Nor does the other fleet wait for it.
    let is_alone = || etcd.ctl(&["get", "/culvert/nodes/one"]).is_empty();
    eventually("no report", || is_alone().then_some(())).await;
}
