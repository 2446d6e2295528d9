//! What forwarding rules and their HTTP rules count.

use std::array;
use std::iter;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use strum::{EnumCount as _, VariantArray as _};

use super::super::{Client, Record, RefusalReason, Refusals};
use super::Totals;
use super::families::Families;
use super::handshakes::{Handshakes, REQUEST_SECONDS};
use super::kept::Kept;

const TUNNEL_SECONDS: &[f64] = &[
    1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 7200.0, 14400.0, 28800.0, 43200.0, 86400.0,
];

/// The families of forwarding rules and HTTP rules.
pub(super) struct RuleFamilies {
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    handshake_seconds: HistogramVec,
    tunnel_seconds: HistogramVec,
    pub(super) bytes: IntCounterVec,
    connections_active: IntGaugeVec,
    refusals: IntCounterVec,
    refused: Arc<Refusals>,
    rules: Kept<RuleMetrics, 1>,
    http_rules: Kept<CodeCounters, 2>,
    /// How many HTTP rules were built.
    pub(super) built: IntCounter,
}

impl RuleFamilies {
    pub(super) fn new(
        families: &Families,
        refused: Arc<Refusals>,
    ) -> Result<Self, prometheus::Error> {
        let rule = ["forwarding_rule"].as_slice();
        Ok(RuleFamilies {
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
                "Requests answered with an error of our own, and connections closed for want of a \
                 request, by reason.",
                &["forwarding_rule", "reason"],
            )?,
            refused,
            rules: Kept::default(),
            http_rules: Kept::default(),
            built: families.one_counter(
                "http_rules_built_total",
                "HTTP rules that were built: all at the start, and those that a change brings.",
            )?,
        })
    }

    /// What a forwarding rule counts.
    pub(super) fn rule(&self, name: &str) -> Arc<RuleMetrics> {
        let refusals =
            |reason: RefusalReason| self.refusals.with_label_values(&[name, reason.as_str()]);
        self.rules.get([name], || RuleMetrics {
            name: name.into(),
            refused: Arc::clone(&self.refused),
            unmatched: self.http_rule(name, ""),
            request_seconds: self.request_seconds.with_label_values(&[name]),
            handshake_seconds: self.handshake_seconds.with_label_values(&[name]),
            tunnel_seconds: self.tunnel_seconds.with_label_values(&[name]),
            bytes_in: self.bytes.with_label_values(&[name, "in"]),
            bytes_out: self.bytes.with_label_values(&[name, "out"]),
            connections_active: self.connections_active.with_label_values(&[name]),
            refusals: array::from_fn(|place| refusals(RefusalReason::VARIANTS[place])),
        })
    }

    /// The names of all forwarding rules that somebody may count for.
    pub(super) fn names(&self) -> Vec<[String; 1]> {
        self.rules.labels()
    }

    /// Adds what is refused by those that somebody may count for.
    pub(super) fn add_refused(&self, refused: &mut [u64; RefusalReason::COUNT]) {
        for rule in self.rules.all() {
            for (sum, counter) in refused.iter_mut().zip(&rule.refusals) {
                *sum += counter.get();
            }
        }
    }

    /// How long the handshakes took.
    pub(super) fn handshakes(&self) -> Handshakes {
        let mut handshakes = Handshakes::default();
        for rule in self.rules.all() {
            handshakes.add(&rule.handshake_seconds);
        }
        handshakes
    }

    /// What an HTTP rule counts; the empty name stands for no rule.
    pub(super) fn http_rule(&self, rule: &str, http_rule: &str) -> Arc<CodeCounters> {
        self.http_rules.get([rule, http_rule], || CodeCounters {
            requests: self.requests.clone(),
            labels: [rule.to_owned(), http_rule.to_owned()],
            classes: Default::default(),
        })
    }

    /// Drops the children with which nobody counts any more. One that is not there needs no
    /// removing.
    pub(super) fn forget(&self, gone: &mut Totals) {
        self.rules.sweep(|labels| self.forget_rule(labels, gone));
        self.http_rules.sweep(|[rule, http_rule]| {
            for status in iter::once(0).chain(STATUSES) {
                let labels = [rule, http_rule, &status.to_string()];
                self.requests.remove_label_values(&labels).ok();
            }
        });
    }

    fn forget_rule(&self, labels: [&str; 1], gone: &mut Totals) {
        self.request_seconds.remove_label_values(&labels).ok();
        self.handshake_seconds.remove_label_values(&labels).ok();
        self.tunnel_seconds.remove_label_values(&labels).ok();
        self.connections_active.remove_label_values(&labels).ok();
        let [rule] = labels;
        gone.bytes_in += self.bytes.with_label_values(&[rule, "in"]).get();
        gone.bytes_out += self.bytes.with_label_values(&[rule, "out"]).get();
        for direction in ["in", "out"] {
            self.bytes.remove_label_values(&[rule, direction]).ok();
        }
        for reason in RefusalReason::VARIANTS {
            let labels = [rule, reason.as_str()];
            gone.refused[*reason as usize] += self.refusals.with_label_values(&labels).get();
            self.refusals.remove_label_values(&labels).ok();
        }
    }
}

