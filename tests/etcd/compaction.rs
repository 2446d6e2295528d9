//! Compaction: what is too long ago must be read anew.

use culvert::etcd::{Cause, Client, Settings};

use crate::harness::{Cluster, all, commit, end_of, put, soon, values_to};

#[tokio::test]
async fn a_watch_from_before_a_compaction_says_that_all_must_be_read_anew() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let after = commit(&client, &put("/a", "0")).await.position;
    for number in 1..=10 {
        commit(&client, &put("/a", number.to_string())).await;
    }
    cluster.compact(after.revision + 8);
    let mut watch = client.watch(b"/a", after);
    let error = end_of(&mut watch).await;
    assert_eq!(error.cause, Cause::Compacted);
    let snapshot = soon("a range", client.range(b"/a", None)).await.unwrap();
    let mut watch = client.watch(b"/a", snapshot.position);
    commit(&client, &put("/a", "11")).await;
    assert_eq!(values_to(&mut watch, "11").await, ["11"]);
}

#[tokio::test]
async fn a_watch_that_has_seen_everything_does_not_notice() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let after = commit(&client, &put("/a", "0")).await.position;
    let mut watch = client.watch(b"/a", after);
    let last = commit(&client, &put("/a", "1")).await.position.revision;
    assert_eq!(values_to(&mut watch, "1").await, ["1"]);
    cluster.compact(last);
    commit(&client, &put("/a", "2")).await;
    assert_eq!(values_to(&mut watch, "2").await, ["2"]);
}

#[tokio::test]
async fn a_compaction_while_a_watch_is_away_is_noticed_when_it_goes_on() {
    let Some(mut cluster) = Cluster::start(3).await else {
        return;
    };
    let last = (cluster.leader().await + 1) % 3;
    let others = [1, 2].map(|step| cluster.endpoint((last + step) % 3));
    let client = Client::new(Settings::new(others.to_vec())).unwrap();
    let only = Client::new(Settings::new(vec![cluster.endpoint(last)])).unwrap();
    let after = commit(&client, &put("/a", "0")).await.position;
    let mut watch = only.watch(b"/a", after);
    commit(&client, &put("/a", "1")).await;
    assert_eq!(values_to(&mut watch, "1").await, ["1"]);
    cluster.kill(last);
    commit(&client, &put("/a", "2")).await;
    let now = commit(&client, &put("/a", "3")).await.position.revision;
    cluster.compact(now);
    cluster.run(last);
    assert_eq!(end_of(&mut watch).await.cause, Cause::Compacted);
}

#[tokio::test]
async fn a_range_of_a_compacted_revision_is_an_error() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let first = commit(&client, &put("/a", "0")).await.position.revision;
    let last = commit(&client, &put("/a", "1")).await.position.revision;
    cluster.compact(last);
    let error = soon("a range", client.range(b"/a", Some(first))).await;
    assert_eq!(error.unwrap_err().cause, Cause::Compacted);
    assert_eq!(all(&client, "/a").await.len(), 1);
}
