//! What is known of a target now, for operators.

use std::time::SystemTime;

use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Target;
use super::health::Checked;

/// A target's health, and what it carries.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// What its health checks say; true without them.
    pub healthy: bool,
    /// While it gets nothing new because requests failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ejected: Option<Ejected>,
    /// While its share of requests grows: the part of its weight that counts, from 0.1 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_starting: Option<f64>,
    /// Requests of this process that it has to answer, WebSocket handshakes among them.
    pub requests_in_flight: usize,
    /// The last health check; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_check: Option<LastCheck>,
}

/// An ejection.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ejected {
    /// RFC 3339.
    until: String,
    /// Which time in a row.
    count: u32,
}

/// A health check that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct LastCheck {
    /// RFC 3339.
    time: String,
    /// `passed` or `failed`.
    result: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl TargetStatus {
    /// A target that has this many tunnels of this process.
    pub fn of(target: &Target, tunnels: usize) -> Self {
        let health = &target.state.health;
        let factor = target.state.weight_factor();
        let ejected = health.ejection().map(|(until, count)| {
            let left = until.saturating_duration_since(Instant::now());
            let until = rfc_3339(SystemTime::now() + left);
            Ejected { until, count }
        });
        TargetStatus {
            healthy: health.is_healthy(),
            ejected,
            slow_starting: (factor < 1.0).then_some((factor * 100.0).round() / 100.0),
            requests_in_flight: target.state.load_here().saturating_sub(tunnels),
            last_check: health.last_check().map(LastCheck::of),
        }
    }
}

impl LastCheck {
    fn of(check: Checked) -> Self {
        LastCheck {
            time: rfc_3339(check.at),
            result: match check.result {
                Ok(()) => "passed",
                Err(_) => "failed",
            },
            reason: check.result.err(),
        }
    }
}

fn rfc_3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
