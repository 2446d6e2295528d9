//! What is written at one node serves at all of them.

use serde_json::json;

use crate::harness::api::{GROUPS, group_path, targets};
use crate::harness::edge::free_addresses;
use crate::harness::{Connection, Etcd, Target, eventually};

#[tokio::test]
async fn what_is_written_at_one_node_is_there_at_the_others() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let (one, other) = (etcd.node("one", "").await, etcd.node("other", "").await);
    let id = one.group();
    let path = group_path(&id);
    eventually("the group at the other", || {
        (other.ask("GET", &path, &[], "").status() == 200).then_some(())
    })
    .await;
    // And back: the other writes on from there.
    other.patch(&path, &json!({"name": "renamed"}));
    eventually("the name at the first", || {
        (one.get(&path)["properties"]["name"] == "renamed").then_some(())
    })
    .await;
    one.ask("DELETE", &path, &[], "");
    eventually("nothing at the other", || {
        (other.ask("GET", &path, &[], "").status() == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_can_be_asked_of_every_node() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let (one, other) = (etcd.node("one", "").await, etcd.node("other", "").await);
    let location = one.post_group("g").header("location").unwrap().to_owned();
    let path = location[location.find("/cloudapi").unwrap()..].to_owned();
    eventually("a request that is done", || {
        let status = other.ask("GET", &path, &[], "");
        (status.status() == 200 && status.body["metadata"]["status"] == "DONE").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_rule_of_another_nodes_address_is_passed_over() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let target = Target::named("target").await;
    let (one, other) = (etcd.node("one", "").await, etcd.node("other", "").await);
    let group = one.group_of(&[target.address]);
    let balancer = one.balancer();
    one.patch(&balancer, &json!({"ips": ["192.0.2.1", "127.0.0.1"]}));
    let elsewhere = "192.0.2.1:80".parse().unwrap();
    assert_eq!(
        one.post_rule(&balancer, "a", elsewhere, &group).status(),
        202
    );
    // What comes after it serves.
    let [address] = free_addresses();
    assert_eq!(one.post_rule(&balancer, "b", address, &group).status(), 202);
    let mut client = Connection::open(address).await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.text(), "target");
    let rules = format!("{balancer}/forwardingrules");
    eventually("both rules at the other", || {
        let list = other.ask("GET", &rules, &[], "");
        (list.body["items"].as_array().map(Vec::len) == Some(2)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn with_any_address_a_rule_that_cannot_listen_is_refused() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let node = etcd.node("one", "anyAddress: true").await;
    let (group, balancer) = (node.group(), node.balancer());
    node.patch(&balancer, &json!({"ips": ["192.0.2.1"]}));
    let elsewhere = "192.0.2.1:80".parse().unwrap();
    let reply = node.post_rule(&balancer, "a", elsewhere, &group);
    reply.is_refused(422);
    // Nothing of it is in etcd.
    assert_eq!(
        etcd.ctl(&["get", "--prefix", "/culvert/objects/", "--keys-only"])
            .matches("forwardingrules")
            .count(),
        0
    );
}

#[tokio::test]
async fn what_is_too_much_for_etcd_at_once_is_refused_beforehand() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let node = etcd.node("one", "").await;
    let (group, balancer) = (node.group(), node.balancer());
    let (collection, _) = balancer.rsplit_once('/').unwrap();
    let rule = |port: u16| {
        json!({"properties": {
            "name": "r", "protocol": "HTTP", "listenerIp": "192.0.2.1", "listenerPort": port,
            "httpRules": [{"name": "a", "type": "FORWARD", "targetGroup": group}],
        }})
    };
    let rules: Vec<_> = (1..=130).map(rule).collect();
    let body = json!({
        "properties": {"name": "b", "listenerLan": 1, "targetLan": 2, "ips": ["192.0.2.1"]},
        "entities": {"forwardingrules": {"items": rules}},
    });
    let reply = node.ask("POST", collection, &[], &body.to_string());
    reply.is_refused(422);
    let message = reply.body["messages"][0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("[(root)] is too much for etcd"),
        "{message}"
    );
    // One by one they can be made, and go together.
    assert!(node.get(GROUPS)["items"].as_array().is_some());
    node.patch(&group_path(&group), &json!({"targets": targets(&[])}));
}
