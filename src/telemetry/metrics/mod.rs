//! The metrics, for Prometheus.
//!
//! Their labels come from the configuration, so their number is bounded by it. A child is looked up once, when what it
//! counts is built; counting is then one atomic addition. Children exist, at 0, from the start wherever the configuration
//! knows their labels, and until nobody counts with them any more: the configuration, an exchange, a tunnel.

mod counters;
mod families;
mod forget;
mod kept;
mod memory;
mod open;
mod totals;

use crate::target_address::TargetAddress;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder as _, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder,
};

use super::{CloseReason, RefusalReason, diagnostics};
pub use counters::{
    Active, ActiveTunnel, CloseCounters, CodeCounters, ResolutionMetrics, RuleMetrics,
    TargetMetrics, TunnelMetrics,
};
use counters::{CODES, TargetTunnels};
use families::Families;
use kept::Kept;
pub use memory::MemoryMetrics;
pub use open::Open;
pub use totals::Totals;

const REQUEST_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
const TUNNEL_SECONDS: &[f64] = &[
    1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 7200.0, 14400.0, 28800.0, 43200.0, 86400.0,
];

const PASSED: &str = "passed";
const RESOLVED: &str = "resolved";
const FAILED: &str = "failed";

/// All families. One for the process.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    handshake_seconds: HistogramVec,
    tunnels_active: IntGaugeVec,
    tunnels_opened: IntCounterVec,
    tunnels_closed: IntCounterVec,
    tunnel_seconds: HistogramVec,
    bytes: IntCounterVec,
    connections_active: IntGaugeVec,
    refusals: IntCounterVec,
    target_healthy: IntGaugeVec,
    health_checks: IntCounterVec,
    target_connect_errors: IntCounterVec,
    target_resolutions: IntCounterVec,
    source_ports_exhausted: IntCounterVec,
    target_ejected: IntGaugeVec,
    target_ejections: IntCounterVec,
    certificate_not_after: IntGaugeVec,
    config_last_reload: IntGauge,
    reloads: [IntCounter; 2],
    old_generations: IntGauge,
    old_generation_tunnels: IntGauge,
    /// What other processes have open, to be shown with what this one has.
    elsewhere: Mutex<Vec<Open>>,
    /// What was counted by children that were dropped.
    gone: Mutex<Totals>,
    /// 1 from the beginning of a drain.
    pub draining: IntGauge,
    /// Seconds to a drain's deadline.
    pub drain_remaining: IntGauge,
    /// Lines of the access log that were lost.
    pub access_log_dropped: IntCounter,
    /// What the memory's guard shows.
    pub memory: MemoryMetrics,
    rules: Kept<RuleMetrics, 1>,
    http_rules: Kept<CodeCounters, 2>,
    closes: Kept<CloseCounters, 2>,
    tunnels: Kept<TargetTunnels, 3>,
    targets: Kept<TargetMetrics, 2>,
    resolutions: Kept<ResolutionMetrics, 2>,
    exhausted: Kept<IntCounter, 1>,
}

