//! Which path leads where, and the document that describes the API. Both are made from the same
//! handlers.

use std::sync::OnceLock;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::denial::Denial;
use super::guard::guard;
use super::view::View;
use super::{
    certificates, config, events, explain, gateway, lately, log_level, orders, page, refusals,
    status, target, tunnels,
};
use crate::os::reserve;

/// How many files are open at once while metrics are gathered.
const FILES_OF_METRICS: usize = 6;

/// The API of Culvert's admin address. Every error is `{"error": "…"}`. Where `admin.tokenFile` is
/// set, requests need `Authorization: Bearer TOKEN`.
#[derive(OpenApi)]
#[openapi(info(title = "Culvert"))]
struct Description;

/// Everything that is served.
pub(super) fn router(view: View) -> Router {
    let (api, _) = api().split_for_parts();
    api.route("/", get(page::page))
        .route("/api/v1/openapi.json", get(openapi))
        .route("/metrics", get(metrics))
        .route("/livez", get("alive\n"))
        .route("/readyz", get(readyz))
        .fallback(async || Denial::not_found("there is no such page"))
        .method_not_allowed_fallback(async || {
            Denial::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this method is not for this path",
            )
        })
        .layer(from_fn_with_state(view.clone(), guard))
        .with_state(view)
}

/// The description of the API.
pub fn document() -> &'static Document {
    static DOCUMENT: OnceLock<Document> = OnceLock::new();
    DOCUMENT.get_or_init(|| api().split_for_parts().1)
}

fn api() -> OpenApiRouter<View> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(status::status))
        .routes(routes!(config::config))
        .routes(routes!(gateway::gateway))
        .routes(routes!(certificates::list))
        .routes(routes!(certificates::renew))
        .routes(routes!(events::events))
        .routes(routes!(tunnels::list, tunnels::kill_all))
        .routes(routes!(tunnels::show, tunnels::kill))
        .routes(routes!(refusals::refusals))
        .routes(routes!(lately::history))
        .routes(routes!(target::patch))
        .routes(routes!(orders::rehearse, orders::reload))
        .routes(routes!(orders::drain))
        .routes(routes!(explain::explain))
        .routes(routes!(log_level::show, log_level::change))
}

async fn openapi() -> Json<&'static Document> {
    Json(document())
}

async fn metrics(State(view): State<View>) -> Response {
    // What the system tells of this process is in files.
    let _lent = reserve::lend(FILES_OF_METRICS);
    match view.serving.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            Denial::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}

async fn readyz(State(view): State<View>) -> (StatusCode, &'static str) {
    let drain = &view.serving.drain;
    if drain.is_ready() && !drain.is_waiting() {
        return (StatusCode::OK, "ready\n");
    }
    let why = if drain.has_begun() {
        "draining\n"
    } else if drain.is_waiting() {
        "what there is to serve has yet to be read\n"
    } else {
        "not listening yet\n"
    };
    (StatusCode::SERVICE_UNAVAILABLE, why)
}
