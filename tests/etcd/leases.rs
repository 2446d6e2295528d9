//! A lease is renewed as long as somebody has it, and whoever has it learns that it is lost.

use std::time::Duration;

use culvert::etcd::{Put, Txn};
use rustix::process::Signal;
use tokio::time::{Instant, sleep_until};

use crate::harness::{Cluster, all, commit, eventually, soon};

const TTL: Duration = Duration::from_secs(2);

/// A transaction that puts a key which goes with a lease.
fn node(lease: i64) -> Txn {
    let put = Put {
        key: b"/nodes/a".into(),
        value: b"here".into(),
        lease,
    };
    Txn {
        puts: vec![put],
        ..Txn::default()
    }
}

#[tokio::test]
async fn a_key_stays_as_long_as_its_lease_is_held_and_goes_when_it_is_dropped() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let lease = soon("a lease", client.lease(TTL)).await.unwrap();
    commit(&client, &node(lease.id())).await;
    sleep_until(Instant::now() + TTL * 2).await;
    assert!(!lease.is_lost());
    assert_eq!(all(&client, "/nodes/").await.len(), 1);
    drop(lease);
    let gone = async || all(&client, "/nodes/").await.is_empty().then_some(());
    eventually("the key goes", gone).await;
}

#[tokio::test]
async fn a_lease_that_is_revoked_goes_at_once_with_its_keys() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let lease = client.lease(Duration::from_secs(600)).await.unwrap();
    commit(&client, &node(lease.id())).await;
    lease.revoke().await.unwrap();
    assert!(all(&client, "/nodes/").await.is_empty());
}

#[tokio::test]
async fn a_lease_that_somebody_else_revokes_is_lost() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let lease = cluster.client().lease(TTL).await.unwrap();
    cluster.ctl(&["lease", "revoke", &format!("{:x}", lease.id())]);
    soon("the loss", lease.lost()).await;
    assert!(lease.is_lost());
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_in_time_is_lost() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let lease = cluster.client().lease(TTL).await.unwrap();
    let stopped = Instant::now();
    cluster.signal(0, Signal::STOP);
    soon("the loss", lease.lost()).await;
    assert!(stopped.elapsed() < TTL + Duration::from_secs(1));
}

#[tokio::test]
async fn a_lease_outlives_the_leader() {
    let Some(mut cluster) = Cluster::start(3).await else {
        return;
    };
    let client = cluster.client();
    let lease = client.lease(Duration::from_secs(6)).await.unwrap();
    commit(&client, &node(lease.id())).await;
    cluster.kill(cluster.leader().await);
    // A new leader gives every lease its whole time again.
    sleep_until(Instant::now() + Duration::from_secs(9)).await;
    assert!(!lease.is_lost());
    assert_eq!(all(&client, "/nodes/").await.len(), 1);
}
