//! Nodes go on where what they know of etcd has been compacted, or restored from a snapshot.

use serde_json::json;

use crate::harness::api::group_path;
use crate::harness::{Etcd, eventually};

#[tokio::test]
async fn a_node_that_has_missed_what_is_compacted_reads_everything_anew() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let (one, mut other) = (etcd.node("one", "").await, etcd.node("other", "").await);
    let path = group_path(&one.group());
    eventually("the group at the other", || {
        (other.ask("GET", &path, &[], "").status() == 200).then_some(())
    })
    .await;
    other.edge.signal("STOP");
    for name in ["a", "b", "c"] {
        one.patch(&path, &json!({"name": name}));
    }
    etcd.ctl(&["compact", &etcd.revision().to_string()]);
    other.edge.signal("CONT");
    eventually("the last name at the other", || {
        (other.get(&path)["properties"]["name"] == "c").then_some(())
    })
    .await;
    assert!(other.edge.is_running());
}

#[tokio::test]
async fn after_a_restore_from_a_snapshot_all_nodes_serve_that_and_write_on() {
    let Some(mut etcd) = Etcd::of(3).await else {
        return;
    };
    let (one, other) = etcd.two_nodes().await;
    let path = group_path(&one.group());
    let snapshot = etcd.save();
    one.patch(&path, &json!({"name": "later"}));
    etcd.restore(&snapshot).await;
    for node in [&one, &other] {
        eventually("the name of the snapshot", || {
            (node.get(&path)["properties"]["name"] == "group").then_some(())
        })
        .await;
    }
    for (node, name) in [(&one, "b"), (&other, "c")] {
        let body = json!({"name": name}).to_string();
        eventually("a write", || {
            (node.ask("PATCH", &path, &[], &body).status() == 202).then_some(())
        })
        .await;
    }
    eventually("the last name at both", || {
        let shown = [&one, &other].map(|node| node.get(&path)["properties"]["name"].clone());
        (shown[0] == "c" && shown[1] == "c").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_restore_that_others_have_written_past_is_noticed() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let (one, other) = etcd.two_nodes().await;
    let path = group_path(&one.group());
    let snapshot = etcd.save();
    one.patch(&path, &json!({"name": "later"}));
    eventually("it at the other", || {
        (other.get(&path)["properties"]["name"] == "later").then_some(())
    })
    .await;
    [&one, &other]
        .iter()
        .for_each(|node| node.edge.signal("STOP"));
    etcd.restore(&snapshot).await;
    for _ in 0..30 {
        etcd.ctl(&["put", "others", "x"]);
    }
    [&one, &other]
        .iter()
        .for_each(|node| node.edge.signal("CONT"));
    for node in [&one, &other] {
        eventually("the name of the snapshot", || {
            (node.get(&path)["properties"]["name"] == "group").then_some(())
        })
        .await;
    }
    for node in [&one, &other] {
        eventually("a write", || {
            (node.post_group("g").status() == 202).then_some(())
        })
        .await;
    }
}
