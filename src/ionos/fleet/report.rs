//! Says what this node serves, for as long as it lives: by a lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

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
    loop {
        match cluster.client.lease(LIFE).await {
            Ok(lease) => report_by(&cluster, &lease).await,
            Err(error) => log::debug!("api.store: etcd: no lease: {error}"),
        }
        sleep(PAUSE).await;
    }
}

/// Reports until the lease is lost.
async fn report_by(cluster: &Cluster, lease: &Lease) {
    let mut said: Option<Node> = None;
    loop {
        let own = cluster.nodes.own();
        if own.is_some() && own != said {
            match cluster
                .client
                .txn(&word(cluster, lease, own.as_ref()))
                .await
            {
                Ok(_) => said = own,
                Err(error) if error.cause == Cause::LeaseNotFound => return,
                Err(error) => log::warn!("api.store: etcd: this node cannot report: {error}"),
            }
            sleep(OFTEN).await;
        }
        tokio::select! {
            () = lease.lost() => return,
            () = cluster.nodes.told.notified() => {}
            () = sleep(PAUSE) => {}
        }
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
