//! Puts objects in the place of all that is in etcd, from outside of the nodes.
//!
//! They may be more than etcd takes at once. So the head goes first and comes back last: as long as
//! there is none, nodes serve what they have and write nothing.

use std::sync::Arc;

use rustls::sign::CertifiedKey;
use tokio::runtime::Builder;

use super::super::object::Object;
use super::super::objects::Objects;
use super::cluster::Cluster;
use super::keys::{Head, Item};
use super::record::cluster;
use crate::config::model;
use crate::etcd::{Compare, Delete, Put, Txn};

/// How many objects, and how many bytes of them, are put at once.
const OBJECTS: usize = 100;
const BYTES: usize = 1_000_000;

/// Puts these objects in the place of all that this etcd has. Errors: it cannot be asked, or
/// somebody writes. Nodes may find no head then, until it is done again.
pub(in super::super) fn import(
    etcd: &model::Etcd,
    certificate: Option<Arc<CertifiedKey>>,
    objects: &Objects,
) -> Result<(), String> {
    let cluster = cluster(etcd, certificate)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(replace(&cluster, objects))
}

async fn replace(cluster: &Cluster, objects: &Objects) -> Result<(), String> {
    let (number, revision) = last(cluster).await?;
    let mut empty = at_head(cluster, revision);
    empty.deletes = vec![
        Delete::Key(cluster.keys.head()),
        Delete::Prefix(cluster.keys.objects()),
    ];
    commit(cluster, &empty).await?;
    for puts in puts(cluster, objects)? {
        let mut txn = at_head(cluster, 0);
        txn.puts = puts;
        commit(cluster, &txn).await?;
    }
    let head = Head {
        id: uuid::Uuid::new_v4().to_string(),
        previous: String::new(),
        number: number + 1,
    };
    let mut headed = at_head(cluster, 0);
    headed.puts = vec![put(cluster.keys.head(), &head)?];
    commit(cluster, &headed).await
}

/// The number of the last write, of which there may be only the request, and the revision of the
/// head; 0: there is none.
async fn last(cluster: &Cluster) -> Result<(u64, i64), String> {
    let prefix = cluster.keys.prefix.as_bytes();
    let snapshot = cluster.client.range(prefix, None).await;
    let snapshot = snapshot.map_err(|error| error.to_string())?;
    let (mut number, mut revision) = (0, 0);
    for pair in &snapshot.pairs {
        match cluster.keys.read(&pair.key, Some(&pair.value))? {
            Some(Item::Head(Some(head))) => {
                number = number.max(head.number);
                revision = pair.revision;
            }
            Some(Item::Request(Some(request))) => number = number.max(request.revision),
            _ => {}
        }
    }
    Ok((number, revision))
}

/// A transaction that does nothing yet, where the head is of this revision; 0: where there is none.
fn at_head(cluster: &Cluster, revision: i64) -> Txn {
    let key = cluster.keys.head();
    Txn {
        compares: vec![Compare { key, revision }],
        ..Txn::default()
    }
}

/// Objects, as many at once as etcd takes.
fn puts(cluster: &Cluster, objects: &Objects) -> Result<Vec<Vec<Put>>, String> {
    let mut all: Vec<Vec<Put>> = Vec::new();
    let mut bytes = 0;
    for (path, object) in objects.iter() {
        let object: &Object = object;
        let put = put(cluster.keys.object(path), object)?;
        bytes += put.key.len() + put.value.len();
        match all.last_mut() {
            Some(last) if last.len() < OBJECTS && bytes <= BYTES => last.push(put),
            _ => {
                bytes = put.key.len() + put.value.len();
                all.push(vec![put]);
            }
        }
    }
    Ok(all)
}

fn put(key: Vec<u8>, value: &impl serde::Serialize) -> Result<Put, String> {
    let value = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    let lease = 0;
    Ok(Put { key, value, lease })
}

async fn commit(cluster: &Cluster, txn: &Txn) -> Result<(), String> {
    match cluster.client.txn(txn).await {
        Ok(committed) if committed.succeeded => Ok(()),
        Ok(_) => Err("somebody else writes: do it again".to_owned()),
        Err(error) => Err(format!("{error}: do it again")),
    }
}
