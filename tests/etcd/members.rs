//! Members that die or stand still: writes go on, and none is lost or done twice.

use std::time::Duration;

use culvert::etcd::{Client, Settings, Watch};
use rustix::process::Signal;

use crate::harness::{Cluster, all, commit, eventually, put, put_if, values_to};

/// Who counts in a key of etcd's, one write for each number, whatever becomes of the members.
pub struct Counter {
    client: Client,
    number: u32,
    revision: i64,
}

impl Counter {
    /// One that begins with 0, and a watch that sees what it counts.
    pub async fn begin(settings: Settings) -> (Counter, Watch) {
        let client = Client::new(settings).unwrap();
        let position = commit(&client, &put_if("/count", 0, "0")).await.position;
        let watch = client.watch(b"/count", position);
        let counter = Counter {
            client,
            number: 0,
            revision: position.revision,
        };
        (counter, watch)
    }

    /// Counts on. A write that failed, in whichever way, is looked at before it is repeated.
    pub async fn count(&mut self, times: u32) {
        for _ in 0..times {
            self.number += 1;
            eventually("a write", async || self.write().await.then_some(())).await;
        }
    }

    async fn write(&mut self) -> bool {
        let number = self.number.to_string();
        let txn = put_if("/count", self.revision, &number);
        match self.client.txn(&txn).await {
            Ok(committed) if committed.succeeded => {
                self.revision = committed.position.revision;
                return true;
            }
            Ok(_) | Err(_) => {}
        }
        let Ok(found) = self.client.range(b"/count", None).await else {
            return false;
        };
        self.revision = found.pairs[0].revision;
        found.pairs[0].value == number.as_bytes()
    }

    /// Sees to it that a watch has brought each number once, in order, and that the last one is
    /// there.
    pub async fn check(&self, watch: &mut Watch) {
        let last = self.number.to_string();
        let expected: Vec<String> = (1..=self.number).map(|number| number.to_string()).collect();
        assert_eq!(values_to(watch, &last).await, expected);
        assert_eq!(
            all(&self.client, "/count").await,
            [("/count".to_owned(), last)]
        );
    }
}

/// Settings for a client that gives a member up soon.
pub fn impatient(cluster: &Cluster) -> Settings {
    let mut settings = cluster.settings();
    settings.times.connect = Duration::from_millis(500);
    settings.times.answer = Duration::from_secs(1);
    settings.times.silence = Duration::from_secs(2);
    settings
}

#[tokio::test]
async fn writes_go_on_when_a_member_dies_and_comes_back() {
    let Some(mut cluster) = Cluster::start(3).await else {
        return;
    };
    let (mut counter, mut watch) = Counter::begin(impatient(&cluster)).await;
    let follower = (cluster.leader().await + 1) % 3;
    counter.count(20).await;
    cluster.kill(follower);
    counter.count(20).await;
    cluster.run(follower);
    counter.count(20).await;
    counter.check(&mut watch).await;
}

#[tokio::test]
async fn writes_go_on_when_the_leader_dies() {
    let Some(mut cluster) = Cluster::start(3).await else {
        return;
    };
    let (mut counter, mut watch) = Counter::begin(impatient(&cluster)).await;
    counter.count(20).await;
    cluster.kill(cluster.leader().await);
    counter.count(20).await;
    counter.check(&mut watch).await;
}

#[tokio::test]
async fn writes_go_on_when_the_leader_stands_still_and_wakes_up_later() {
    let Some(cluster) = Cluster::start(3).await else {
        return;
    };
    let (mut counter, mut watch) = Counter::begin(impatient(&cluster)).await;
    counter.count(20).await;
    let leader = cluster.leader().await;
    cluster.signal(leader, Signal::STOP);
    counter.count(20).await;
    cluster.signal(leader, Signal::CONT);
    counter.count(20).await;
    counter.check(&mut watch).await;
}

#[tokio::test]
async fn without_a_majority_nothing_is_written_and_a_client_says_since_when() {
    let Some(mut cluster) = Cluster::start(3).await else {
        return;
    };
    let client = Client::new(impatient(&cluster)).unwrap();
    commit(&client, &put("/a", "1")).await;
    assert!(client.trouble().is_none());
    let leader = cluster.leader().await;
    cluster.kill(leader);
    cluster.kill((leader + 1) % 3);
    let refused = async || client.txn(&put("/a", "2")).await.err();
    eventually("a refusal", refused).await;
    assert!(client.trouble().is_some());
    cluster.run(leader);
    let done = async || client.txn(&put("/a", "3")).await.ok();
    eventually("a commit", done).await;
    assert!(client.trouble().is_none());
    assert_eq!(all(&client, "/a").await[0].1, "3");
}
