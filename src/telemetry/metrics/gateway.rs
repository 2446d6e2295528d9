//! What is shown of the objects of the Gateway API.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{Histogram, IntGaugeVec};

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

    /// Notes that the objects were read, and how long it took until they served.
    pub fn changed(&self, after: Duration) {
        self.changes.observe(after.as_secs_f64());
    }
}
