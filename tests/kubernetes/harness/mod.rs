//! The stage: a [`Server`] is a real API server, a [`Space`] what a test has for itself there, and a
//! [`Node`] a running Culvert, on a [`Machine`](machine::Machine) of its own perhaps. A [`Keeper`] sees to it that nothing of it is left behind.

mod client;
mod keeper;
pub mod machine;
mod network;
pub mod node;
#[path = "../../edge/harness/ports.rs"]
mod ports;
pub mod server;
pub mod space;
pub mod target;

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use client::Client;
use keeper::Keeper;
pub use network::inside;
pub use node::Node;
pub use ports::free_address;
use ports::free_addresses;
pub use server::{Server, Setup};
pub use space::{Space, condition};

/// How long anything that must happen may take, on a slow machine under load.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `check` comes to something.
pub async fn eventually<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, check).await
}

/// The same, for no longer than this.
pub async fn within<T>(time: Duration, what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + time;
    loop {
        match check().await {
            Some(value) => return value,
            None if Instant::now() < deadline => sleep(Duration::from_millis(25)).await,
            None => panic!("did not happen: {what}"),
        }
    }
}

/// The result of something that must not take for ever.
pub async fn soon<T>(what: &str, happening: impl Future<Output = T>) -> T {
    let result = timeout(PATIENCE, happening).await;
    result.unwrap_or_else(|_| panic!("did not happen: {what}"))
}
