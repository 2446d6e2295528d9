//! The record of a node in a fleet: etcd, of which the journal is the copy.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::super::error::ApiError;
use super::super::held::Missing;
use super::super::journal::Journal;
use super::super::record::{NotKept, Record, Take};
use super::super::request::{Progress, Request};
use super::super::serve::Serve;
use super::super::state::{Entry, Standing, State};
use super::cluster::Cluster;
use super::follow::Follower;
use super::key_ring::KeyRing;
use super::keys::Keys;
use super::nodes::Nodes;
use super::report::report;
use crate::config::model;
use crate::etcd::{Client, Delete, Settings, Times, Txn, User};

/// How long etcd may take: a client waits, and after it others.
const TIMES: Times = Times {
    connect: Duration::from_secs(1),
    answer: Duration::from_secs(2),
    whole: Duration::from_secs(2),
    silence: Duration::from_secs(10),
};
/// How long a process that ends waits to be forgotten.
const LEAVING: Duration = Duration::from_millis(500);

/// A node in a fleet.
#[derive(Debug)]
pub(in super::super) struct Fleet {
    /// Of its own, for whatever waits for etcd; `None` once it ends.
    runtime: Option<Runtime>,
    cluster: Arc<Cluster>,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// What etcd has, as this node is to know it. Errors: there can be no such client.
pub(super) fn cluster(
    etcd: &model::Etcd,
    certificate: Option<Arc<CertifiedKey>>,
) -> Result<Cluster, String> {
    let endpoints = etcd.endpoints.iter().map(|text| text.parse());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(etcd.authorities.iter().cloned());
    let user = etcd.user.as_ref().map(|user| User {
        name: user.name.clone(),
        password: user.password.clone(),
    });
    let settings = Settings {
        roots: Arc::new(roots),
        certificate,
        user,
        times: TIMES,
        ..Settings::new(endpoints.collect::<Result<_, _>>()?)
    };
    let keys = Keys {
        prefix: etcd.prefix.clone(),
    };
    Ok(Cluster::new(
        Client::new(settings)?,
        keys,
        Nodes::new(&etcd.node),
        KeyRing::of(etcd),
    ))
}

impl Fleet {
    /// A node in the fleet that this etcd makes, which shows it this certificate. Errors: there can
    /// be no such client.
    pub(in super::super) fn open(
        etcd: &model::Etcd,
        certificate: Option<Arc<CertifiedKey>>,
    ) -> Result<Self, String> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("etcd")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Fleet {
            runtime: Some(runtime),
            cluster: Arc::new(cluster(etcd, certificate)?),
            tasks: Mutex::default(),
        })
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        self.runtime
            .as_ref()
            .map(|runtime| runtime.block_on(future))
    }
}

#[async_trait]
impl Record for Fleet {
    fn check(&self) -> Result<(), ApiError> {
        self.cluster.check()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn name(&self, request: &Request) -> String {
        request.id.clone()
    }

    fn doubt(&self) {
        self.cluster.doubted.notify_one();
    }

    fn keep(&self, before: &State, entry: &Entry, _: &mut Journal) -> Result<(), NotKept> {
        let committed = self.block_on(self.cluster.commit(before, entry));
        committed.unwrap_or(Err(NotKept::Lost))
    }

    fn copy(&self, entry: &Entry, state: &State, journal: &mut Journal) {
        if let Err(error) = journal.copy(entry, state) {
            log::error!("api.store.path: the copy is behind: {error}");
        }
    }

    fn tell(&self, revision: u64, missing: Option<Missing>) {
        self.cluster.nodes.tell(revision, missing);
    }

    fn progress(&self, revision: u64) -> Progress {
        self.cluster.nodes.progress(revision)
    }

    fn standing(&self, revision: u64) -> Standing {
        let own = self.cluster.nodes.own();
        Standing {
            store: "ETCD",
            is_available: self.cluster.is_available(),
            is_known: own.is_some() || revision > 0,
            known: own.as_ref().map_or(revision, |own| own.seen),
            served: own.map_or(revision, |own| own.serves_all()),
        }
    }

    fn wait(&self, revision: u64, most: Duration) {
        self.cluster.nodes.wait(revision, most);
    }

    fn begin(&self, store: Weak<dyn Take>, serve: Arc<dyn Serve>) {
        let Some(runtime) = &self.runtime else {
            return;
        };
        let cluster = Arc::clone(&self.cluster);
        let follower = Follower {
            cluster: Arc::clone(&cluster),
            store,
            serve,
        };
        let tasks = [
            runtime.spawn(follower.follow()).abort_handle(),
            runtime.spawn(report(cluster)).abort_handle(),
        ];
        self.tasks.lock().extend(tasks);
    }

    fn end(&self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        self.cluster.lose("another process takes over");
        self.cluster.nodes.forget_own();
    }

    async fn leave(&self) {
        // A process that has taken over reports itself.
        let reports = !self.tasks.lock().is_empty();
        self.end();
        let Some(runtime) = self.runtime.as_ref().filter(|_| reports) else {
            return;
        };
        let cluster = Arc::clone(&self.cluster);
        let leaving = runtime.spawn(async move {
            let key = cluster.keys.node(&cluster.nodes.name);
            let txn = Txn {
                deletes: vec![Delete::Key(key)],
                ..Txn::default()
            };
            cluster.client.txn(&txn).await
        });
        if timeout(LEAVING, leaving).await.is_err() {
            log::debug!("api.store: etcd is not told that this node leaves");
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
