//! `POST /api/v1/reload` and `POST /api/v1/drain`: what SIGHUP and SIGTERM ask for; and `GET
//! /api/v1/reload`, what the first would change.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use serde::Serialize;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::denial::{Denial, Error};
use super::view::View;
use crate::drain::Forecast;
use crate::listener::control::Peer;
use crate::os::signals::Order;
use crate::serving::Changes;

/// A reload, and what it changes.
#[derive(Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// Whether it is done; not where it was only asked for what it would change.
    applied: bool,
    /// What is allowed but hardly meant, and what only another process can change.
    warnings: Vec<String>,
    /// What is different, a line each.
    changes: Vec<String>,
}

impl Reloaded {
    fn of(applied: bool, Changes { warnings, changes }: Changes) -> Json<Self> {
        Json(Reloaded {
            applied,
            warnings,
            changes,
        })
    }
}

/// A drain that has begun.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Draining {
    draining: bool,
    /// The tunnels that are open now.
    open_tunnels: usize,
    /// After how many milliseconds the first is ended.
    begins_ms: u64,
    /// How many are ended in a second; the rest at the deadline.
    tunnels_per_second: f64,
    /// After how many milliseconds the last is ended, if all end as they are told.
    ends_ms: u64,
    /// After how many milliseconds what is left is ended at once.
    deadline_ms: u64,
}

impl Draining {
    fn of(view: &View) -> Self {
        let drain = &view.serving.drain;
        let settings = view.serving.config().server.drain.clone();
        let open_tunnels = drain.tunnels.count();
        let forecast = Forecast::of(&settings, open_tunnels);
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        // Of one that is under way only the end is certain.
        let left = drain.progress().map(|progress| progress.left());
        let ends = left.map_or(forecast.ends, |left| forecast.ends.min(left));
        Draining {
            draining: true,
            open_tunnels,
            begins_ms: left.map_or(millis(forecast.begins), |_| 0),
            tunnels_per_second: (forecast.rate * 10.0).round() / 10.0,
            ends_ms: millis(ends),
            deadline_ms: millis(left.unwrap_or(settings.deadline)),
        }
    }
}

/// Reads the configuration again and applies it, as SIGHUP does. If anything is wrong with it
/// nothing changes.
#[utoipa::path(
    post,
    path = "/api/v1/reload",
    responses(
        (status = 200, body = Reloaded),
        (status = 409, description = "Not now: the process hands over, or ends.", body = Error),
        (status = 422, description = "The configuration is rejected.", body = Error),
    ),
)]
pub(super) async fn reload(
    State(view): State<View>,
    Extension(peer): Extension<Peer>,
) -> Result<Json<Reloaded>, Denial> {
    log::info!("admin: {peer}: reload");
    let not_now = || {
        let message = "not now: the process hands over to another one, or ends";
        Denial::new(StatusCode::CONFLICT, message)
    };
    let outcome = view.order(Order::Reload).await.ok_or_else(not_now)?;
    let outcome = outcome.await.map_err(|_| not_now())?;
    outcome.map_err(|problems| {
        rejected(
            "the configuration is rejected, nothing has changed",
            &problems,
        )
    })?;
    let last = view.serving.last_reload();
    Ok(Reloaded::of(
        true,
        last.map(|last| last.changes).unwrap_or_default(),
    ))
}

/// What a reload would change now. Nothing changes.
#[utoipa::path(
    get,
    path = "/api/v1/reload",
    responses(
        (status = 200, body = Reloaded),
        (status = 422, description = "The configuration would be rejected.", body = Error),
    ),
)]
pub(super) async fn rehearse(State(view): State<View>) -> Result<Json<Reloaded>, Denial> {
    let serving = Arc::clone(&view.serving);
    let outcome = spawn_blocking(move || serving.rehearse()).await;
    let outcome = outcome
        .map_err(|error| Denial::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let changes =
        outcome.map_err(|problems| rejected("the configuration would be rejected", &problems))?;
    Ok(Reloaded::of(false, changes))
}

fn rejected(message: &str, problems: &str) -> Denial {
    let mut denial = Denial::new(StatusCode::UNPROCESSABLE_ENTITY, message);
    denial.body.problems = problems.lines().map(str::to_owned).collect();
    denial
}

/// Drains the process and ends it, as SIGTERM does. A second time changes nothing.
#[utoipa::path(post, path = "/api/v1/drain", responses((status = 202, body = Draining)))]
pub(super) async fn drain(
    State(view): State<View>,
    Extension(peer): Extension<Peer>,
) -> Result<(StatusCode, Json<Draining>), Denial> {
    let done = (StatusCode::ACCEPTED, Json(Draining::of(&view)));
    // A second order would end the process at once.
    if view.serving.drain.has_begun() || view.is_draining.swap(true, SeqCst) {
        return Ok(done);
    }
    log::info!("admin: {peer}: drain");
    let gone = || Denial::new(StatusCode::CONFLICT, "the process ends already");
    view.order(Order::Drain).await.ok_or_else(gone)?;
    Ok(done)
}
