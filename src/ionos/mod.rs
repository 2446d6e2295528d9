//! The IONOS API: target groups, application load balancers and forwarding rules, as IONOS Cloud's
//! own clients make, change and remove them.
//!
//! A request's way: `path` says what it is about, `plan` what a write makes of the objects, by the
//! `schema` and the defaults of `properties`. `models` has the configuration read them, `server`
//! serves them, and the `store` keeps them in its `journal`, or in etcd where there is a `fleet`,
//! before anybody is told. What one of several nodes cannot serve is `held` back. `render` shows
//! them.

mod alone;
mod canonical;
mod checks;
mod datacenter;
mod error;
mod file_objects;
#[cfg(feature = "etcd")]
mod fleet;
mod handler;
#[cfg_attr(not(feature = "etcd"), allow(dead_code))]
mod held;
mod http;
// What only a fleet does is idle without etcd.
#[cfg_attr(not(feature = "etcd"), allow(dead_code))]
mod journal;
mod keeping;
mod kept;
mod kind;
mod local_addresses;
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
#[cfg_attr(not(feature = "etcd"), allow(dead_code))]
mod record;
mod render;
#[cfg_attr(not(feature = "etcd"), allow(dead_code))]
mod request;
mod schema;
mod serve;
mod server;
mod state;
#[cfg_attr(not(feature = "etcd"), allow(dead_code))]
mod store;
mod transfer;
mod write;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::Config;
use crate::config::model;
use held::Held;
use state::Warnings;

pub use handler::{Answer, Asked, answer};
pub use http::Service;
pub use models::Models;
pub use serve::Serve;
pub use server::Server;
use server::{Listen, configure, configure_and_listen};
pub use state::Standing;
pub use store::Store;
pub use transfer::export;

/// Puts what was exported in the place of what the API of this configuration keeps; returns how
/// many objects that are. Errors: it cannot be used, or a process has the folder.
pub fn import(file: &Config, text: &str) -> Result<usize, String> {
    match file.api.as_ref().map(|api| &api.store) {
        #[cfg(feature = "etcd")]
        Some(model::Store::Etcd(etcd)) => {
            let exported = transfer::read(file, text)?;
            let imported = fleet::import(etcd, shown(file, etcd), &exported);
            imported.map_err(|why| format!("api.store: etcd: {why}"))?;
            Ok(exported.objects.iter().count())
        }
        _ => transfer::import(file, text),
    }
}

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
/// file's objects, and listens with `listen`. `None` where it offers no API. Errors: what cannot be
/// had, or used.
pub fn open(
    file: &Config,
    listen: &mut dyn FnMut(&model::ForwardingRule) -> io::Result<()>,
) -> Result<Option<Opened>, Vec<String>> {
    let Some(api) = &file.api else {
        return Ok(None);
    };
    let folder = api.store.folder();
    let record = record(file, &api.store).map_err(|why| vec![format!("api.store: {why}")])?;
    let store = Store::open(folder, record);
    let store =
        store.map_err(|error| vec![format!("api.store.path: {}: {error}", folder.display())])?;
    let (config, models) = match &api.store {
        // Other nodes may have written what this one cannot serve: it tries again.
        model::Store::Etcd(_) => configure_most(file, &store, listen),
        model::Store::File(_) => configure(file, store.objects())?,
    };
    let config = shared(config);
    server::tell(&models.warnings(), &Warnings::new());
    store.warn(models.warnings());
    Ok(Some(Opened {
        store: Arc::new(store),
        models,
        config,
    }))
}

/// The configuration with all that can be served; what cannot be is held back.
fn configure_most(file: &Config, store: &Store, listen: Listen<'_>) -> (Config, Models) {
    let objects = store.objects();
    let configured = store.most(|objects| configure_and_listen(file, objects.clone(), listen));
    let (configured, held) = configured.unwrap_or_else(|error| {
        let held = Held::everything(&objects, &error.to_string());
        ((file.clone(), Models::default()), held)
    });
    for (path, why) in held.reasons() {
        log::error!("api.store: {path} is not served: {why}");
    }
    store.hold(held);
    configured
}

/// With the keys that the nodes have in common.
#[cfg(feature = "etcd")]
fn shared(mut config: Config) -> Config {
    if let Some(model::Store::Etcd(etcd)) = config.api.as_ref().map(|api| &api.store)
        && let Some(keys) = fleet::copied_keys(etcd)
    {
        keys.put(&mut config);
    }
    config
}

#[cfg(not(feature = "etcd"))]
fn shared(config: Config) -> Config {
    config
}

#[cfg(feature = "etcd")]
fn record(file: &Config, store: &model::Store) -> Result<Arc<dyn record::Record>, String> {
    let model::Store::Etcd(etcd) = store else {
        return Ok(Arc::<alone::Alone>::default());
    };
    Ok(Arc::new(fleet::Fleet::open(etcd, shown(file, etcd))?))
}

/// What etcd is shown.
#[cfg(feature = "etcd")]
fn shown(file: &Config, etcd: &model::Etcd) -> Option<Arc<rustls::sign::CertifiedKey>> {
    let mut certificates = file.certificates.iter();
    let shown = certificates.find(|one| etcd.certificate.as_ref() == Some(&one.name));
    shown.map(|one| Arc::clone(&one.key))
}

/// Without etcd there is no other.
#[cfg(not(feature = "etcd"))]
fn record(_: &Config, _: &model::Store) -> Result<Arc<dyn record::Record>, String> {
    Ok(Arc::<alone::Alone>::default())
}

impl Api {
    /// Answers from this store, and has what is written served.
    pub fn new(store: Arc<Store>, serve: Arc<dyn Serve>) -> Self {
        store.stand(&*serve);
        Api { store, serve }
    }

    /// Begins to take over what other nodes write.
    pub fn begin(&self) {
        self.store.begin(Arc::clone(&self.serve));
    }

    /// Has other nodes no longer wait for this one.
    pub async fn leave(&self) {
        self.store.leave().await;
    }

    /// Waits a moment for a write to serve everywhere.
    pub fn settle(&self, revision: u64) {
        self.store.settle(revision);
    }

    /// Leaves what is kept to a process that takes over, once no write is under way.
    pub async fn lend(&self) {
        let store = Arc::clone(&self.store);
        if let Err(error) = spawn_blocking(move || store.lend()).await {
            log::error!("api.store: {error}");
        }
    }

    /// Takes back what is kept, from a process that has not taken over, once that is gone.
    pub async fn take_back(self: Arc<Self>) {
        while let Err(error) = self.store.take_back(Arc::clone(&self.serve)) {
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
