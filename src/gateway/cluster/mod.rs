//! Objects of a cluster: what its API server has of them, and what it is told of them.
//!
//! ```text
//! resources ▸ watch ──┐                        ┌▸ leases: of this node, of the leader
//!             fetch ──┼▸ inbox ▸ (gateways) ▸ report
//!             bundle ─┘                        └▸ write: statuses, where this node leads
//! ```
//!
//! All of it is on a thread of its own, from the start of the process to its end, and nothing that
//! serves waits for it. A server that is away is asked again and again, with pauses that do not
//! grow long; what was there before serves on meanwhile.

mod bundle;
mod client;
mod desired;
mod echo;
mod fetch;
mod inbox;
mod leases;
mod raw;
mod resources;
mod shared;
mod standing;
mod told;
mod watch;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::client::Clients;
use self::leases::Leases;
use self::shared::Shared;
use self::write::Writer;
use super::news::{Key, News};
use super::objects::Kind;
use super::report::Report;
use crate::config::model::{self, Kubernetes};
use crate::telemetry::metrics::Metrics;

/// When what a client needs is looked for again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the end of the process may wait for the leases to be given back.
const LEAVING: Duration = Duration::from_secs(3);

/// A cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    shared: Arc<Shared>,
    changes: Mutex<Option<mpsc::Receiver<()>>>,
    /// The leases are given back.
    has_left: CancellationToken,
}

/// What is wrong with how a cluster is to be reached, in words.
pub(super) fn check(settings: &Kubernetes) -> Result<(), String> {
    let runtime = runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(client::config(&settings.access)).map(drop)
}

impl Cluster {
    /// Begins to follow it. Errors: there is no thread.
    pub(super) fn follow(gateway: &model::Gateway, settings: &Kubernetes) -> Result<Self, String> {
        let (changed, changes) = mpsc::channel(1);
        let keeps_texts = gateway.cache.is_some();
        let controller = &gateway.controller_name;
        let shared = Shared::new(settings.clone(), controller, keeps_texts, changed);
        let shared = Arc::new(shared);
        let has_left = CancellationToken::new();
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let running = run(Arc::clone(&shared), has_left.clone());
        let thread = thread::Builder::new().name("kubernetes".to_owned());
        let started = thread.spawn(move || runtime.block_on(running));
        started.map_err(|error| error.to_string())?;
        Ok(Cluster {
            shared,
            changes: Mutex::new(Some(changes)),
            has_left,
        })
    }

    /// From here on it is counted.
    pub(super) fn counts_in(&self, metrics: Arc<Metrics>) {
        self.shared.counts_in(metrics);
    }

    /// A word whenever there is something to take; whoever asks first has it.
    pub(super) fn changes(&self) -> Option<mpsc::Receiver<()>> {
        self.changes.lock().take()
    }

    /// Waits until it is known what there is. Tells whether it is.
    pub(super) fn wait(&self, longest: Duration) -> bool {
        self.shared.inbox.wait_for_all(longest)
    }

    /// What was told since it was taken last, once it is known what there is; nothing before.
    pub(super) fn take(&self) -> Option<News> {
        self.shared.inbox.take()
    }

    /// Has these Secrets and ConfigMaps read, and no others; if they are others than before, waits
    /// until they are. Tells whether they are others.
    pub(super) fn want(&self, keys: BTreeSet<Key>, longest: Duration) -> bool {
        if **self.shared.wanted.borrow() == keys {
            return false;
        }
        let keys = Arc::new(keys);
        self.shared.wanted.send_replace(Arc::clone(&keys));
        self.shared.inbox.wait_for(&keys, longest);
        true
    }

    /// The version of the definitions of the API.
    pub(super) fn bundle(&self) -> Option<String> {
        self.shared.inbox.bundle()
    }

    /// What cannot be read now, a line each.
    pub(super) fn troubles(&self) -> Vec<String> {
        self.shared.inbox.troubles()
    }

    /// The newest version of an object that was seen.
    pub(super) fn newest(&self) -> u64 {
        self.shared.newest()
    }

    /// What serves now, and what is to be told of it.
    pub(super) fn report(&self, report: Arc<Report>) {
        self.shared.report.send_replace(report);
    }

    /// This process is the node no longer: another one may write the statuses.
    pub(super) fn retire(&self) {
        self.shared.retired.cancel();
    }

    /// The same, and waits for it, though not for long.
    pub(super) async fn leave(&self) {
        self.retire();
        // What cannot be given back runs out.
        timeout(LEAVING, self.has_left.cancelled()).await.ok();
    }
}

async fn run(shared: Arc<Shared>, has_left: CancellationToken) {
    let clients = loop {
        match client::client(&shared.settings.access).await {
            Ok(client) => break Clients::new(client),
            Err(why) => shared.inbox.trouble("client", Some(why)),
        }
        tokio::select! {
            () = sleep(AGAIN) => {}
            () = shared.retired.cancelled() => {
                has_left.cancel();
                return;
            }
        }
    };
    shared.inbox.trouble("client", None);
    for watched in resources::WATCHED {
        let (shared, clients) = (Arc::clone(&shared), clients.clone());
        tokio::spawn(async move { watch::watch(&shared, clients, watched).await });
    }
    let fetched = [
        (Kind::Secret, resources::secrets()),
        (Kind::ConfigMap, resources::config_maps()),
    ];
    for (kind, resource) in fetched {
        let (shared, clients) = (Arc::clone(&shared), clients.clone());
        tokio::spawn(async move { fetch::fetch(&shared, clients, kind, resource).await });
    }
    let mut writer = Writer::new(&shared, clients.clone());
    let mut leases = Leases::new(&shared, clients.clone());
    tokio::join!(
        bundle::follow(&shared, clients.clone()),
        leases::follow_nodes(&shared, clients.clone()),
        writer.run(),
        async {
            leases.keep().await;
            has_left.cancel();
        },
    );
}
