//! The stage: [`Edge`] is a running Culvert, [`target`] and [`client`] play the two ends, and a
//! [`Load`] is many clients. [`Haproxy`] is the real one, in front or behind; so are [`Nginx`],
//! behind, and [`Prometheus`]. What is said on the command line is a [`Process`]; what is done by a
//! service manager goes through a [`Manager`].

pub mod admin;
pub mod api;
pub mod api_server;
mod cgroup;
pub mod client;
pub mod config;
pub mod dns;
pub mod docs;
pub mod edge;
pub mod etcd;
mod haproxy;
pub mod http2;
mod load;
pub mod manager;
pub mod manifests;
#[path = "../../etcd/harness/network.rs"]
mod network;
mod nginx;
mod node;
mod noise;
mod observations;
pub mod pebble;
pub mod ports;
pub mod process;
pub mod prometheus;
mod python;
pub mod report;
pub mod story;
pub mod target;
pub mod tls;
pub mod waiting;
pub mod wire;

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

pub use api_server::ApiServer;
pub use cgroup::Cgroup;
pub use client::{Answer, Connection};
pub use config::Config;
pub use edge::Edge;
pub use etcd::Etcd;
pub use haproxy::Haproxy;
pub use load::Load;
pub use manager::Manager;
pub use manifests::Manifests;
pub use nginx::Nginx;
pub use node::node;
pub use noise::Noise;
pub use process::Process;
pub use prometheus::Prometheus;
pub use python::python;
pub use target::Target;
pub use tls::Authority;

/// How long anything that must happen may take, on a slow machine under load.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `check` returns something.
pub async fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    eventually_or(what, || check().ok_or_else(String::new)).await
}

/// Waits until `check` returns something, and no longer what is wrong.
pub async fn eventually_or<T>(what: &str, mut check: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match check() {
            Ok(value) => return value,
            Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(5)).await,
            Err(wrong) => panic!("did not happen: {what} {wrong}"),
        }
    }
}

/// The result of something that must not take for ever.
pub async fn soon<T>(what: &str, happening: impl Future<Output = T>) -> T {
    let result = timeout(PATIENCE, happening).await;
    result.unwrap_or_else(|_| panic!("did not happen: {what}"))
}
