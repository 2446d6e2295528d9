//! A node leaves out what it cannot serve, and serves everything else.

use std::net::TcpListener;

use crate::harness::api::{Reply, group_path};
use crate::harness::{Config, Etcd, Target, eventually};

#[tokio::test]
async fn a_node_starts_where_a_rule_of_its_copy_cannot_listen() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let target = Target::named("target").await;
    let mut node = etcd.node("one", "").await;
    let group = node.group_of(&[target.address]);
    let (taken, stays) = (node.rule(&group).await, node.rule(&group).await);
    node.edge.signal("KILL");
    node.edge.exited().await;
    etcd.kill();
    let other = TcpListener::bind(taken.address).unwrap();
    node.edge.start_again().await;
    assert_eq!(stays.get("/").await.text(), "target");
    etcd.run().await;
    // It is tried again, until it can.
    drop(other);
    let listens = || std::net::TcpStream::connect(taken.address).ok();
    eventually("a listener", listens).await;
    assert_eq!(taken.get("/").await.text(), "target");
}

#[tokio::test]
async fn a_change_that_a_node_cannot_serve_keeps_it_from_no_other() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let one = etcd.node("one", "").await;
    // A group of this name is in its file.
    let file = Config::answering("hello").add_group("mine");
    let other = etcd.node_with(file, "other", "").await;
    etcd.knows(&one, &other, "other").await;
    let status = |reply: &Reply| {
        let location = reply.header("location").unwrap();
        let path = &location[location.find("/cloudapi").unwrap()..];
        one.get(path)["metadata"].clone()
    };
    let clashes = one.post_group("mine");
    eventually("a failure", || {
        let status = status(&clashes);
        let names = status["message"].as_str()?.starts_with("node other: ");
        (status["status"] == "FAILED" && names).then_some(())
    })
    .await;
    // What comes later serves, whoever writes it.
    for node in [&one, &other] {
        let group = node.group();
        for node in [&one, &other] {
            let path = group_path(&group);
            let is_there = || (node.ask("GET", &path, &[], "").status() == 200).then_some(());
            eventually("the group", is_there).await;
        }
    }
    let later = one.post_group("later");
    let is_done = || (status(&later)["status"] == "DONE").then_some(());
    eventually("a write that is done", is_done).await;
    assert_eq!(status(&clashes)["status"], "FAILED");
}
