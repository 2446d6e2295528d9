//! A transaction is done whole, or not at all.

use culvert::etcd::{Cause, Compare, Delete, Outcome, Put, Txn};
use tokio::task::JoinSet;

use crate::harness::{Cluster, all, commit, put, put_if, soon};

#[tokio::test]
async fn a_lost_race_changes_nothing() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let first = commit(&client, &put_if("/head", 0, "first")).await;
    let again = client.txn(&put_if("/head", 0, "again")).await.unwrap();
    assert!(!again.succeeded);
    commit(&client, &put_if("/head", first.position.revision, "second")).await;
    let late = client
        .txn(&put_if("/head", first.position.revision, "late"))
        .await;
    assert!(!late.unwrap().succeeded);
    let pairs = all(&client, "/head").await;
    assert_eq!(pairs, [("/head".to_owned(), "second".to_owned())]);
}

#[tokio::test]
async fn of_many_writers_that_compare_with_the_same_revision_one_wins() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let mut writers = JoinSet::new();
    for number in 0..40 {
        let (client, txn) = (client.clone(), put_if("/head", 0, &number.to_string()));
        writers.spawn(async move { client.txn(&txn).await.unwrap().succeeded });
    }
    let won = soon("all writers", writers.join_all()).await;
    assert_eq!(won.into_iter().filter(|won| *won).count(), 1);
}

#[tokio::test]
async fn a_prefix_is_deleted_in_one_operation_together_with_what_is_put() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let head = commit(&client, &put("/head", "1")).await.position.revision;
    for number in 0..300 {
        commit(&client, &put(&format!("/rules/{number}"), "rule")).await;
    }
    let txn = Txn {
        compares: vec![Compare {
            key: b"/head".into(),
            revision: head,
        }],
        deletes: vec![
            Delete::Prefix(b"/rules/".into()),
            Delete::Key(b"/none".into()),
        ],
        ..put("/head", "2")
    };
    commit(&client, &txn).await;
    assert_eq!(
        all(&client, "/").await,
        [("/head".to_owned(), "2".to_owned())]
    );
}

#[tokio::test]
async fn what_is_too_large_for_etcd_says_so() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let many = (0..129).map(|number| Put {
        key: format!("/{number}").into(),
        value: Vec::new(),
        lease: 0,
    });
    let puts = many.collect();
    for txn in [
        Txn {
            puts,
            ..Txn::default()
        },
        put("/1.8M", vec![b'x'; 1_800_000]),
        put("/4M", vec![b'x'; 4_000_000]),
    ] {
        let error = soon("an answer", client.txn(&txn)).await.unwrap_err();
        assert_eq!(
            (error.cause, error.outcome),
            (Cause::TooLarge, Outcome::NotDone)
        );
    }
    assert!(all(&client, "/").await.is_empty());
}

#[tokio::test]
async fn what_etcd_has_against_it_is_repeated_in_its_words() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let mut txn = put("/a", "1");
    txn.puts.extend(put("/a", "2").puts);
    let error = soon("an answer", cluster.client().txn(&txn)).await;
    let error = error.unwrap_err();
    assert_eq!(error.outcome, Outcome::NotDone);
    let endpoint = cluster.endpoint(0);
    let words = format!("{endpoint}: etcdserver: duplicate key given in txn request");
    assert_eq!(error.to_string(), words);
}
