//! The address for operators: metrics, probes and the API, on a listener of its own
//! (`listener::control`), served as every control address is (`control`).
//!
//! | path | answer |
//! |---|---|
//! | `GET /` | the status page, which asks the API |
//! | `GET /metrics` | the metrics, in Prometheus' text format |
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 while new clients are welcome; 503 before the listeners accept, and from the beginning of a drain |
//! | `/api/v1/…` | JSON; `/api/v1/openapi.json` describes it |
//!
//! `guard` decides who is heard; `view` is what the others see, one file for each thing that can be
//! asked.

mod certificates;
mod config;
mod denial;
mod event_streams;
mod events;
mod explain;
mod explanation;
mod gateway;
mod guard;
mod history;
mod lately;
mod log_level;
mod orders;
mod page;
mod query;
mod refusals;
mod routes;
mod sample;
mod status;
mod target;
mod traffic;
mod tunnels;
mod view;
mod vitals;

use std::sync::Arc;

use crate::control::Server;
pub use explain::explain_by;
pub use routes::document;
pub use view::Admin;

/// Begins to serve whoever comes to the admin address, and to remember the last minutes.
pub fn start(admin: &Arc<Admin>) {
    let server = Server {
        slots: Arc::clone(&admin.slots),
        router: routes::router(Arc::clone(admin)),
        shows: Arc::new(|| Ok(None)),
    };
    server.start(&admin.serving.admin);
    tokio::spawn(lately::keep(Arc::clone(admin)));
}
