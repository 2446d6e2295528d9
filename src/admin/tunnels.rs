//! `/api/v1/tunnels`: the open tunnels, and ending them.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::{StatusCode, Uri};
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::denial::{Denial, Error};
use super::query::{self, Filter, FilterQuery, List, PaceQuery, PageQuery, WordsQuery};
use super::view::View;
use crate::drain::end_over;
use crate::listener::control::Peer;
use crate::tunnel::{Farewell, Handle, Tunnels};

/// How much of a request URI is shown.
const LONGEST_URI: usize = 1024;

/// An open tunnel.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tunnel {
    /// The `trackingId`.
    id: String,
    forwarding_rule: String,
    target_group: String,
    /// `ip:port`, or `unix:PATH`
    target: String,
    client_ip: String,
    /// Absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_port: Option<u16>,
    /// Secrets redacted; the first 1,024 bytes.
    request_uri: String,
    /// RFC 3339, UTC.
    start_time: String,
    /// Its age, in milliseconds.
    open_ms: u64,
    /// From the last byte in either direction, in milliseconds.
    idle_ms: u64,
    /// From the client.
    bytes_in: u64,
    /// To the client.
    bytes_out: u64,
    /// Whole frames from the client.
    frames_in: u64,
    /// Whole frames to the client.
    frames_out: u64,
}

/// A page of the open tunnels, the oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Page {
    tunnels: Vec<Tunnel>,
    /// The cursor of the next page; null where this is the last.
    next: Option<String>,
    /// How many are open, whatever the filter.
    total: usize,
    /// How many the filter is true of; with `count` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    matching: Option<usize>,
}

/// How many tunnels were told to end.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Killed {
    /// The tunnel, where it was asked for by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    ended: usize,
    /// The code of the Close frames.
    code: u16,
    /// Over how many milliseconds their ends are spread.
    over_ms: u64,
}

/// How many orders may spread ends at a time.
const MOST_ORDERS: usize = 8;
static ORDERS: Semaphore = Semaphore::const_new(MOST_ORDERS);

impl Tunnel {
    fn of(handle: &Handle) -> Self {
        let identity = &handle.identity;
        let (bytes_in, bytes_out) = handle.bytes();
        let (frames_in, frames_out) = handle.frames();
        let age = handle.opened.elapsed();
        let started = SystemTime::now().checked_sub(age);
        let started = started.unwrap_or(SystemTime::UNIX_EPOCH);
        Tunnel {
            id: identity.id.clone(),
            forwarding_rule: identity.forwarding_rule.to_string(),
            target_group: identity.target_group.to_string(),
            target: identity.target.to_string(),
            client_ip: identity.client.ip.to_string(),
            client_port: identity.client.port,
            request_uri: shortened(&identity.uri).to_owned(),
            start_time: humantime::format_rfc3339_millis(started).to_string(),
            open_ms: millis(age),
            idle_ms: millis(handle.idle()),
            bytes_in,
            bytes_out,
            frames_in,
            frames_out,
        }
    }
}

fn shortened(uri: &str) -> &str {
    let most = uri.len().min(LONGEST_URI);
    let end = (0..=most).rfind(|end| uri.is_char_boundary(*end));
    &uri[..end.unwrap_or(0)]
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The open tunnels, the oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/tunnels",
    params(FilterQuery, PageQuery),
    responses((status = 200, body = Page), (status = 400, body = Error)),
)]
pub(super) async fn list(State(view): State<View>, uri: Uri) -> Result<Json<Page>, Denial> {
    let List {
        filter,
        after,
        limit,
        counts,
    } = query::list(&uri)?;
    let open = &view.serving.drain.tunnels;
    let page = open.page(after, limit, |tunnel| filter.is_true_of(tunnel));
    Ok(Json(Page {
        tunnels: page
            .tunnels
            .iter()
            .map(|handle| Tunnel::of(handle))
            .collect(),
        next: page.next.map(|number| number.to_string()),
        total: open.count(),
        matching: counts.then(|| count(open, &filter)),
    }))
}

