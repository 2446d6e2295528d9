//! The address for operators: metrics, probes and the API, on a listener of its own
//! (`listener::admin`).
//!
//! | path | answer |
//! |---|---|
//! | `GET /` | the status page, which asks the API |
//! | `GET /metrics` | the metrics, in Prometheus' text format |
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 while new clients are welcome; 503 before the listeners accept, and from the beginning of a drain |
//! | `/api/v1/…` | JSON; `/api/v1/openapi.json` describes it |
//!
//! `guard` decides who is heard, `room` for how many there is room; `view` is what the others see,
//! one file for each thing that can be asked.

mod audience;
mod denial;
mod events;
mod explain;
mod guard;
mod orders;
mod page;
mod query;
mod room;
mod routes;
mod serve;
mod status;
mod target;
mod tunnels;
mod view;

use std::sync::Arc;

pub use explain::explain_by;
pub use routes::document;
pub use view::Admin;

/// Begins to serve whoever comes to the admin address.
pub fn start(admin: &Arc<Admin>) {
    let room = Arc::clone(&admin.room);
    let router = routes::router(Arc::clone(admin));
    admin.serving.admin.start(Box::new(move |acceptor, ends| {
        tokio::spawn(serve::serve(
            acceptor,
            Arc::clone(&room),
            ends,
            router.clone(),
        ));
    }));
}
