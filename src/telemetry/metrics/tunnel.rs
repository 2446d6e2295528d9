//! What tunnels count.

use std::array;
use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use strum::{EnumCount as _, VariantArray as _};

use super::super::CloseReason;
use super::Totals;
use super::families::Families;
use super::kept::Kept;
use crate::target_address::TargetAddress;

/// The families of tunnels.
pub(super) struct TunnelFamilies {
    pub(super) active: IntGaugeVec,
    opened: IntCounterVec,
    adopted: IntCounterVec,
    pub(super) closed: IntCounterVec,
    closes: Kept<CloseCounters, 2>,
    tunnels: Kept<TargetTunnels, 3>,
}

impl TunnelFamilies {
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let tunnel = ["forwarding_rule", "target_group", "target"].as_slice();
        Ok(TunnelFamilies {
            active: families.gauge("tunnels_active", "Open tunnels.", tunnel)?,
            opened: families.counter("tunnels_opened_total", "Tunnels opened.", tunnel)?,
            adopted: families.counter(
                "tunnels_adopted_total",
                "Tunnels taken over from an old process.",
                tunnel,
            )?,
            closed: families.counter(
                "tunnels_closed_total",
                "Tunnels closed, by reason.",
                &["forwarding_rule", "target_group", "reason"],
            )?,
            closes: Kept::default(),
            tunnels: Kept::default(),
        })
    }

    /// What the tunnels from a forwarding rule to a target group count.
    pub(super) fn tunnels<'a>(
        &self,
        rule: &str,
        group: &str,
        targets: impl Iterator<Item = &'a TargetAddress>,
    ) -> TunnelMetrics {
        let per_target = targets.map(|target| {
            let labels = [rule, group, &target.to_string()];
            self.tunnels.get(labels, || TargetTunnels {
                active: self.active.with_label_values(&labels),
                opened: self.opened.with_label_values(&labels),
                adopted: self.adopted.with_label_values(&labels),
            })
        });
        TunnelMetrics {
            per_target: per_target.collect(),
            closes: self.closes(rule, group),
        }
    }

    /// How many are open with these labels, without a look at the others.
    pub(super) fn open(&self, labels: [&str; 3]) -> i64 {
        let tunnels = self.tunnels.known(labels);
        tunnels.map_or(0, |tunnels| tunnels.active.get())
    }

    fn closes(&self, rule: &str, group: &str) -> Arc<CloseCounters> {
        let child = |reason: CloseReason| {
            let labels = [rule, group, reason.as_str()];
            self.closed.with_label_values(&labels)
        };
        let make = || CloseCounters(array::from_fn(|place| child(CloseReason::VARIANTS[place])));
        self.closes.get([rule, group], make)
    }

    /// Drops the children with which nobody counts any more. One that is not there needs no
    /// removing.
    pub(super) fn forget(&self, gone: &mut Totals) {
        self.closes.sweep(|[rule, group]| {
            for reason in CloseReason::VARIANTS {
                let labels = [rule, group, reason.as_str()];
                gone.closed[*reason as usize] += self.closed.with_label_values(&labels).get();
                self.closed.remove_label_values(&labels).ok();
            }
        });
        self.tunnels.sweep(|labels| {
            self.active.remove_label_values(&labels).ok();
            self.opened.remove_label_values(&labels).ok();
            self.adopted.remove_label_values(&labels).ok();
        });
    }
}

/// The counters of the tunnels from one forwarding rule to one target group.
pub struct TunnelMetrics {
    per_target: Box<[Arc<TargetTunnels>]>,
    /// Where their ends are counted.
    pub closes: Arc<CloseCounters>,
}

/// The counters of the tunnels from one forwarding rule to one target.
struct TargetTunnels {
    active: IntGauge,
    opened: IntCounter,
    adopted: IntCounter,
}

/// `tunnels_closed_total` of the tunnels from one forwarding rule to one target group.
pub struct CloseCounters([IntCounter; CloseReason::COUNT]);

impl TunnelMetrics {
    /// Counts a tunnel that opens, to the target at this place in its group, as active until the
    /// guard is dropped.
    pub fn open(&self, target: usize) -> Option<ActiveTunnel> {
        let tunnels = self.per_target.get(target)?;
        tunnels.opened.inc();
        tunnels.active.inc();
        Some(ActiveTunnel(Arc::clone(tunnels)))
    }

    /// The same of a tunnel that was opened in another process.
    pub fn adopt(&self, target: usize) -> Option<ActiveTunnel> {
        let tunnels = self.per_target.get(target)?;
        tunnels.adopted.inc();
        tunnels.active.inc();
        Some(ActiveTunnel(Arc::clone(tunnels)))
    }
}

impl CloseCounters {
    /// Counts a tunnel that is over.
    pub fn close(&self, reason: CloseReason) {
        self.0[reason as usize].inc();
    }
}

/// A tunnel that is open, and counted as such for as long as this is kept.
pub struct ActiveTunnel(Arc<TargetTunnels>);

impl Drop for ActiveTunnel {
    fn drop(&mut self) {
        self.0.active.dec();
    }
}
