//! `/api/v1/loglevel`: how much is said on standard error.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use log::LevelFilter;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::denial::{Denial, Error};
use super::view::View;
use crate::listener::control::Peer;
use crate::telemetry::diagnostics;

/// Up to which level lines are said.
#[derive(Serialize, ToSchema)]
pub(super) struct LogLevel {
    /// `error`, `warn`, `info` or `debug`; `off` where `RUST_LOG` says so.
    level: String,
}

/// What is wanted from now on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// One of those words; null goes back to the configuration file.
    level: Option<String>,
}

impl LogLevel {
    fn now() -> Json<Self> {
        let level = diagnostics::level().as_str().to_ascii_lowercase();
        Json(LogLevel { level })
    }
}

/// Up to which level this program's own lines are said.
#[utoipa::path(get, path = "/api/v1/loglevel", responses((status = 200, body = LogLevel)))]
pub(super) async fn show() -> Json<LogLevel> {
    LogLevel::now()
}

/// Says this program's own lines up to another level, until the next reload.
#[utoipa::path(
    put,
    path = "/api/v1/loglevel",
    request_body = Wanted,
    responses((status = 200, body = LogLevel), (status = 400, body = Error)),
)]
pub(super) async fn change(
    State(view): State<View>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Result<Json<LogLevel>, Denial> {
    let wanted: Wanted =
        serde_json::from_slice(&body).map_err(|error| Denial::bad(error.to_string()))?;
    let level = match &wanted.level {
        None => view.serving.config().server.log_level,
        Some(word) => Some(level(word)?),
    };
    let before = diagnostics::level();
    let tell = || log::info!("admin: {peer}: log level: {}", wanted.word());
    // Where it is said, if at either level.
    if before >= LevelFilter::Info {
        tell();
    }
    diagnostics::set_level(level);
    if before < LevelFilter::Info {
        tell();
    }
    Ok(LogLevel::now())
}

impl Wanted {
    fn word(&self) -> &str {
        self.level.as_deref().unwrap_or("default")
    }
}

fn level(word: &str) -> Result<LevelFilter, Denial> {
    let level = word
        .parse()
        .ok()
        .filter(|level| (LevelFilter::Error..=LevelFilter::Debug).contains(level));
    let message = || format!("level: must be error, warn, info or debug, not {word:?}");
    level.ok_or_else(|| Denial::bad(message()))
}
