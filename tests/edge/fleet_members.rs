//! Members of etcd die.

use crate::harness::api::group_path;
use crate::harness::{Etcd, eventually};

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
