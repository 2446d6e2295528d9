//! `GET /api/v1/refusals`: who was refused, and why, as long as it is remembered.

use std::time::UNIX_EPOCH;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use super::denial::{Denial, Error};
use super::query::{self, SinceQuery};
use super::view::View;
use crate::telemetry::{Refusals, Refused};

/// The last refusals, the oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct List {
    refusals: Vec<Refusal>,
    /// How many there were since the process began. As `since` it asks for what comes after these.
    count: u64,
}

/// A request that was answered with an error of our own, or a connection that was closed for want
/// of one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Refusal {
    /// The first one of the process is 1.
    number: u64,
    /// RFC 3339, UTC.
    time: String,
    client_ip: String,
    /// Absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_port: Option<u16>,
    forwarding_rule: String,
    /// Absent where none matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    http_rule: Option<String>,
    /// As in the metrics.
    reason: &'static str,
    /// Absent where there was no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status_code: Option<u16>,
    /// The first 256 bytes, as of the other texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_name: Option<String>,
    /// Secrets redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_uri: Option<String>,
    /// Of a handshake that was refused for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// What exactly went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The last refusals, up to a thousand.
#[utoipa::path(
    get,
    path = "/api/v1/refusals",
    params(SinceQuery),
    responses((status = 200, body = List), (status = 400, body = Error)),
)]
pub(super) async fn refusals(State(view): State<View>, uri: Uri) -> Result<Json<List>, Denial> {
    let refused = &view.serving.metrics.refused;
    let count = refused.count();
    let (number, time) = query::since(&uri)?.after(count);
    let refusals: Vec<Refusal> = refused
        .since(number, time)
        .iter()
        .map(|refused| Refusal::of(refused))
        .collect();
    let last = refusals.last().map(|refusal| refusal.number);
    Ok(Json(List {
        // None is told as seen that is not among these.
        count: last.unwrap_or(count),
        refusals,
    }))
}

impl Refusal {
    /// The last so many, the oldest first.
    pub(super) fn last(refused: &Refusals, many: u64) -> Vec<Self> {
        let first = refused.count().saturating_sub(many);
        let last = refused.since(first, UNIX_EPOCH);
        last.iter().map(|refused| Refusal::of(refused)).collect()
    }

    fn of(refused: &Refused) -> Self {
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        Refusal {
            number: refused.number,
            time: humantime::format_rfc3339_millis(refused.at).to_string(),
            client_ip: refused.client.ip.to_string(),
            client_port: refused.client.port,
            forwarding_rule: refused.forwarding_rule.to_string(),
            http_rule: refused.http_rule.as_deref().map(str::to_owned),
            reason: refused.reason.as_str(),
            http_status_code: refused.status,
            host_name: text(&refused.host),
            request_uri: text(&refused.uri),
            origin: text(&refused.origin),
            error: text(&refused.error),
        }
    }
}
