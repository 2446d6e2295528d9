//! The stage: a [`Cluster`] of real members of etcd, a [`Network`] in which some can be cut off, and
//! what tests do with a client.

mod cluster;
mod network;
pub mod played;
#[path = "../../edge/harness/ports.rs"]
mod ports;

use std::time::Duration;

use culvert::etcd::{Client, Committed, Compare, Error, Put, Txn, Watch};
use tokio::time::{Instant, sleep, timeout};

pub use cluster::Cluster;
use network::Network;
pub use ports::{free_address, free_addresses};

/// How long anything that must happen may take, on a slow machine under load.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The result of something that must not take for ever.
pub async fn soon<T>(what: &str, happening: impl Future<Output = T>) -> T {
    let result = timeout(PATIENCE, happening).await;
    result.unwrap_or_else(|_| panic!("did not happen: {what}"))
}

/// Waits until `check` comes to something.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match check().await {
            Some(value) => return value,
            None if Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
            None => panic!("did not happen: {what}"),
        }
    }
}

/// A transaction that puts one key, whatever is there.
pub fn put(key: &str, value: impl Into<Vec<u8>>) -> Txn {
    let (key, value) = (key.into(), value.into());
    Txn {
        puts: vec![Put {
            key,
            value,
            lease: 0,
        }],
        ..Txn::default()
    }
}

/// The same where the key was put last by this revision.
pub fn put_if(key: &str, revision: i64, value: &str) -> Txn {
    let compare = Compare {
        key: key.into(),
        revision,
    };
    Txn {
        compares: vec![compare],
        ..put(key, value)
    }
}

/// Commits it, as must go well.
pub async fn commit(client: &Client, txn: &Txn) -> Committed {
    let committed = soon("a commit", client.txn(txn)).await.unwrap();
    assert!(committed.succeeded);
    committed
}

/// The keys and values under a prefix.
pub async fn all(client: &Client, prefix: &str) -> Vec<(String, String)> {
    let snapshot = soon("a range", client.range(prefix.as_bytes(), None)).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let pairs = snapshot.unwrap().pairs.into_iter();
    pairs
        .map(|pair| (text(pair.key), text(pair.value)))
        .collect()
}

/// The values that a watch brings, until this one has come.
pub async fn values_to(watch: &mut Watch, last: &str) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    while values.last().is_none_or(|value| value != last) {
        let batch = soon(last, watch.next()).await.unwrap().unwrap();
        let changes = batch.changes.into_iter();
        values.extend(changes.map(|change| String::from_utf8(change.value.unwrap()).unwrap()));
    }
    values
}

/// The error with which a watch ends.
pub async fn end_of(watch: &mut Watch) -> Error {
    loop {
        if let Err(error) = soon("the end", watch.next()).await.unwrap() {
            assert!(watch.next().await.is_none());
            return error;
        }
    }
}
