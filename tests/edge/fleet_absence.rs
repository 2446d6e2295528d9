//! Where etcd is away, nodes serve on, and write nothing.

use serde_json::json;

use crate::harness::api::group_path;
use crate::harness::etcd::config_at;
use crate::harness::{Config, Etcd, Target, eventually};

#[tokio::test]
async fn without_etcd_nodes_serve_and_show_on_and_refuse_writes() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let target = Target::named("target").await;
    let node = etcd.node("one", "").await;
    let group = node.group_of(&[target.address]);
    let rule = node.rule(&group).await;
    etcd.kill();
    let path = group_path(&group);
    let refused = node.ask("PATCH", &path, &[], "{\"name\": \"other\"}");
    refused.is_refused(507);
    assert_eq!(node.get(&path)["properties"]["name"], "group");
    assert_eq!(rule.get("/").await.text(), "target");
    let available = "api_store_available{type=\"ETCD\"}";
    let is_shown = |value: f64| (node.edge.metric(available) == value).then_some(());
    eventually("a store that is away", || is_shown(0.0)).await;
    etcd.run().await;
    eventually("a store that is back", || is_shown(1.0)).await;
    eventually("writes again", || {
        let reply = node.ask("PATCH", &path, &[], &json!({"name": "other"}).to_string());
        (reply.status() == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_starts_from_its_copy_while_etcd_is_away() {
    let Some(mut etcd) = Etcd::start().await else {
        return;
    };
    let target = Target::named("target").await;
    let mut node = etcd.node("one", "").await;
    let group = node.group_of(&[target.address]);
    let rule = node.rule(&group).await;
    node.edge.signal("KILL");
    node.edge.exited().await;
    etcd.kill();
    node.edge.start_again().await;
    assert_eq!(rule.get("/").await.text(), "target");
    assert_eq!(node.get(&group_path(&group))["properties"]["name"], "group");
    node.post_group("g").is_refused(507);
    etcd.run().await;
    eventually("writes again", || {
        (node.post_group("g").status() == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_written_meanwhile_is_taken_over() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let (one, mut other) = (etcd.node("one", "").await, etcd.node("other", "").await);
    let (gone, stays) = (one.group(), one.group());
    let shows = |status: u16, path: String| {
        let other = &other;
        async move {
            eventually("the group at the other", || {
                (other.ask("GET", &path, &[], "").status() == status).then_some(())
            })
            .await;
        }
    };
    shows(200, group_path(&stays)).await;
    other.edge.signal("KILL");
    other.edge.exited().await;
    one.ask("DELETE", &group_path(&gone), &[], "");
    let new = one.group();
    other.edge.start_again().await;
    for (id, status) in [(new, 200), (stays, 200), (gone, 404)] {
        let path = group_path(&id);
        eventually("what is there now", || {
            (other.ask("GET", &path, &[], "").status() == status).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_etcd_that_has_lost_everything_takes_nothing_from_a_node() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let target = Target::named("target").await;
    let node = etcd.node("one", "").await;
    let group = node.group_of(&[target.address]);
    let rule = node.rule(&group).await;
    etcd.ctl(&["del", "--prefix", "/culvert/"]);
    eventually("a refusal", || {
        let reply = node.post_group("g");
        let message = reply.body["messages"][0]["message"].as_str()?;
        message.contains("there is no /culvert/head").then_some(())
    })
    .await;
    assert_eq!(rule.get("/").await.text(), "target");
    assert_eq!(node.get(&group_path(&group))["properties"]["name"], "group");
}

#[tokio::test]
async fn a_node_that_cannot_serve_an_object_of_its_copy_starts_without_it() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let target = Target::named("target").await;
    let mut node = etcd.node("one", "").await;
    let group = node.group_of(&[target.address]);
    let (rule, stays) = (node.rule(&group).await, node.rule(&group).await);
    node.edge.signal("KILL");
    node.edge.exited().await;
    // The file has come to want the address.
    let file = Config::answering("file").api(node.address, "");
    let file = file.add_rule("second").listen(rule.address);
    let file = config_at(&etcd.urls(), file, "one");
    node.edge.configure(&file);
    node.edge.start_again().await;
    assert_eq!(node.edge.get("/").await.text(), "file");
    assert_eq!(stays.get("/").await.text(), "target");
    // What can be served can be written.
    eventually("a write", || {
        (node.post_group("g").status() == 202).then_some(())
    })
    .await;
    assert_eq!(node.edge.get("/").await.text(), "file");
    // Once the file does not want the address any more all is as it was.
    let file = Config::answering("file").api(node.address, "");
    let file = config_at(&etcd.urls(), file, "one");
    node.edge.reload(&file).await;
    let known = node.edge.metric("api_revision{kind=\"known\"}");
    eventually("all of it", || {
        (node.edge.metric("api_revision{kind=\"served\"}") == known).then_some(())
    })
    .await;
    assert_eq!(rule.get("/").await.text(), "target");
}
