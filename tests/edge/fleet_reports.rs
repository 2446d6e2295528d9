//! What a node says of itself in etcd is true, and stands only as long as it can be.

use std::fs;

use serde_json::Value;

use crate::harness::api::{Api, Reply};
use crate::harness::{Config, Etcd, eventually};

/// What came of a write, as its node says.
fn status(api: &Api, reply: &Reply) -> Value {
    let location = reply.header("location").unwrap();
    let path = &location[location.find("/cloudapi").unwrap()..];
    api.get(path)["metadata"]["status"].clone()
}

/// Waits until a write is done.
async fn is_done(api: &Api, reply: &Reply) {
    eventually("a write that is done", || {
        (status(api, reply) == "DONE").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_that_may_do_nothing_any_more_is_not_waited_for() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let with = |user: &str| {
        let file = folder.path().join(user);
        fs::write(&file, "secret\n").unwrap();
        let file = file.display();
        let keys = format!("api: {{store: {{user: {user}, passwordFile: {file}}}}}");
        Config::answering("hello").top(&keys)
    };
    etcd.ctl(&["role", "add", "nodes"]);
    let may = ["role", "grant-permission", "nodes", "readwrite"];
    etcd.ctl(&[&may[..], &["/culvert/", "--prefix=true"]].concat());
    etcd.ctl(&["user", "add", "node:secret"]);
    etcd.ctl(&["user", "grant-role", "node", "nodes"]);
    etcd.want_user("secret");
    let one = etcd.node_with(with("root"), "one", "").await;
    let other = etcd.node_with(with("node"), "other", "").await;
    etcd.knows(&one, &other, "other").await;
    etcd.ctl(&["user", "revoke-role", "node", "nodes"]);
    let written = one.post_group("g");
    is_done(&one, &written).await;
    assert_eq!(etcd.ctl(&["get", "/culvert/nodes/other"]), "");
}

#[tokio::test]
async fn a_report_that_was_taken_away_is_put_again() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let _node = etcd.node("one", "").await;
    let reported = || (!etcd.ctl(&["get", "/culvert/nodes/one"]).is_empty()).then_some(());
    eventually("a report", reported).await;
    etcd.ctl(&["del", "/culvert/nodes/one"]);
    eventually("another report", reported).await;
}

#[tokio::test]
async fn two_nodes_of_one_name_say_so() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let one = etcd.node("same", "").await;
    one.group();
    let _other = etcd.node("same", "").await;
    let said = "another process reports as \"same\", too";
    eventually("a word", || {
        one.edge.diagnostics().contains(said).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_nobody_can_read_or_renew_stops_no_write() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let node = etcd.node("one", "").await;
    node.group();
    for (key, value) in [
        ("nodes/ghost", r#"{"serves": 0, "seen": 0}"#),
        ("nodes/broken", "{"),
        ("requests/00000000000000000007", "nonsense"),
    ] {
        etcd.ctl(&["put", &format!("/culvert/{key}"), value]);
    }
    let written = node.post_group("g");
    assert_eq!(written.status(), 202);
    is_done(&node, &written).await;
    // A node that reads everything anew goes on as well.
    let new = etcd.node("new", "").await;
    let written = new.post_group("g");
    assert_eq!(written.status(), 202);
    is_done(&new, &written).await;
    assert!(new.edge.diagnostics().contains("it is passed over"));
}
