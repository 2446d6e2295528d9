//! Puts objects in the place of all that is in etcd, from outside of the nodes.
//!
//! They may be more than etcd takes at once. So the head goes first and comes back last: as long as
//! there is none, nodes serve what they have and write nothing. Each step is made only where the
//! mark of this import is still there, so that of two at once one is made.

use std::sync::Arc;

use rustls::sign::CertifiedKey;
use tokio::runtime::Builder;

use super::super::object::Object;
use super::super::objects::Objects;
use super::super::transfer::Exported;
use super::cluster::{Cluster, MOST_BYTES};
use super::keys::{Head, Import, Item};
use super::record::cluster;
use crate::config::model;
use crate::etcd::{Cause, Compare, Delete, Pages, Put, Txn};

/// How many objects, and how many bytes of them, are put at once.
const OBJECTS: usize = 100;
const BYTES: usize = 1_000_000;
/// How often it is tried to read what is there.
const TRIES: usize = 4;

/// What is there.
#[derive(Default)]
struct Found {
    /// The number of the last write, of which there may be only the request.
    number: u64,
    /// The fleet that has it; empty: none.
    fleet: String,
    /// The revisions of the head, and of the mark of an import that has not ended; 0: none.
    head: i64,
    import: i64,
}

/// Puts these objects in the place of all that this etcd has. Errors: it cannot be asked, or
/// somebody writes. Nodes may find no head then, until it is done again.
pub(in super::super) fn import(
    etcd: &model::Etcd,
    certificate: Option<Arc<CertifiedKey>>,
    exported: &Exported,
) -> Result<(), String> {
    let cluster = cluster(etcd, certificate)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(replace(&cluster, exported))
}

async fn replace(cluster: &Cluster, exported: &Exported) -> Result<(), String> {
    // What cannot be put must be known before anything goes.
    let objects = puts(cluster, &exported.objects)?;
    let found = found(cluster).await?;
    let import = Import {
        number: found.number + 1,
        fleet: [found.fleet.clone(), exported.fleet.clone()]
            .into_iter()
            .find(|fleet| !fleet.is_empty())
            .unwrap_or_else(id),
    };
    let mark = begin(cluster, &found, &import).await?;
    for puts in objects {
        let mut txn = marked(cluster, mark);
        txn.puts = puts;
        commit(cluster, &txn).await?;
    }
    let head = Head {
        id: id(),
        previous: String::new(),
        number: import.number,
        fleet: import.fleet,
    };
    let mut headed = marked(cluster, mark);
    headed.puts = vec![put(cluster.keys.head(), &head)?];
    headed.deletes = vec![Delete::Key(cluster.keys.import())];
    commit(cluster, &headed).await.map(drop)
}

fn id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// What is there. What cannot be read is passed over: it goes.
async fn found(cluster: &Cluster) -> Result<Found, String> {
    let prefix = cluster.keys.prefix.as_bytes();
    let (mut pages, mut tries) = (Pages::default(), 0);
    let snapshot = loop {
        tries += 1;
        match cluster.client.range_by(prefix, None, &mut pages).await {
            Err(error) if tries == TRIES => return Err(error.to_string()),
            Err(error) if !matches!(error.cause, Cause::TimedOut(..)) => {
                return Err(error.to_string());
            }
            Err(_) => {}
            Ok(snapshot) => break snapshot,
        }
    };
    let mut found = Found::default();
    for pair in &snapshot.pairs {
        let item = cluster.keys.read(&pair.key, Some(&pair.value));
        match item {
            Ok(Some(Item::Head(Some(head)))) => {
                found.number = found.number.max(head.number);
                found.fleet = head.fleet;
            }
            Ok(Some(Item::Import(Some(import)))) => {
                found.number = found.number.max(import.number);
                found.fleet = import.fleet;
            }
            Ok(Some(Item::Request(Some(request)))) => {
                found.number = found.number.max(request.revision);
            }
            _ => {}
        }
        if pair.key == cluster.keys.head() {
            found.head = pair.revision;
        }
        if pair.key == cluster.keys.import() {
            found.import = pair.revision;
        }
    }
    Ok(found)
}

/// Has the mark in the place of the head and of all objects; returns its revision.
async fn begin(cluster: &Cluster, found: &Found, import: &Import) -> Result<i64, String> {
    let compare = |key, revision| Compare { key, revision };
    let txn = Txn {
        compares: vec![
            compare(cluster.keys.head(), found.head),
            compare(cluster.keys.import(), found.import),
        ],
        puts: vec![put(cluster.keys.import(), import)?],
        deletes: vec![
            Delete::Key(cluster.keys.head()),
            Delete::Prefix(cluster.keys.objects()),
        ],
    };
    commit(cluster, &txn).await
}

/// A transaction that does nothing yet, where the mark is of this revision.
fn marked(cluster: &Cluster, revision: i64) -> Txn {
    let key = cluster.keys.import();
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
        if put.key.len() + put.value.len() > MOST_BYTES {
            return Err(format!(
                "{path}: is too large for etcd: nothing has changed"
            ));
        }
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

/// Returns the revision that a transaction has made.
async fn commit(cluster: &Cluster, txn: &Txn) -> Result<i64, String> {
    match cluster.client.txn(txn).await {
        Ok(committed) if committed.succeeded => Ok(committed.position.revision),
        Ok(_) => Err("somebody else writes: do it again".to_owned()),
        Err(error) => Err(format!("{error}: do it again")),
    }
}
