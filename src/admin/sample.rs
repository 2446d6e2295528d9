//! What happened between two moments, out of what was counted up to each of them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Instant, SystemTime};

use serde::{Serialize, Serializer};
use strum::VariantArray as _;
use utoipa::ToSchema;

use crate::telemetry::metrics::{Handshakes, Totals};
use crate::telemetry::{CloseReason, RefusalReason};

/// Answers of 5xx since the process began, by forwarding rule and HTTP rule; the empty name stands
/// for no rule. Those without are left out.
pub(super) type Errors = HashMap<(String, String), u64>;

/// What was counted up to a moment, and what was open then.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) moment: Instant,
    pub(super) at: SystemTime,
    pub(super) totals: Totals,
    pub(super) tunnels: usize,
    /// The groups with the most tunnels, the most first.
    pub(super) groups: Vec<Open>,
    pub(super) opened: u64,
    pub(super) handshakes: Handshakes,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) errors: Errors,
    pub(super) memory_bytes: u64,
}

/// Some seconds of the process.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sample {
    /// It grows by one from each to the next.
    pub(super) number: u64,
    /// Its end: RFC 3339, UTC.
    #[serde(rename = "time", serialize_with = "rfc3339")]
    #[schema(value_type = String)]
    pub(super) at: SystemTime,
    /// How long it is.
    pub(super) seconds: f64,
    /// Open tunnels at its end.
    tunnels: usize,
    /// Those of the groups that have most, the most first.
    groups: Vec<Open>,
    /// Tunnels opened.
    opened: u64,
    /// Tunnels closed, by reason.
    closed: BTreeMap<&'static str, u64>,
    /// Handshakes that led to a tunnel.
    handshakes: u64,
    /// How long half of them took at most; absent where there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake_median_ms: Option<f64>,
    /// How long 99 of 100 took at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake_p99_ms: Option<f64>,
    /// Refusals, by reason.
    refused: BTreeMap<&'static str, u64>,
    /// Answers of 5xx.
    server_errors: u64,
    /// From clients.
    bytes_in: u64,
    /// To clients.
    bytes_out: u64,
    /// The memory at its end.
    memory_bytes: u64,
}

/// How many tunnels a group has open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OpenOfGroup)]
pub(super) struct Open {
    pub(super) name: String,
    pub(super) tunnels: i64,
}

impl Counted {
    /// The same moment, before anything was counted.
    pub(super) fn nothing_yet(&self) -> Self {
        Counted {
            totals: Totals::default(),
            opened: 0,
            handshakes: Handshakes::default(),
            bytes_in: 0,
            bytes_out: 0,
            errors: Errors::new(),
            ..self.clone()
        }
    }
}

impl Sample {
    pub(super) fn between(number: u64, last: &Counted, now: &Counted) -> Self {
        let growth = |of: fn(&Counted) -> u64| of(now).saturating_sub(of(last));
        let closed = CloseReason::VARIANTS.iter().map(|reason| {
            let place = *reason as usize;
            let grown = now.totals.closed[place].saturating_sub(last.totals.closed[place]);
            (reason.as_str(), grown)
        });
        let refused = RefusalReason::VARIANTS.iter().map(|reason| {
            let place = *reason as usize;
            let grown = now.totals.refused[place].saturating_sub(last.totals.refused[place]);
            (reason.as_str(), grown)
        });
        let handshakes = now.handshakes.since(&last.handshakes);
        let quantile = |part| handshakes.quantile(part).map(|seconds| 1e3 * seconds);
        Sample {
            number,
            at: now.at,
            seconds: now.moment.duration_since(last.moment).as_secs_f64(),
            tunnels: now.tunnels,
            groups: now.groups.clone(),
            opened: growth(|counted| counted.opened),
            closed: closed.filter(|(_, grown)| *grown > 0).collect(),
            handshakes: handshakes.count(),
            handshake_median_ms: quantile(0.5),
            handshake_p99_ms: quantile(0.99),
            refused: refused.filter(|(_, grown)| *grown > 0).collect(),
            server_errors: growth(|counted| counted.errors.values().sum()),
            bytes_in: growth(|counted| counted.bytes_in),
            bytes_out: growth(|counted| counted.bytes_out),
            memory_bytes: now.memory_bytes,
        }
    }

    pub(super) fn refused(&self, reason: RefusalReason) -> u64 {
        self.refused.get(reason.as_str()).copied().unwrap_or(0)
    }
}

fn rfc3339<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*at))
}
