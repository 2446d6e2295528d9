//! A watch brings all changes, in order, and no revision in two parts.

use std::time::Duration;

use culvert::etcd::{Client, Delete, Put, Txn};
use rustix::process::Signal;
use tokio::time::timeout;

use crate::harness::{Cluster, commit, put, soon, values_to};

#[tokio::test]
async fn revisions_come_whole_and_in_order() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let after = commit(&client, &put("/a/first", "before")).await.position;
    let mut watch = client.watch(b"/a/", after);
    for round in 0..30 {
        let keys = (0..100).map(|number| Put {
            key: format!("/a/{number:03}").into(),
            value: format!("{round}").repeat(1000).into(),
            lease: 0,
        });
        let puts = keys.collect();
        commit(
            &client,
            &Txn {
                puts,
                ..put("/b", "beside")
            },
        )
        .await;
    }
    let (mut seen, mut last) = (0, after.revision);
    while seen < 30 {
        let batch = soon("a batch", watch.next()).await.unwrap().unwrap();
        for revision in batch
            .changes
            .chunk_by(|one, next| one.revision == next.revision)
        {
            assert_eq!(revision.len(), 100, "a revision is whole");
            assert!(revision[0].revision > last);
            (seen, last) = (seen + 1, revision[0].revision);
        }
        assert_eq!(batch.position.revision, last);
    }
}

#[tokio::test]
async fn what_is_deleted_has_no_value() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let after = commit(&client, &put("/a", "")).await.position;
    let mut watch = client.watch(b"/", after);
    let deletes = vec![Delete::Prefix(b"/".into())];
    let gone = commit(
        &client,
        &Txn {
            deletes,
            ..Txn::default()
        },
    )
    .await;
    commit(&client, &put("/a", "")).await;
    let mut changes = Vec::new();
    while changes.len() < 2 {
        let batch = soon("a batch", watch.next()).await.unwrap().unwrap();
        changes.extend(batch.changes);
    }
    let [first, second] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!((&*first.key, &first.value), (&b"/a"[..], &None));
    assert_eq!(first.revision, gone.position.revision);
    assert_eq!(second.value.as_deref(), Some(&b""[..]));
}

#[tokio::test]
async fn what_happened_before_it_began_and_after_its_position_comes_too() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let after = commit(&client, &put("/a", "0")).await.position;
    for number in 1..=2500 {
        commit(&client, &put("/a", number.to_string())).await;
    }
    let mut watch = client.watch(b"/a", after);
    let values = values_to(&mut watch, "2500").await;
    let expected = (1..=2500).map(|number: u32| number.to_string());
    assert!(values.into_iter().eq(expected));
}

#[tokio::test]
async fn it_goes_on_where_it_was_after_the_member_was_killed() {
    let Some(mut cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let after = commit(&client, &put("/a", "0")).await.position;
    let mut watch = client.watch(b"/a", after);
    commit(&client, &put("/a", "1")).await;
    assert_eq!(values_to(&mut watch, "1").await, ["1"]);
    cluster.kill(0);
    cluster.run(0);
    cluster.answers().await;
    commit(&client, &put("/a", "2")).await;
    commit(&client, &put("/a", "3")).await;
    assert_eq!(values_to(&mut watch, "3").await, ["2", "3"]);
}

#[tokio::test]
async fn one_that_is_silent_goes_on_elsewhere_and_loses_nothing() {
    let Some(cluster) = Cluster::start(3).await else {
        return;
    };
    let mut settings = cluster.settings();
    settings.times.silence = Duration::from_millis(700);
    settings.times.answer = Duration::from_millis(700);
    let watcher = Client::new(settings).unwrap();
    let client = cluster.client();
    let after = commit(&client, &put("/a", "0")).await.position;
    let mut watch = watcher.watch(b"/a", after);
    let follower = (cluster.leader().await + 1) % 3;
    for number in 1..40 {
        if number == 10 {
            cluster.signal(follower, Signal::STOP);
        }
        soon("a commit", client.txn(&put("/a", number.to_string())))
            .await
            .ok();
    }
    commit(&client, &put("/a", "40")).await;
    let values = values_to(&mut watch, "40").await;
    let numbers: Vec<u32> = values.iter().map(|value| value.parse().unwrap()).collect();
    assert!(
        numbers.is_sorted_by(|one, next| one < next),
        "none comes twice: {numbers:?}"
    );
    cluster.signal(follower, Signal::CONT);
}

#[tokio::test]
async fn whoever_takes_nothing_keeps_nothing_but_its_place() {
    let Some(cluster) = Cluster::start(1).await else {
        return;
    };
    let client = cluster.client();
    let after = commit(&client, &put("/a", "0")).await.position;
    let mut watch = client.watch(b"/a", after);
    for number in 1..=400 {
        let value = format!("{number} {}", "x".repeat(50_000));
        commit(&client, &put("/a", value)).await;
    }
    commit(&client, &put("/a", "last")).await;
    let values = values_to(&mut watch, "last").await;
    assert_eq!(values.len(), 401);
}

#[tokio::test]
async fn one_of_which_etcd_says_that_it_lives_stays_where_it_is() {
    let options = ["--experimental-watch-progress-notify-interval=200ms"];
    let Some(cluster) = Cluster::with(1, &options).await else {
        return;
    };
    let mut settings = cluster.settings();
    settings.times.silence = Duration::from_secs(2);
    let client = Client::new(settings).unwrap();
    let after = commit(&client, &put("/a", "0")).await.position;
    let mut watch = client.watch(b"/a", after);
    let nothing = timeout(Duration::from_secs(5), watch.next()).await;
    assert!(nothing.is_err());
    commit(&client, &put("/a", "1")).await;
    assert_eq!(values_to(&mut watch, "1").await, ["1"]);
    assert_eq!(cluster.figure("grpc_method=\"Watch\"").await, "1");
}
