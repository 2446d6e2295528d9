//! A node that knows of nothing says so, rather than that there is nothing.

use std::sync::Arc;
use std::thread;

use serde_json::json;

use crate::harness::api::{GROUPS, group_path};
use crate::harness::{Config, Etcd, Process, eventually};

#[tokio::test]
async fn a_node_without_a_copy_is_not_ready_before_it_has_read_what_there_is() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let one = etcd.node("one", "").await;
    let path = group_path(&one.group());
    etcd.kill();
    let new = etcd.unready_node(Config::answering("hello"), "new").await;
    let said = new.edge.is_ready(false).await;
    assert!(
        said.contains("what there is to serve has yet to be read"),
        "{said}"
    );
    assert!(new.edge.diagnostics().contains("this node is not ready"));
    etcd.run().await;
    new.edge.is_ready(true).await;
    assert_eq!(new.get(&path)["properties"]["name"], "group");
    // It stays ready.
    etcd.kill();
    eventually("a refusal", || {
        (new.post_group("g").status() == 507).then_some(())
    })
    .await;
    new.edge.is_ready(true).await;
}

#[tokio::test]
async fn what_a_node_may_only_not_know_of_is_to_be_asked_again() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let node = etcd.node("one", "").await;
    let status = |path: &str| node.ask("GET", path, &[], "").status();
    let nobody = "99999999-9999-4999-8999-999999999999";
    let group = group_path(&json!(nobody));
    assert_eq!(status(&group), 404);
    etcd.kill();
    eventually("a doubt", || (status(&group) == 429).then_some(())).await;
    let request = format!("/cloudapi/v6/requests/{nobody}/status");
    let reply = node.ask("GET", &request, &[], "");
    assert_eq!(
        (reply.status(), reply.header("retry-after")),
        (429, Some("1"))
    );
    // Terraform's provider knows only two answers here.
    let balancer = format!("/cloudapi/v6/datacenters/{nobody}/applicationloadbalancers/{nobody}");
    assert_eq!(status(&balancer), 404);
    assert_eq!(status(GROUPS), 200);
}

#[tokio::test]
async fn signals_are_heeded_while_a_hand_over_waits_for_a_write() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let config = Config::answering("hello").upgradable();
    let node = Arc::new(etcd.node_with(config, "one", "").await);
    node.group();
    etcd.signal("STOP");
    let writer = Arc::clone(&node);
    let writing = thread::spawn(move || writer.post_group("g").status());
    let _successor = Process::start(&["-c", node.edge.file().to_str().unwrap(), "-u"]);
    eventually("a signal that is heeded", || {
        node.edge.signal("QUIT");
        let said = node.edge.diagnostics();
        said.contains("a hand-over is under way").then_some(())
    })
    .await;
    assert!(!writing.is_finished());
    etcd.signal("CONT");
    writing.join().unwrap();
}
