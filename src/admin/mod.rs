//! The address for operators: metrics, probes and the API, on a listener of its own that outlives a drain.
//!
//! | path | answer |
//! |---|---|
//! | `GET /metrics` | the metrics, in Prometheus' text format |
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 while new clients are welcome; 503 before the listeners accept, and from the beginning of a drain |
//! | `/api/v1/…` | see `api` |

mod api;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::drain::Drain;
use crate::telemetry::metrics::Metrics;

/// What listens on the admin address. Like the other listeners it can be moved, paused and resumed.
pub struct Admin {
    view: View,
    runtime: OnceLock<Handle>,
    held: AtomicBool,
    door: Mutex<Door>,
}

struct Door {
    address: SocketAddr,
    /// `None` once it was given up.
    socket: Option<std::net::TcpListener>,
    closing: CancellationToken,
}

/// What the pages show.
#[derive(Clone)]
pub struct View {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For `/readyz` and the tunnels.
    pub drain: Arc<Drain>,
}

impl Admin {
    /// An admin address with a socket that listens on it.
    pub fn new(address: SocketAddr, socket: std::net::TcpListener, view: View) -> Self {
        Admin {
            view,
            runtime: OnceLock::new(),
            held: AtomicBool::new(false),
            door: Mutex::new(Door {
                address,
                socket: Some(socket),
                closing: CancellationToken::new(),
            }),
        }
    }

    /// Begins to answer, on the present runtime; or, if it is held, when it is told to resume.
    pub fn start(&self) {
        if self.runtime.set(Handle::current()).is_ok() && !self.held.load(SeqCst) {
            self.resume();
        }
    }

    /// Answers nothing at the start, but when it is told to resume.
    pub fn hold(&self) {
        self.held.store(true, SeqCst);
    }

    /// Whether everything is there for answering.
    pub fn is_started(&self) -> bool {
        self.runtime.get().is_some()
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.lock().address
    }

    /// A copy of the socket, for another process.
    pub fn socket(&self) -> io::Result<std::net::TcpListener> {
        self.lock().copy()
    }

    /// Moves to another address.
    pub fn change(&self, address: SocketAddr, socket: std::net::TcpListener) {
        let mut door = self.lock();
        door.closing.cancel();
        (door.address, door.socket) = (address, Some(socket));
        drop(door);
        self.resume();
    }

    /// Stops accepting; whoever shares the socket accepts.
    pub fn pause(&self) {
        self.lock().closing.cancel();
    }

    /// Stops accepting, and gives the socket up.
    pub fn close(&self) {
        self.pause();
        self.lock().socket = None;
    }

    /// Accepts again.
    pub fn resume(&self) {
        let Some(runtime) = self.runtime.get() else {
            return;
        };
        let mut door = self.lock();
        door.closing = CancellationToken::new();
        let (closing, view) = (door.closing.clone(), self.view.clone());
        match door.copy() {
            Ok(socket) => drop(runtime.spawn(async move {
                closing.run_until_cancelled(serve(socket, view)).await;
            })),
            Err(error) => log::error!("the admin address is not served: {error}"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
    fn copy(&self) -> io::Result<std::net::TcpListener> {
        let gone = || io::Error::other("the socket was given up");
        self.socket.as_ref().ok_or_else(gone)?.try_clone()
    }
}

async fn serve(socket: std::net::TcpListener, view: View) {
    let served = match TcpListener::from_std(socket) {
        Ok(socket) => axum::serve(socket, routes(view)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        log::error!("the admin address is not served: {error}");
    }
}

fn routes(view: View) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get("alive\n"))
        .route("/readyz", get(readyz))
        .route("/api/v1/status", get(api::status))
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
