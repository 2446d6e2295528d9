//! What is shown of the objects of the Gateway API.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{Histogram, IntCounterVec, IntGaugeVec};

use super::families::Families;

/// Until what the objects have come to serves, in seconds.
const BUCKETS: [f64; 8] = [0.001, 0.005, 0.02, 0.05, 0.2, 1.0, 5.0, 20.0];

/// How many conditions there are of a kind of objects, of a type, with a status.
pub type Conditions = BTreeMap<[&'static str; 3], i64>;

/// What is shown of the objects.
pub struct GatewayMetrics {
    conditions: IntGaugeVec,
    shown: Mutex<Conditions>,
    changes: Histogram,
    objects: IntGaugeVec,
    revision: IntGaugeVec,
    is_leader: IntGaugeVec,
    is_available: IntGaugeVec,
    restarts: IntCounterVec,
    writes: IntCounterVec,
}

impl GatewayMetrics {
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let changes = families.histogram(
            "gateway_change_duration_seconds",
            "From reading the objects of the Gateway API to serving what came of them.",
            &[],
            &BUCKETS,
        )?;
        Ok(GatewayMetrics {
            conditions: families.gauge(
                "gateway_conditions",
                "Conditions of objects of the Gateway API.",
                &["kind", "condition", "status"],
            )?,
            shown: Mutex::default(),
            changes: changes.with_label_values::<&str>(&[]),
            objects: families.gauge(
                "gateway_objects",
                "Objects that a cluster has of the Gateway API and of what it refers to.",
                &["kind"],
            )?,
            revision: families.gauge(
                "gateway_revision",
                "The newest resourceVersion of an object when what serves was made.",
                &[],
            )?,
            is_leader: families.gauge(
                "gateway_leader",
                "Whether this node writes the statuses of the cluster's objects.",
                &[],
            )?,
            is_available: families.gauge(
                "gateway_server_available",
                "Whether the cluster's API server answers.",
                &[],
            )?,
            restarts: families.counter(
                "gateway_watch_restarts_total",
                "How often a watch of the cluster's objects has begun anew.",
                &["kind"],
            )?,
            writes: families.counter(
                "gateway_status_writes_total",
                "Statuses of the cluster's objects that were to be written.",
                &["kind", "outcome"],
            )?,
        })
    }

    /// Shows these conditions, and no others.
    pub fn show(&self, conditions: Conditions) {
        let mut shown = self.shown.lock();
        for (labels, count) in &conditions {
            self.conditions.with_label_values(labels).set(*count);
        }
        for labels in shown
            .keys()
            .filter(|labels| !conditions.contains_key(*labels))
        {
            // One that is not there needs no removing.
            self.conditions.remove_label_values(labels).ok();
        }
        *shown = conditions;
    }

    /// Shows how many objects there are.
    pub fn show_objects(&self, counts: BTreeMap<&'static str, i64>) {
        self.objects.reset();
        for (kind, count) in counts {
            self.objects.with_label_values(&[kind]).set(count);
        }
    }

    /// Shows up to which version objects serve.
    pub fn show_revision(&self, revision: u64) {
        let revision = i64::try_from(revision).unwrap_or(i64::MAX);
        self.revision.with_label_values::<&str>(&[]).set(revision);
    }

    /// Shows whether the server answers, and whether this node writes statuses.
    pub fn show_cluster(&self, is_available: bool, is_leader: bool) {
        let (available, leader) = (&self.is_available, &self.is_leader);
        available
            .with_label_values::<&str>(&[])
            .set(is_available.into());
        leader.with_label_values::<&str>(&[]).set(is_leader.into());
    }

    /// Notes that a watch of a kind begins anew.
    pub fn watch_restarted(&self, kind: &str) {
        self.restarts.with_label_values(&[kind]).inc();
    }

    /// Notes what came of writing a status.
    pub fn status_written(&self, kind: &str, outcome: &str) {
        self.writes.with_label_values(&[kind, outcome]).inc();
    }

    /// Notes that the objects were read, and how long it took until they served.
    pub fn changed(&self, after: Duration) {
        self.changes.observe(after.as_secs_f64());
    }
}
