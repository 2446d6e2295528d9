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
//! `guard` decides who is heard, `slots` how many at a time; `view` is what the others see,
//! one file for each thing that can be asked.

mod denial;
mod event_streams;
mod events;
mod explain;
mod guard;
mod orders;
mod page;
mod query;
mod routes;
mod serve;
mod slots;
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
    let slots = Arc::clone(&admin.slots);
    let router = routes::router(Arc::clone(admin));
    admin.serving.admin.start(Box::new(move |acceptor, ends| {
        tokio::spawn(serve::serve(
            acceptor,
            Arc::clone(&slots),
            ends,
            router.clone(),
        ));
    }));
}