impl Metrics {
    /// The families, with those children that need no configuration. Fails only on a name that Prometheus refuses.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let families = Families(&registry);
        let version = families.gauge("build_info", "The running version.", &["version"])?;
        version
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        let reloads = families.counter(
            "config_reloads_total",
            "Configurations read, by what became of them.",
            &["result"],
        )?;
        let reloads = ["applied", "rejected"].map(|result| reloads.with_label_values(&[result]));
        registry.register(Box::new(ProcessCollector::for_self()))?;
        diagnostics::count_with(families.one_counter(
            "diagnostics_suppressed_total",
            "Lines on standard error that were left out because there were too many of their kind.",
        )?);
        let rule = ["forwarding_rule"].as_slice();
        let tunnel = ["forwarding_rule", "target_group", "target"].as_slice();
        let target = ["target_group", "target"].as_slice();
        Ok(Metrics {
            requests: families.counter(
                "requests_total",
                "Exchanges that are over, by the status that the client saw.",
                &["forwarding_rule", "http_rule", "code"],
            )?,
            request_seconds: families.histogram(
                "request_duration_seconds",
                "From a plain request to the end of its answer.",
                rule,
                REQUEST_SECONDS,
            )?,
            handshake_seconds: families.histogram(
                "handshake_duration_seconds",
                "From a WebSocket handshake to its 101.",
                rule,
                REQUEST_SECONDS,
            )?,
            tunnels_active: families.gauge("tunnels_active", "Open tunnels.", tunnel)?,
            tunnels_opened: families.counter("tunnels_opened_total", "Tunnels opened.", tunnel)?,
            tunnels_closed: families.counter(
                "tunnels_closed_total",
                "Tunnels closed, by reason.",
                &["forwarding_rule", "target_group", "reason"],
            )?,
            tunnel_seconds: families.histogram(
                "tunnel_duration_seconds",
                "From a WebSocket handshake to the tunnel's close.",
                rule,
                TUNNEL_SECONDS,
            )?,
            bytes: families.counter(
                "bytes_total",
                "Bytes of exchanges that are over, in from clients and out to them.",
                &["forwarding_rule", "direction"],
            )?,
            connections_active: families.gauge("connections_active", "Open connections.", rule)?,
            refusals: families.counter(
                "refusals_total",
                "Requests answered with an error of our own, and connections closed for want of a request, by reason.",
                &["forwarding_rule", "reason"],
            )?,
            target_healthy: families.gauge(
                "target_healthy",
                "1 while the target's health checks pass.",
                target,
            )?,
            health_checks: families.counter(
                "health_checks_total",
                "Health checks, by result.",
                &["target_group", "target", "result"],
            )?,
            target_connect_errors: families.counter(
                "target_connect_errors_total",
                "Connections to a target, for requests, that failed.",
                target,
            )?,
            target_resolutions: families.counter(
                "target_resolutions_total",
                "Look-ups of the names of targets, by result.",
                &["target_group", "host", "result"],
            )?,
            source_ports_exhausted: families.counter(
                "source_ports_exhausted_total",
                "Connections to targets that failed because no port was left to leave from.",
                &["target_group"],
            )?,
            target_ejected: families.gauge(
                "target_ejected",
                "1 while the target gets nothing new because requests to it failed.",
                target,
            )?,
            target_ejections: families.counter(
                "target_ejections_total",
                "Times that the target was ejected because requests to it failed.",
                target,
            )?,
            certificate_not_after: families.gauge(
                "certificate_not_after_timestamp_seconds",
                "When a certificate expires.",
                &["certificate"],
            )?,
            config_last_reload: families.one_gauge(
                "config_last_reload_timestamp_seconds",
                "When the running configuration was applied.",
            )?,
            reloads,
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
            memory: MemoryMetrics::new(&families)?,
            elsewhere: Mutex::default(),
            gone: Mutex::default(),
            rules: Kept::default(),
            http_rules: Kept::default(),
            closes: Kept::default(),
            tunnels: Kept::default(),
            targets: Kept::default(),
            resolutions: Kept::default(),
            exhausted: Kept::default(),
            access_log_dropped: families.one_counter(
                "access_log_dropped_total",
                "Lines of the access log that were lost.",
            )?,
            registry,
        })
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

    /// All metrics in Prometheus' text format.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        self.forget();
        let mut text = Vec::new();
        let mut families = self.registry.gather();
        self.add_elsewhere(&mut families);
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// What a forwarding rule counts.
    pub fn forwarding_rule(&self, name: &str) -> Arc<RuleMetrics> {
        self.rules.get([name], || RuleMetrics {
            unmatched: self.http_rule(name, ""),
            request_seconds: self.request_seconds.with_label_values(&[name]),
            handshake_seconds: self.handshake_seconds.with_label_values(&[name]),
            tunnel_seconds: self.tunnel_seconds.with_label_values(&[name]),
            bytes_in: self.bytes.with_label_values(&[name, "in"]),
            bytes_out: self.bytes.with_label_values(&[name, "out"]),
            connections_active: self.connections_active.with_label_values(&[name]),
            refusals: RefusalReason::ALL
                .map(|reason| self.refusals.with_label_values(&[name, reason.as_str()])),
        })
    }

    /// What an HTTP rule counts; the empty name stands for no rule.
    pub fn http_rule(&self, forwarding_rule: &str, http_rule: &str) -> Arc<CodeCounters> {
        self.http_rules
            .get([forwarding_rule, http_rule], || CodeCounters {
                requests: self.requests.clone(),
                labels: [forwarding_rule.to_owned(), http_rule.to_owned()],
                codes: (0..CODES).map(|_| OnceLock::new()).collect(),
            })
    }

