//! What the tasks of a cluster have in common.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::inbox::Inbox;
use super::standing::Standing;
use crate::config::model::Kubernetes;
use crate::gateway::news::Key;
use crate::gateway::objects::Kind;
use crate::gateway::report::Report;
use crate::telemetry::metrics::Metrics;

/// What the tasks of a cluster have in common.
pub(super) struct Shared {
    pub(super) settings: Kubernetes,
    pub(super) controller: String,
    /// Whether the texts of objects are kept, for the cache.
    pub(super) keeps_texts: bool,
    pub(super) inbox: Inbox,
    pub(super) standing: Standing,
    /// A new number, and all watches begin anew.
    pub(super) restarts: watch::Sender<u64>,
    /// The Secrets and ConfigMaps to which something refers.
    pub(super) wanted: watch::Sender<Arc<BTreeSet<Key>>>,
    /// What serves, and what is to be told of it.
    pub(super) report: watch::Sender<Arc<Report>>,
    /// This process is the node no longer.
    pub(super) retired: CancellationToken,
    /// The newest version of an object that was seen.
    newest: AtomicU64,
    metrics: OnceLock<Arc<Metrics>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(
        settings: Kubernetes,
        controller: &str,
        keeps_texts: bool,
        changed: mpsc::Sender<()>,
    ) -> Self {
        Shared {
            settings,
            controller: controller.to_owned(),
            keeps_texts,
            inbox: Inbox::new(changed),
            standing: Standing::default(),
            restarts: watch::Sender::new(0),
            wanted: watch::Sender::default(),
            report: watch::Sender::default(),
            retired: CancellationToken::new(),
            newest: AtomicU64::new(0),
            metrics: OnceLock::new(),
        }
    }

    /// From here on it is counted.
    pub(super) fn counts_in(&self, metrics: Arc<Metrics>) {
        // It is said once.
        self.metrics.set(metrics).ok();
    }

    /// A watch begins anew.
    pub(super) fn count_restart(&self, kind: Kind) {
        if let Some(metrics) = self.metrics.get() {
            metrics.gateway.watch_restarted(kind.as_str());
        }
    }

    /// A status was written, or could not be.
    pub(super) fn count_write(&self, kind: Kind, outcome: &'static str) {
        if let Some(metrics) = self.metrics.get() {
            metrics.gateway.status_written(kind.as_str(), outcome);
        }
    }

    /// What is known of the server and of this node's part.
    pub(super) fn show(&self) {
        if let Some(metrics) = self.metrics.get() {
            let standing = &self.standing;
            metrics
                .gateway
                .show_cluster(standing.is_available(), standing.is_leader());
        }
    }

    /// An object of this version was seen. Servers number them upwards.
    pub(super) fn note_version(&self, version: &str) {
        if let Ok(number) = version.parse() {
            self.newest.fetch_max(number, Relaxed);
        }
    }

    /// The newest version of an object that was seen.
    pub(super) fn newest(&self) -> u64 {
        self.newest.load(Relaxed)
    }
}
