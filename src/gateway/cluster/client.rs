//! How the API server of a cluster is reached.

use std::sync::Arc;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use parking_lot::Mutex;

use super::told::told;
use crate::config::model::Access;

/// The client that is used, for all who ask. One after an answer that did not come has connections
/// of its own: those of the one before may be dead.
#[derive(Clone)]
pub(super) struct Clients(Arc<Mutex<Client>>);

impl Clients {
    pub(super) fn new(client: Client) -> Self {
        Clients(Arc::new(Mutex::new(client)))
    }

    /// The one that is used now.
    pub(super) fn now(&self) -> Client {
        self.0.lock().clone()
    }

    /// Another one takes its place, if there can be one.
    pub(super) async fn renew(&self, access: &Access) {
        if let Ok(client) = client(access).await {
            *self.0.lock() = client;
        }
    }
}

/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(5);

/// A client, which has yet to connect. Errors: what is wrong with what it is told, in words.
pub(super) async fn client(access: &Access) -> Result<Client, String> {
    let mut config = config(access).await?;
    config.connect_timeout = Some(CONNECTING);
    // Whoever asks has pauses of his own.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| told(&error))
}

/// What it is told.
pub(super) async fn config(access: &Access) -> Result<Config, String> {
    match access {
        Access::InCluster => Config::incluster().map_err(|error| told(&error)),
        Access::Kubeconfig { path, context } => {
            let at = |error: &(dyn std::error::Error + 'static)| {
                format!("{}: {}", path.display(), told(error))
            };
            let file = Kubeconfig::read_from(path).map_err(|error| at(&error))?;
            let options = KubeConfigOptions {
                context: context.clone(),
                ..KubeConfigOptions::default()
            };
            let config = Config::from_custom_kubeconfig(file, &options).await;
            config.map_err(|error| at(&error))
        }
    }
}
