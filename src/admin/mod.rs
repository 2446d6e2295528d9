//! The address for operators: metrics and probes, on a listener of its own that outlives a drain.
//!
//! | path | answer |
//! |---|---|
//! | `GET /metrics` | the metrics, in Prometheus' text format |
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 while new clients are welcome; 503 before the listeners accept, and from the beginning of a drain |
//! | `/api/v1/…` | see `api` |

mod api;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use tokio::net::TcpListener;

use crate::drain::Drain;
use crate::telemetry::metrics::Metrics;

/// The service behind the admin address.
pub struct Admin {
    /// The socket, listening; taken at the start.
    pub socket: Option<std::net::TcpListener>,
    /// What the pages show.
    pub view: View,
}

/// What the pages show.
#[derive(Clone)]
pub struct View {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For `/readyz`.
    pub drain: Arc<Drain>,
}

#[async_trait]
impl Service for Admin {
    async fn start_service(&mut self, _: Option<ListenFds>, _: ShutdownWatch, _: usize) {
        let Some(socket) = self.socket.take() else {
            return;
        };
        let served = match TcpListener::from_std(socket) {
            Ok(socket) => axum::serve(socket, routes(self.view.clone())).await,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            log::error!("the admin address is not served: {error}");
        }
    }

    fn name(&self) -> &str {
        "admin"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}

fn routes(view: View) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get("alive\n"))
        .route("/readyz", get(readyz))
        .route("/api/v1/tunnels", get(api::tunnels))
        .route("/api/v1/tunnels/{id}", delete(api::kill))
        .with_state(view)
}

async fn metrics(State(view): State<View>) -> Response {
    match view.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn readyz(State(view): State<View>) -> (StatusCode, &'static str) {
    if view.drain.is_ready() {
        return (StatusCode::OK, "ready\n");
    }
    let why = if view.drain.has_begun() {
        "draining\n"
    } else {
        "not listening yet\n"
    };
    (StatusCode::SERVICE_UNAVAILABLE, why)
}