    /// What the tunnels from a forwarding rule to a target group count.
    pub fn tunnels<'a>(
        &self,
        forwarding_rule: &str,
        target_group: &str,
        targets: impl Iterator<Item = &'a TargetAddress>,
    ) -> TunnelMetrics {
        let per_target = targets.map(|target| {
            let labels = [forwarding_rule, target_group, &target.to_string()];
            self.tunnels.get(labels, || TargetTunnels {
                active: self.tunnels_active.with_label_values(&labels),
                opened: self.tunnels_opened.with_label_values(&labels),
            })
        });
        TunnelMetrics {
            per_target: per_target.collect(),
            closes: self.closes(forwarding_rule, target_group),
        }
    }

    fn closes(&self, forwarding_rule: &str, target_group: &str) -> Arc<CloseCounters> {
        let child = |reason: CloseReason| {
            self.tunnels_closed
                .with_label_values(&[forwarding_rule, target_group, reason.as_str()])
        };
        self.closes.get([forwarding_rule, target_group], || {
            CloseCounters(CloseReason::ALL.map(child))
        })
    }

    /// What a target counts.
    pub fn target(&self, target_group: &str, target: &TargetAddress) -> Arc<TargetMetrics> {
        let labels = [target_group, &target.to_string()];
        let [group, target] = labels;
        let check = |result| {
            self.health_checks
                .with_label_values(&[group, target, result])
        };
        self.targets.get(labels, || TargetMetrics {
            healthy: self.target_healthy.with_label_values(&labels),
            checks_passed: check(PASSED),
            checks_failed: check(FAILED),
            connect_errors: self.target_connect_errors.with_label_values(&labels),
            ejected: self.target_ejected.with_label_values(&labels),
            ejections: self.target_ejections.with_label_values(&labels),
        })
    }
}

impl Metrics {
    /// The connects for a target group for which no port was left.
    pub fn source_ports_exhausted(&self, target_group: &str) -> Arc<IntCounter> {
        let labels = [target_group];
        self.exhausted.get(labels, || {
            self.source_ports_exhausted.with_label_values(&labels)
        })
    }

    /// What the look-ups of a name for a target group count.
    pub fn resolutions(&self, target_group: &str, host: &str) -> Arc<ResolutionMetrics> {
        let child = |result| {
            self.target_resolutions
                .with_label_values(&[target_group, host, result])
        };
        self.resolutions
            .get([target_group, host], || ResolutionMetrics {
                resolved: child(RESOLVED),
                failed: child(FAILED),
            })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_that_the_configuration_knows_start_at_zero() {
        let metrics = Metrics::new().unwrap();
        let address = &"192.0.2.1:80".parse().unwrap();
        let http_rule = metrics.http_rule("edge", "hello");
        http_rule.expect(200);
        let _rule = metrics.forwarding_rule("edge");
        let _target = metrics.target("chat", address);
        let _tunnels = metrics.tunnels("edge", "chat", [address].into_iter());

        let text = metrics.text().unwrap();

        for line in [
            r#"culvert_requests_total{code="200",forwarding_rule="edge",http_rule="hello"} 0"#,
            r#"culvert_refusals_total{forwarding_rule="edge",reason="no_target"} 0"#,
            r#"culvert_tunnels_active{forwarding_rule="edge",target="192.0.2.1:80",target_group="chat"} 0"#,
            r#"culvert_tunnels_closed_total{forwarding_rule="edge",reason="client_closed",target_group="chat"} 0"#,
            r#"culvert_health_checks_total{result="failed",target="192.0.2.1:80",target_group="chat"} 0"#,
            r#"culvert_bytes_total{direction="in",forwarding_rule="edge"} 0"#,
            r#"culvert_draining 0"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_status_out_of_range_is_counted_as_none() {
        let metrics = Metrics::new().unwrap();
        let counters = metrics.http_rule("edge", "hello");
        for status in [None, Some(99), Some(600), Some(u16::MAX)] {
            counters.count(status);
        }
        counters.count(Some(599));
        counters.count(Some(100));
        assert_eq!(counters.child(None).get(), 4);
        assert_eq!(counters.child(Some(599)).get(), 1);
        assert_eq!(counters.child(Some(100)).get(), 1);
    }
}
