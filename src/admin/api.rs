//! The API under `/api/v1`: what is open, and ending it. JSON.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::View;
use crate::telemetry::CloseReason;
use crate::tunnel::Handle;

/// How many tunnels one answer lists.
const MOST_TUNNELS: usize = 1000;

/// An open tunnel. Durations are in milliseconds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tunnel {
    id: String,
    forwarding_rule: String,
    target_group: String,
    target: String,
    client_ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_port: Option<u16>,
    open_ms: u64,
    idle_ms: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl Tunnel {
    fn of(handle: &Handle) -> Self {
        let identity = &handle.identity;
        let (bytes_in, bytes_out) = handle.bytes();
        Tunnel {
            id: identity.id.clone(),
            forwarding_rule: identity.forwarding_rule.to_string(),
            target_group: identity.target_group.to_string(),
            target: identity.target.to_string(),
            client_ip: identity.client.ip.to_string(),
            client_port: identity.client.port,
            open_ms: millis(handle.opened.elapsed()),
            idle_ms: millis(handle.idle()),
            bytes_in,
            bytes_out,
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `GET /api/v1/status`: what the process is, and how far it is with its end.
pub(super) async fn status(State(view): State<View>) -> Response {
    let drain = &view.drain;
    let (state, progress) = match (drain.progress(), drain.is_ready()) {
        (Some(progress), _) => ("draining", Some(progress)),
        (None, true) => ("serving", None),
        (None, false) => ("starting", None),
    };
    let status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "drain": {
            "state": state,
            "open": drain.open(),
            "closed": progress.map(|progress| progress.closed()),
            "secondsLeft": progress.map(|progress| progress.left().as_secs_f64().ceil() as u64),
        },
    });
    Json(status).into_response()
}

#[derive(Deserialize)]
pub(super) struct Page {
    limit: Option<usize>,
}

/// `GET /api/v1/tunnels?limit=N`: the oldest open tunnels, at most 1,000.
pub(super) async fn tunnels(State(view): State<View>, Query(page): Query<Page>) -> Response {
    let mut open = view.drain.tunnels.list();
    let total = open.len();
    open.sort_unstable_by_key(|tunnel| tunnel.opened);
    open.truncate(page.limit.unwrap_or(MOST_TUNNELS).min(MOST_TUNNELS));
    let tunnels: Vec<Tunnel> = open.iter().map(|handle| Tunnel::of(handle)).collect();
    Json(json!({"tunnels": tunnels, "total": total})).into_response()
}

/// `DELETE /api/v1/tunnels/{id}`: ends a tunnel, with Close 1008 to both sides; 202 before that is done.
pub(super) async fn kill(State(view): State<View>, Path(id): Path<String>) -> Response {
    match view.drain.tunnels.find(&id) {
        Some(tunnel) => {
            log::info!("tunnel {id}: killed over the admin address");
            tunnel.end(CloseReason::Killed);
            (StatusCode::ACCEPTED, Json(json!({"id": id}))).into_response()
        }
        None => {
            let message = json!({"error": "no open tunnel has this id"});
            (StatusCode::NOT_FOUND, Json(message)).into_response()
        }
    }
}
