//! Nobody renews anything: the configuration has no `acme` in a build without the feature.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Challenges, Renewals};
use crate::config::Config;
use crate::telemetry::metrics::Metrics;

/// Whoever renews certificates: nobody.
pub struct Keeper;

impl Keeper {
    /// Nobody.
    pub fn new(_: Arc<Challenges>, _: Arc<Renewals>, _: Arc<Metrics>, _: mpsc::Sender<()>) -> Self {
        Keeper
    }

    /// Does nothing.
    pub fn begin(&self, _: &Config) {}

    /// Does nothing.
    pub fn follow(&self, _: &Config) {}

    /// Does nothing.
    pub fn leave(&self) {}
}
