//! What the process shows of itself.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::Collector as _;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::super::diagnostics;
use super::MemoryMetrics;
use super::families::Families;

/// What the process shows of itself.
pub struct ProcessMetrics {
    instance: IntGaugeVec,
    certificate_not_after: IntGaugeVec,
    /// What is shown of certificates that are issued by ACME.
    pub renewals: RenewalMetrics,
    config_last_reload: IntGauge,
    reloads: [IntCounter; 2],
    api_store_available: IntGaugeVec,
    api_revision: IntGaugeVec,
    pub(super) old_generations: IntGauge,
    pub(super) old_generation_tunnels: IntGauge,
    /// 1 from the beginning of a drain.
    pub draining: IntGauge,
    /// Seconds to a drain's deadline.
    pub drain_remaining: IntGauge,
    /// Lines of the access log that were lost.
    pub access_log_dropped: IntCounter,
    /// What the memory's guard shows.
    pub memory: MemoryMetrics,
}

impl ProcessMetrics {
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let labels = &["version", "commit", "commit_date"];
        let build = families.gauge("build_info", "The running version.", labels)?;
        let version = env!("CARGO_PKG_VERSION");
        build
            .with_label_values(&[version, env!("CULVERT_COMMIT"), env!("CULVERT_DATE")])
            .set(1);
        diagnostics::count_with(families.one_counter(
            "diagnostics_suppressed_total",
            "Lines on standard error that were left out because there were too many of their kind.",
        )?);
        let reloads = families.counter(
            "config_reloads_total",
            "Configurations read, by what became of them.",
            &["result"],
        )?;
        Ok(ProcessMetrics {
            instance: families.gauge("instance_info", "1, with the node's name.", &["node"])?,
            certificate_not_after: families.gauge(
                "certificate_not_after_timestamp_seconds",
                "When a certificate expires.",
                &["certificate"],
            )?,
            renewals: RenewalMetrics::new(families)?,
            config_last_reload: families.one_gauge(
                "config_last_reload_timestamp_seconds",
                "When the running configuration was applied.",
            )?,
            api_store_available: families.gauge(
                "api_store_available",
                "1 while the store of the IONOS API takes writes, else 0.",
                &["type"],
            )?,
            api_revision: families.gauge(
                "api_revision",
                "The last write over the IONOS API that this node knows, and that it serves.",
                &["kind"],
            )?,
            reloads: ["applied", "rejected"].map(|result| reloads.with_label_values(&[result])),
            old_generations: families.one_gauge(
                "old_generations",
                "Processes that have handed over to this one, or to one before it, and still run.",
            )?,
            old_generation_tunnels: families.one_gauge(
                "old_generation_tunnels",
                "Open tunnels of old generations; they are in tunnels_active, too.",
            )?,
            draining: families.one_gauge("draining", "1 from the beginning of a drain.")?,
            drain_remaining: families.one_gauge(
                "drain_remaining_seconds",
                "Seconds to the deadline of a drain.",
            )?,
            access_log_dropped: families.one_counter(
                "access_log_dropped_total",
                "Lines of the access log that were lost.",
            )?,
            memory: MemoryMetrics::new(families)?,
        })
    }

    /// Shows what the node is called.
    pub fn show_node(&self, node: &str) {
        self.instance.with_label_values(&[node]).set(1);
        for name in label_values(&self.instance, "node") {
            if name != node {
                // One that is not there needs no removing.
                self.instance.remove_label_values(&[&name]).ok();
            }
        }
    }

    /// Notes that a configuration was applied just now.
    pub fn configured(&self) {
        self.config_last_reload.set(timestamp(SystemTime::now()));
    }

    /// Shows when these certificates expire, and no others.
    pub fn show_certificates(&self, certificates: &[(&str, SystemTime)]) {
        let family = &self.certificate_not_after;
        for (name, not_after) in certificates {
            let expires = timestamp(*not_after);
            family.with_label_values(&[name]).set(expires);
        }
        let is_shown = |name: &str| certificates.iter().any(|(shown, _)| *shown == name);
        for name in label_values(family, "certificate") {
            if !is_shown(&name) {
                // One that is not there needs no removing.
                family.remove_label_values(&[&name]).ok();
            }
        }
    }

    /// Notes that a configuration was read while another was running, and whether it was applied.
    pub fn reloaded(&self, is_applied: bool) {
        let [applied, rejected] = &self.reloads;
        if is_applied {
            applied.inc();
            self.configured();
        } else {
            rejected.inc();
        }
    }

    /// Shows whether the API's store, of this type, takes writes, which write is the last that is
    /// known, and which is served.
    pub fn show_api_store(&self, kind: &str, is_available: bool, known: u64, served: u64) {
        let available = self.api_store_available.with_label_values(&[kind]);
        available.set(i64::from(is_available));
        for (kind, revision) in [("known", known), ("served", served)] {
            let revision = i64::try_from(revision).unwrap_or(i64::MAX);
            self.api_revision.with_label_values(&[kind]).set(revision);
        }
    }

    /// Shows how many old processes there are, and how many tunnels they have open.
    pub(super) fn show_old_generations(&self, processes: usize, tunnels: i64) {
        let processes = i64::try_from(processes).unwrap_or(i64::MAX);
        self.old_generations.set(processes);
        self.old_generation_tunnels.set(tunnels);
    }
}

/// What is shown of certificates that are issued by ACME.
pub struct RenewalMetrics {
    failures: IntGaugeVec,
    attempts: IntCounterVec,
}

impl RenewalMetrics {
    fn new(families: &Families) -> Result<Self, prometheus::Error> {
        Ok(RenewalMetrics {
            failures: families.gauge(
                "certificate_renewal_failures",
                "How many attempts to have a certificate issued have failed in a row.",
                &["certificate"],
            )?,
            attempts: families.counter(
                "certificate_renewals_total",
                "Attempts to have a certificate issued.",
                &["certificate", "result"],
            )?,
        })
    }

    /// Shows how many attempts to have a certificate issued have failed in a row.
    pub fn show(&self, name: &str, failures: u32) {
        let shown = self.failures.with_label_values(&[name]);
        shown.set(i64::from(failures));
    }

    /// Notes what came of an attempt: `renewed` or `failed`.
    pub fn renewed(&self, name: &str, result: &str) {
        let counter = self.attempts.with_label_values(&[name, result]);
        counter.inc();
    }

    /// Shows nothing of the renewal of other certificates than these.
    pub fn keep(&self, is_there: impl Fn(&str) -> bool) {
        let failures = &self.failures;
        for name in label_values(failures, "certificate") {
            if !is_there(&name) {
                // What is not there needs no removing.
                failures.remove_label_values(&[&name]).ok();
                for result in ["renewed", "failed"] {
                    let counters = &self.attempts;
                    counters.remove_label_values(&[&name, result]).ok();
                }
            }
        }
    }
}

/// Seconds since 1970.
fn timestamp(moment: SystemTime) -> i64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The values that a label has in a family.
fn label_values(family: &IntGaugeVec, label: &str) -> Vec<String> {
    let families = family.collect();
    let children = families.iter().flat_map(|family| family.get_metric());
    let labels = children.flat_map(|child| child.get_label());
    let values = labels.filter(|found| found.name() == label);
    values.map(|found| found.value().to_owned()).collect()
}
