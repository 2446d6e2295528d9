//! A restore from a snapshot: whoever has seen what is no longer there learns of it.

use culvert::etcd::Cause;

use crate::harness::{Cluster, all, commit, end_of, put, soon, values_to};

#[tokio::test]
async fn a_watch_that_saw_what_is_gone_says_that_all_must_be_read_anew() {
    let Some(mut cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let after = commit(&client, &put("/a", "kept")).await.position;
    let snapshot = cluster.file("snapshot");
    cluster.ctl(&["snapshot", "save", snapshot.to_str().unwrap()]);
    let mut watch = client.watch(b"/a", after);
    commit(&client, &put("/a", "lost")).await;
    assert_eq!(values_to(&mut watch, "lost").await, ["lost"]);
    cluster.restore(&snapshot).await;
    let error = end_of(&mut watch).await;
    assert!(matches!(error.cause, Cause::WentBack(_)), "{error}");
    assert_eq!(all(&client, "/a").await[0].1, "kept");
    let position = soon("a range", client.range(b"/a", None))
        .await
        .unwrap()
        .position;
    let mut watch = client.watch(b"/a", position);
    commit(&client, &put("/a", "new")).await;
    assert_eq!(values_to(&mut watch, "new").await, ["new"]);
}

#[tokio::test]
async fn a_watch_that_saw_only_what_is_kept_goes_on() {
    let Some(mut cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let after = commit(&client, &put("/a", "kept")).await.position;
    let mut watch = client.watch(b"/a", after);
    let snapshot = cluster.file("snapshot");
    cluster.ctl(&["snapshot", "save", snapshot.to_str().unwrap()]);
    cluster.restore(&snapshot).await;
    commit(&client, &put("/a", "new")).await;
    assert_eq!(values_to(&mut watch, "new").await, ["new"]);
}

#[tokio::test]
async fn another_cluster_at_the_same_address_is_not_taken_for_the_old_one() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let Some(other) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let mut position = commit(&client, &put("/a", "1")).await.position;
    position.revision = 0;
    let mut watch = other.client().watch(b"/a", position);
    let error = end_of(&mut watch).await;
    assert!(
        error.to_string().contains("its data went back: cluster "),
        "{error}"
    );
}
