//! The IONOS API: target groups, application load balancers and forwarding rules, as IONOS Cloud's
//! own clients make, change and remove them.
//!
//! A request's way: `path` says what it is about, `plan` what a write makes of the objects, by the
//! `schema` and the defaults of `properties`. `models` has the configuration read them, `server`
//! serves them, and the `store` keeps them in its `journal` before anybody is told. `render` shows
//! them.

mod canonical;
mod checks;
mod datacenter;
mod error;
mod file_objects;
mod handler;
mod http;
mod journal;
mod kind;
mod merge;
mod models;
mod net;
mod object;
mod objects;
mod openapi;
mod path;
mod plan;
mod properties;
mod query;
mod render;
mod request;
mod schema;
mod server;
mod state;
mod store;
mod transfer;
mod write;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::config::Config;
use crate::config::model;
use state::Warnings;

pub use handler::{Answer, Asked, answer};
pub use http::Service;
pub use models::Models;
pub use server::Server;
use server::configure;
pub use store::{Serve, Store};
pub use transfer::{export, import};

/// How long a process that has not taken over may take to be gone.
const GOING: Duration = Duration::from_millis(100);

/// The IONOS API of a process.
pub struct Api {
    store: Arc<Store>,
    serve: Arc<dyn Serve>,
}

/// What is kept, and what the configuration makes of it.
pub struct Opened {
    /// What is kept.
    pub store: Arc<Store>,
    /// Its target groups and forwarding rules.
    pub models: Models,
    /// The file's configuration with them beside.
    pub config: Config,
}

/// What this configuration of a file's `api` keeps, with the configuration that has it beside the
/// file's objects. `None` where it offers no API. Errors: what cannot be had, or used.
pub fn open(file: &Config) -> Result<Option<Opened>, Vec<String>> {
    let Some(api) = &file.api else {
        return Ok(None);
    };
    let model::Store::File(folder) = &api.store;
    let store = Store::open(folder);
    let store =
        store.map_err(|error| vec![format!("api.store.path: {}: {error}", folder.display())])?;
    let (config, models) = configure(file, store.objects())?;
    server::tell(&models.warnings(), &Warnings::new());
    store.warn(models.warnings());
    Ok(Some(Opened {
        store: Arc::new(store),
        models,
        config,
    }))
}

impl Api {
    /// Answers from this store, and has what is written served.
    pub fn new(store: Arc<Store>, serve: Arc<dyn Serve>) -> Self {
        Api { store, serve }
    }

    /// Leaves what is kept to a process that takes over.
    pub fn lend(&self) {
        self.store.lend();
    }

    /// Takes back what is kept, from a process that has not taken over, once that is gone.
    pub async fn take_back(self: Arc<Self>) {
        while let Err(error) = self.store.take_back() {
            log::warn!("api.store: {error}; trying again");
            sleep(GOING).await;
        }
    }

    /// Has what is kept served as the configuration, and the files that it names, are now; says in
    /// the diagnostics what cannot be, which serves as before.
    pub fn renew(&self) {
        if let Err(error) = self.store.renew(&*self.serve) {
            for (_, message) in error.messages {
                log::error!("reload: api: {message}; what the API has serves as before");
            }
        }
    }

    /// Answers a request.
    pub fn answer(&self, asked: &Asked<'_>) -> Answer {
        answer(asked, &self.store, &*self.serve)
    }
}
