//! Says what this node serves, for as long as it lives: by a lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::keys::Node;
use crate::etcd::{Cause, Lease, Put, Txn};

/// How long after its last word a node is taken for gone.
const LIFE: Duration = Duration::from_secs(5);
/// How long it is waited after what went wrong.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is said at most.
const OFTEN: Duration = Duration::from_millis(50);

/// Reports until it is aborted.
pub(super) async fn report(cluster: Arc<Cluster>) {
    let mut why = String::new();
    loop {
        if cluster.nodes.own().is_none() {
            tokio::select! {
                () = cluster.nodes.told.notified() => {}
                () = sleep(PAUSE) => {}
            }
            continue;
        }
        match cluster.client.lease(LIFE).await {
            Ok(lease) => report_by(&cluster, lease, &mut why).await,
            Err(error) => log::debug!("api.store: etcd: no lease: {error}"),
        }
        sleep(PAUSE).await;
    }
}

/// Reports until the lease is lost, or given up: what was said last must not stand for good where
/// nothing else can be said.
async fn report_by(cluster: &Cluster, lease: Lease, why: &mut String) {
    let (mut said, mut true_at): (Option<Node>, _) = (None, Instant::now());
    loop {
        let own = cluster.nodes.own();
        if cluster.nodes.is_gone() {
            said = None;
        }
        if own.is_some() && own != said {
            let word = word(cluster, &lease, own.as_ref());
            match cluster.client.txn(&word).await {
                Ok(_) => said.clone_from(&own),
                Err(error) if error.cause == Cause::LeaseNotFound => return,
                Err(error) => tell(why, error.to_string()),
            }
            sleep(OFTEN).await;
        }
        if own.is_some() && own == said {
            true_at = Instant::now();
            why.clear();
        }
        if true_at.elapsed() >= LIFE {
            if said.is_some() {
                log::error!("api.store: etcd: no other node waits any more for this one");
            }
            // Where that cannot be said either it runs out.
            lease.revoke().await.ok();
            return;
        }
        tokio::select! {
            () = lease.lost() => return,
            () = cluster.nodes.told.notified() => {}
            () = sleep(PAUSE) => {}
        }
    }
}

/// Says why nothing is reported, once.
fn tell(known: &mut String, why: String) {
    if *known != why {
        log::warn!("api.store: etcd: this node cannot report: {why}");
        *known = why;
    }
}

fn word(cluster: &Cluster, lease: &Lease, node: Option<&Node>) -> Txn {
    let put = Put {
        key: cluster.keys.node(&cluster.nodes.name),
        value: serde_json::to_vec(&node).unwrap_or_default(),
        lease: lease.id(),
    };
    Txn {
        puts: vec![put],
        ..Txn::default()
    }
}
