//! Members of etcd die, or are cut off, and nodes are cut off from them.

use serde_json::Value;

use crate::harness::api::{Api, Reply, group_path};
use crate::harness::etcd::node_at;
use crate::harness::wire::Wire;
use crate::harness::{Config, Etcd, eventually};

#[tokio::test]
async fn a_member_that_dies_costs_no_write_and_without_a_majority_nothing_is_written() {
    let Some(mut etcd) = Etcd::of(3).await else {
        return;
    };
    let (one, other) = etcd.two_nodes().await;
    let path = group_path(&one.group());
    etcd.kill_one(2);
    let renamed = |name: &str| {
        let body = format!("{{\"name\": \"{name}\"}}");
        one.ask("PATCH", &path, &[], &body).status()
    };
    // While another leader is elected it may take a moment.
    eventually("a write with two of three", || {
        (renamed("a") == 202).then_some(())
    })
    .await;
    etcd.kill_one(1);
    eventually("a refusal", || (renamed("b") == 507).then_some(())).await;
    assert_eq!(one.get(&path)["properties"]["name"], "a");
    etcd.run().await;
    eventually("a write with all of them", || {
        (renamed("c") == 202).then_some(())
    })
    .await;
    eventually("the last name at the other", || {
        (other.get(&path)["properties"]["name"] == "c").then_some(())
    })
    .await;
}

#[tokio::test]
async fn when_a_member_cannot_be_reached_every_node_writes_on_and_no_write_is_lost() {
    let test =
        "fleet_members::when_a_member_cannot_be_reached_every_node_writes_on_and_no_write_is_lost";
    let Some(etcd) = Etcd::inside(test).await else {
        return;
    };
    let nodes = [
        etcd.node("one", "").await,
        etcd.node("two", "").await,
        etcd.node("three", "").await,
    ];
    let mut written = vec![write(&nodes[0], "first").await];
    let leader = etcd.leader().await;
    etcd.network().cut_off(leader);
    for (node, name) in nodes.iter().zip(["a", "b", "c"]) {
        written.push(write(node, name).await);
    }
    etcd.network().heal(leader);
    // Now one is there for the others alone.
    etcd.network().hide(leader);
    for (node, name) in nodes.iter().zip(["d", "e", "f"]) {
        written.push(write(node, name).await);
    }
    etcd.network().heal(leader);
    for node in &nodes {
        for path in &written {
            eventually("every group at every node", || {
                (node.ask("GET", path, &[], "").status() == 200).then_some(())
            })
            .await;
        }
    }
}

/// Makes a group, as soon as that can be done, and returns its path. An answer that does not say
/// what came of it is looked up.
async fn write(node: &Api, name: &str) -> String {
    eventually("a write", || {
        let reply = node.post_group(name);
        (reply.status() == 202).then(|| group_path(&reply.body["id"]))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_serves_on_is_not_waited_for_and_catches_up() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let wire = Wire::to(etcd.address()).await;
    let url = [format!("http://{}", wire.address)];
    let one = etcd.node("one", "").await;
    let far = node_at(&url, Config::answering("far"), "far", "").await;
    etcd.knows(&one, &far, "far").await;
    wire.cut(true);
    let reply = one.post_group("g");
    eventually("the end of its lease", || {
        is_done(&one.get(&request(&reply)))
    })
    .await;
    assert_eq!(far.edge.get("/").await.text(), "far");
    let refused = far.post_group("h");
    assert!([500, 507].contains(&refused.status()), "{refused:?}");
    let path = group_path(&reply.body["id"]);
    assert_eq!(far.ask("GET", &path, &[], "").status(), 429);
    wire.cut(false);
    eventually("what it has missed", || {
        (far.ask("GET", &path, &[], "").status() == 200).then_some(())
    })
    .await;
    eventually("a write at it", || {
        (far.post_group("i").status() == 202).then_some(())
    })
    .await;
}

fn request(reply: &Reply) -> String {
    let location = reply.header("location").unwrap();
    location[location.find("/cloudapi").unwrap()..].to_owned()
}

fn is_done(status: &Value) -> Option<()> {
    (status["metadata"]["status"] == "DONE").then_some(())
}