fn count(open: &Tunnels, filter: &Filter) -> usize {
    let matching = Cell::new(0);
    // Looking at each, and wanting none, copies nothing.
    let look = |tunnel: &Handle| {
        matching.set(matching.get() + usize::from(filter.is_true_of(tunnel)));
        false
    };
    open.for_each(look, |_| {});
    matching.get()
}

/// An open tunnel.
#[utoipa::path(
    get,
    path = "/api/v1/tunnels/{id}",
    params(("id" = String, Path, description = "The `trackingId`.")),
    responses((status = 200, body = Tunnel), (status = 404, body = Error)),
)]
pub(super) async fn show(
    State(view): State<View>,
    Path(id): Path<String>,
) -> Result<Json<Tunnel>, Denial> {
    let tunnel = view.serving.drain.tunnels.find(&id).ok_or_else(none)?;
    Ok(Json(Tunnel::of(&tunnel)))
}

fn none() -> Denial {
    Denial::not_found("no open tunnel has this id")
}

/// Ends all tunnels that a filter is true of, with a Close frame to both sides; at least one filter
/// is needed. With `over` those that are open now are ended one after the other.
#[utoipa::path(
    delete,
    path = "/api/v1/tunnels",
    params(FilterQuery, WordsQuery, PaceQuery),
    responses(
        (status = 202, body = Killed),
        (status = 400, body = Error),
        (status = 409, description = "Too many orders spread ends already.", body = Error),
    ),
)]
pub(super) async fn kill_all(
    State(view): State<View>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
) -> Result<(StatusCode, Json<Killed>), Denial> {
    let (filter, words, over) = query::kill(&uri)?;
    let code = code_of(words.as_ref());
    let tunnels = &view.serving.drain.tunnels;
    let is_wanted = |tunnel: &Handle| !tunnel.is_ending() && filter.is_true_of(tunnel);
    let ended = match over.is_zero() {
        true => {
            let mut ended = 0;
            tunnels.for_each(is_wanted, |tunnel| {
                tunnel.kill(words.clone());
                ended += 1;
            });
            ended
        }
        false => spread(tunnels.list_where(is_wanted), words, over)?,
    };
    log::info!(
        "admin: {peer}: {ended} tunnels killed: {}",
        query::told(&uri)
    );
    let killed = Killed {
        id: None,
        ended,
        code,
        over_ms: millis(over),
    };
    Ok((StatusCode::ACCEPTED, Json(killed)))
}

/// Ends them over this span; returns how many they are.
fn spread(
    tunnels: Vec<Arc<Handle>>,
    words: Option<Farewell>,
    over: Duration,
) -> Result<usize, Denial> {
    let Ok(order) = ORDERS.try_acquire() else {
        let message = format!("{MOST_ORDERS} orders spread ends already");
        return Err(Denial::new(StatusCode::CONFLICT, message));
    };
    let count = tunnels.len();
    tokio::spawn(async move {
        end_over(tunnels, over, |tunnel| tunnel.kill(words.clone())).await;
        drop(order);
    });
    Ok(count)
}

fn code_of(words: Option<&Farewell>) -> u16 {
    words.map_or(query::POLICY_VIOLATION, |words| words.code)
}

/// Ends a tunnel, with a Close frame to both sides.
#[utoipa::path(
    delete,
    path = "/api/v1/tunnels/{id}",
    params(("id" = String, Path, description = "The `trackingId`."), WordsQuery),
    responses(
        (status = 202, body = Killed),
        (status = 400, body = Error),
        (status = 404, body = Error),
    ),
)]
pub(super) async fn kill(
    State(view): State<View>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<(StatusCode, Json<Killed>), Denial> {
    let words: Option<Farewell> = query::kill_one(&uri)?;
    let tunnel = view.serving.drain.tunnels.find(&id).ok_or_else(none)?;
    log::info!("admin: {peer}: tunnel {id}: killed");
    let code = code_of(words.as_ref());
    tunnel.kill(words);
    let killed = Killed {
        id: Some(id),
        ended: 1,
        code,
        over_ms: 0,
    };
    Ok((StatusCode::ACCEPTED, Json(killed)))
}