/// The counters of one forwarding rule.
pub struct RuleMetrics {
    name: Arc<str>,
    refused: Arc<Refusals>,
    pub(super) unmatched: Arc<CodeCounters>,
    pub(super) request_seconds: Histogram,
    pub(super) handshake_seconds: Histogram,
    pub(super) tunnel_seconds: Histogram,
    pub(super) bytes_in: IntCounter,
    pub(super) bytes_out: IntCounter,
    pub(super) connections_active: IntGauge,
    pub(super) refusals: [IntCounter; RefusalReason::COUNT],
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

    /// How many answers of 5xx there were where no HTTP rule was met.
    pub fn unmatched_errors(&self) -> u64 {
        self.unmatched.server_errors()
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

    /// Counts a refusal of what became no exchange.
    pub fn refuse(&self, reason: RefusalReason, client: Client) {
        self.refusals[reason as usize].inc();
        self.refused.note(&self.name, reason, client);
    }

    /// Counts an exchange that is over. `requests` are the counters of the HTTP rule that matched,
    /// if one did.
    pub fn count(&self, record: &Record, requests: Option<&Arc<CodeCounters>>) {
        requests.unwrap_or(&self.unmatched).count(record.status);
        self.bytes_in
            .inc_by(record.bytes.request_header + record.bytes.request_body);
        self.bytes_out
            .inc_by(record.bytes.response_header + record.bytes.response_body);
        if let Some(reason) = record.refusal {
            self.refusals[reason as usize].inc();
            self.refused.note_exchange(record, reason);
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
const STATUSES: Range<u16> = 100..600;

/// Those of a class, 2xx say; the first class is that of no answer.
const OF_A_CLASS: u16 = 100;
const CLASSES: usize = 6;
const SERVER_ERRORS: usize = 5;

/// The children of a class.
type Class = Box<[OnceLock<IntCounter>]>;

/// `requests_total` of one HTTP rule: a child for each status from 100 to 599, made when it is
/// first seen, and one, labelled 0, for exchanges without an answer.
pub struct CodeCounters {
    pub(super) requests: IntCounterVec,
    pub(super) labels: [String; 2],
    /// Most rules see few of them.
    classes: [OnceLock<Class>; CLASSES],
}

impl CodeCounters {
    /// Makes the child for a status that the configuration knows.
    pub fn expect(&self, status: u16) {
        self.child(Some(status));
    }

    /// How many exchanges there were, whatever their status.
    pub fn total(&self) -> u64 {
        let classes = self.classes.iter().filter_map(OnceLock::get);
        let children = classes.flatten().filter_map(OnceLock::get);
        children.map(IntCounter::get).sum()
    }

    /// How many had an answer of 5xx.
    pub fn server_errors(&self) -> u64 {
        let class = self.classes[SERVER_ERRORS].get();
        let children = class.into_iter().flatten().filter_map(OnceLock::get);
        children.map(IntCounter::get).sum()
    }

    pub(super) fn count(&self, status: Option<u16>) {
        self.child(status).inc();
    }

    pub(super) fn child(&self, status: Option<u16>) -> &IntCounter {
        let status = status
            .filter(|status| STATUSES.contains(status))
            .unwrap_or(0);
        let class = usize::from(status / OF_A_CLASS).min(CLASSES - 1);
        let class =
            self.classes[class].get_or_init(|| (0..OF_A_CLASS).map(|_| OnceLock::new()).collect());
        class[usize::from(status % OF_A_CLASS)].get_or_init(|| {
            let [forwarding_rule, http_rule] = &self.labels;
            self.requests
                .with_label_values(&[forwarding_rule, http_rule, &status.to_string()])
        })
    }
}

/// A connection that is open, and counted as such for as long as this is kept.
pub struct Active(Arc<RuleMetrics>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.connections_active.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;

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
