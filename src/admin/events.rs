//! `GET /api/v1/events`: the figures of the status page, each second, as server-sent events.
//!
//! They are made once for all who look, and only while somebody does. Whoever reads slowly misses
//! some; nothing is kept for them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::denial::{Denial, Error};
use super::event_streams::MOST_STREAMS;
use super::refusals::Refusal;
use super::status::Status;
use super::traffic::Traffic;
use super::view::View;
use crate::config::model::Token;
use crate::control::Client;

/// Whoever has taken no event for so long gives way to another.
const LATE: Duration = Duration::from_secs(10);
/// How long that may take.
const GOING: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(1);
/// How many refusals are told.
const REFUSALS: u64 = 12;

/// What the status page shows.
#[derive(Serialize, ToSchema)]
struct Figures {
    status: Status,
    traffic: Traffic,
    /// The last few, the oldest first.
    refusals: Vec<Refusal>,
}

/// Someone who looks.
struct Viewer {
    view: View,
    event: watch::Receiver<Bytes>,
    closing: CancellationToken,
    /// What was valid when they came.
    token: Option<Token>,
    client: Arc<Client>,
    _place: OwnedSemaphorePermit,
}

/// The figures of the status page, at once and then each second, until the process closes the
/// stream.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    responses(
        (
            status = 200,
            description = "Each event's data.",
            body = Figures,
            content_type = "text/event-stream",
        ),
        (status = 503, description = "Sixteen streams are open, and are read.", body = Error),
    ),
)]
pub(super) async fn events(
    State(view): State<View>,
    Extension(closing): Extension<CancellationToken>,
    Extension(client): Extension<Arc<Client>>,
) -> Result<Response, Denial> {
    let event_streams = &view.event_streams;
    let place = place(&view).await.ok_or_else(|| {
        let message = format!("{MOST_STREAMS} streams are open: no more at a time");
        Denial::new(StatusCode::SERVICE_UNAVAILABLE, message)
    })?;
    client.watches();
    let viewer = Viewer {
        _place: place,
        client,
        event: event_streams.join(|| drop(tokio::spawn(serve(Arc::clone(&view))))),
        closing,
        token: view.serving.config().admin.token.clone(),
        view,
    };
    let events = stream::unfold(viewer, async |mut viewer| {
        let event = viewer.next().await?;
        Some((Ok::<_, Infallible>(event), viewer))
    });
    let mut answer = Response::new(Body::from_stream(events));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// A place for one more: if none is free, that of a viewer who takes nothing.
async fn place(view: &View) -> Option<OwnedSemaphorePermit> {
    let free = || Arc::clone(&view.event_streams.free);
    if let Ok(place) = free().try_acquire_owned() {
        return Some(place);
    }
    if !view.slots.clear_watchers(LATE) {
        return None;
    }
    timeout(GOING, free().acquire_owned()).await.ok()?.ok()
}

impl Viewer {
    /// The next event; `None` when there is none for them any more. It is asked for when they have
    /// taken the one before.
    async fn next(&mut self) -> Option<Bytes> {
        self.client.watches();
        let changed = self.closing.run_until_cancelled(self.event.changed());
        changed.await?.ok()?;
        let is_known = self.view.serving.config().admin.token == self.token;
        is_known.then(|| self.event.borrow_and_update().clone())
    }
}

async fn serve(view: View) {
    let mut seconds = interval(EVERY);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        if !view.event_streams.is_there() {
            return;
        }
        match serde_json::to_string(&Figures::of(&view)) {
            Ok(json) => {
                let event = Bytes::from(format!("data: {json}\n\n"));
                view.event_streams.event.send_replace(event);
            }
            Err(error) => log::error!("admin: no figures: {error}"),
        }
    }
}

impl Figures {
    fn of(view: &View) -> Self {
        let totals = view.serving.metrics.totals();
        Figures {
            status: Status::of(view, &totals),
            traffic: Traffic::of(view, &totals),
            refusals: Refusal::last(&view.serving.metrics.refused, REFUSALS),
        }
    }
}
