//! The children of the families, as those who count hold them.

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::super::{CloseReason, Record, RefusalReason};

/// The counters of one forwarding rule.
pub struct RuleMetrics {
    pub(super) unmatched: Arc<CodeCounters>,
    pub(super) request_seconds: Histogram,
    pub(super) handshake_seconds: Histogram,
    pub(super) tunnel_seconds: Histogram,
    pub(super) bytes_in: IntCounter,
    pub(super) bytes_out: IntCounter,
    pub(super) connections_active: IntGauge,
    pub(super) refusals: [IntCounter; RefusalReason::ALL.len()],
}

impl RuleMetrics {
    /// How many connections are open.
    pub fn connections(&self) -> i64 {
        self.connections_active.get()
    }

    /// How many requests met no HTTP rule.
    pub fn unmatched(&self) -> u64 {
        self.unmatched.total()
    }

    /// Counts an open connection until the guard is dropped.
    pub fn connection(self: &Arc<Self>) -> Active {
        self.connections_active.inc();
        Active(Arc::clone(self))
    }

    /// Notes that a handshake led to a tunnel.
    pub fn handshake(&self, took: Duration) {
        self.handshake_seconds.observe(took.as_secs_f64());
    }

    /// Counts a refusal, of what may have been no exchange yet.
    pub fn refuse(&self, reason: RefusalReason) {
        self.refusals[reason as usize].inc();
    }

    /// Counts an exchange that is over. `requests` are the counters of the HTTP rule that matched, if one did.
    pub fn count(&self, record: &Record, requests: Option<&Arc<CodeCounters>>) {
        requests.unwrap_or(&self.unmatched).count(record.status);
        self.bytes_in
            .inc_by(record.bytes.request_header + record.bytes.request_body);
        self.bytes_out
            .inc_by(record.bytes.response_header + record.bytes.response_body);
        if let Some(reason) = record.refusal {
            self.refuse(reason);
        }
        let seconds = if record.upgraded {
            &self.tunnel_seconds
        } else {
            &self.request_seconds
        };
        seconds.observe(record.clock.elapsed().as_secs_f64());
    }
}

/// The statuses that are counted one by one.
pub(super) const STATUSES: Range<u16> = 100..600;
pub(super) const CODES: usize = 501;

/// `requests_total` of one HTTP rule: a child for each status from 100 to 599, made when it is first seen, and one, labelled
/// 0, for exchanges without an answer.
pub struct CodeCounters {
    pub(super) requests: IntCounterVec,
    pub(super) labels: [String; 2],
    pub(super) codes: Box<[OnceLock<IntCounter>]>,
}

impl CodeCounters {
    /// Makes the child for a status that the configuration knows.
    pub fn expect(&self, status: u16) {
        self.child(Some(status));
    }

    /// How many exchanges there were, whatever their status.
    pub fn total(&self) -> u64 {
        let children = self.codes.iter().filter_map(OnceLock::get);
        children.map(IntCounter::get).sum()
    }

    pub(super) fn count(&self, status: Option<u16>) {
        self.child(status).inc();
    }

    pub(super) fn child(&self, status: Option<u16>) -> &IntCounter {
        let status = status
            .filter(|status| STATUSES.contains(status))
            .unwrap_or(0);
        let place = usize::from(status.saturating_sub(99)).min(CODES - 1);
        self.codes[place].get_or_init(|| {
            let [forwarding_rule, http_rule] = &self.labels;
            self.requests
                .with_label_values(&[forwarding_rule, http_rule, &status.to_string()])
        })
    }
}

/// The counters of the tunnels from one forwarding rule to one target group.
pub struct TunnelMetrics {
    pub(super) per_target: Box<[Arc<TargetTunnels>]>,
    /// Where their ends are counted.
    pub closes: Arc<CloseCounters>,
}

/// The counters of the tunnels from one forwarding rule to one target.
pub(super) struct TargetTunnels {
    pub(super) active: IntGauge,
    pub(super) opened: IntCounter,
}

/// `tunnels_closed_total` of the tunnels from one forwarding rule to one target group.
pub struct CloseCounters(pub(super) [IntCounter; CloseReason::ALL.len()]);

impl TunnelMetrics {
    /// Counts a tunnel that opens, to the target at this place in its group, as active until the guard is dropped.
    pub fn open(&self, target: usize) -> Option<ActiveTunnel> {
        let tunnels = self.per_target.get(target)?;
        tunnels.opened.inc();
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
    pub(super) resolved: IntCounter,
    pub(super) failed: IntCounter,
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

/// A connection that is open, and counted as such for as long as this is kept.
pub struct Active(Arc<RuleMetrics>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.connections_active.dec();
    }
}

/// A tunnel that is open, and counted as such for as long as this is kept.
pub struct ActiveTunnel(Arc<TargetTunnels>);

impl Drop for ActiveTunnel {
    fn drop(&mut self) {
        self.0.active.dec();
    }
}
