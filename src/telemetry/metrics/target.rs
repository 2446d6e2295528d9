//! What targets count, and the names that they come from.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::families::Families;
use super::kept::Kept;
use crate::target_address::TargetAddress;

const PASSED: &str = "passed";
const RESOLVED: &str = "resolved";
const FAILED: &str = "failed";

/// The families of targets and of their names.
pub(super) struct TargetFamilies {
    healthy: IntGaugeVec,
    checks: IntCounterVec,
    connect_errors: IntCounterVec,
    ejected: IntGaugeVec,
    ejections: IntCounterVec,
    resolutions: IntCounterVec,
    ports_exhausted: IntCounterVec,
    targets: Kept<TargetMetrics, 2>,
    names: Kept<ResolutionMetrics, 2>,
    groups: Kept<IntCounter, 1>,
}

impl TargetFamilies {
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let target = ["target_group", "target"].as_slice();
        Ok(TargetFamilies {
            healthy: families.gauge(
                "target_healthy",
                "1 while the target's health checks pass.",
                target,
            )?,
            checks: families.counter(
                "health_checks_total",
                "Health checks, by result.",
                &["target_group", "target", "result"],
            )?,
            connect_errors: families.counter(
                "target_connect_errors_total",
                "Connections to a target, for requests, that failed.",
                target,
            )?,
            ejected: families.gauge(
                "target_ejected",
                "1 while the target gets nothing new because requests to it failed.",
                target,
            )?,
            ejections: families.counter(
                "target_ejections_total",
                "Times that the target was ejected because requests to it failed.",
                target,
            )?,
            resolutions: families.counter(
                "target_resolutions_total",
                "Look-ups of the names of targets, by result.",
                &["target_group", "host", "result"],
            )?,
            ports_exhausted: families.counter(
                "source_ports_exhausted_total",
                "Connections to targets that failed because no port was left to leave from.",
                &["target_group"],
            )?,
            targets: Kept::default(),
            names: Kept::default(),
            groups: Kept::default(),
        })
    }

    /// What a target counts.
    pub(super) fn target(&self, group: &str, target: &TargetAddress) -> Arc<TargetMetrics> {
        let target = &*target.to_string();
        let labels = [group, target];
        let check = |result| self.checks.with_label_values(&[group, target, result]);
        self.targets.get(labels, || TargetMetrics {
            healthy: self.healthy.with_label_values(&labels),
            checks_passed: check(PASSED),
            checks_failed: check(FAILED),
            connect_errors: self.connect_errors.with_label_values(&labels),
            ejected: self.ejected.with_label_values(&labels),
            ejections: self.ejections.with_label_values(&labels),
        })
    }

    /// The connects for a target group for which no port was left.
    pub(super) fn ports_exhausted(&self, group: &str) -> Arc<IntCounter> {
        let child = || self.ports_exhausted.with_label_values(&[group]);
        self.groups.get([group], child)
    }

    /// What the look-ups of a name for a target group count.
    pub(super) fn resolutions(&self, group: &str, host: &str) -> Arc<ResolutionMetrics> {
        let child = |result| self.resolutions.with_label_values(&[group, host, result]);
        self.names.get([group, host], || ResolutionMetrics {
            resolved: child(RESOLVED),
            failed: child(FAILED),
        })
    }

    /// Drops the children with which nobody counts any more. One that is not there needs no
    /// removing.
    pub(super) fn forget(&self) {
        self.targets.sweep(|labels| self.forget_target(labels));
        self.groups.sweep(|labels| {
            self.ports_exhausted.remove_label_values(&labels).ok();
        });
        self.names.sweep(|[group, host]| {
            for result in [RESOLVED, FAILED] {
                let labels = [group, host, result];
                self.resolutions.remove_label_values(&labels).ok();
            }
        });
    }

    fn forget_target(&self, labels: [&str; 2]) {
        self.healthy.remove_label_values(&labels).ok();
        self.connect_errors.remove_label_values(&labels).ok();
        self.ejected.remove_label_values(&labels).ok();
        self.ejections.remove_label_values(&labels).ok();
        let [group, target] = labels;
        for result in [PASSED, FAILED] {
            let labels = [group, target, result];
            self.checks.remove_label_values(&labels).ok();
        }
    }
}

/// The counters of one target.
pub struct TargetMetrics {
    /// 1 while the target is healthy.
    pub healthy: IntGauge,
    /// Health checks that passed.
    pub checks_passed: IntCounter,
    /// Health checks that failed.
    pub checks_failed: IntCounter,
    /// Connects for a request that failed.
    pub connect_errors: IntCounter,
    /// 1 while the target is ejected.
    pub ejected: IntGauge,
    /// Times that it was.
    pub ejections: IntCounter,
}

/// The counters of the look-ups of a name.
pub struct ResolutionMetrics {
    resolved: IntCounter,
    failed: IntCounter,
}

impl ResolutionMetrics {
    /// Counts a look-up.
    pub fn count(&self, is_resolved: bool) {
        match is_resolved {
            true => self.resolved.inc(),
            false => self.failed.inc(),
        }
    }
}
