//! What a build without the feature `kubernetes` has of a cluster: none.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::news::{Key, News};
use super::report::Report;
use crate::config::model::{self, Kubernetes};
use crate::telemetry::metrics::Metrics;

/// There is none.
#[derive(Debug)]
pub(super) enum Cluster {}

const ABSENT: &str = "this culvert is built without the feature kubernetes";

pub(super) fn check(_: &Kubernetes) -> Result<(), String> {
    Err(ABSENT.to_owned())
}

impl Cluster {
    pub(super) fn follow(_: &model::Gateway, _: &Kubernetes) -> Result<Self, String> {
        Err(ABSENT.to_owned())
    }

    pub(super) fn counts_in(&self, _: Arc<Metrics>) {
        match *self {}
    }

    pub(super) fn changes(&self) -> Option<mpsc::Receiver<()>> {
        match *self {}
    }

    pub(super) fn wait(&self, _: Duration) -> bool {
        match *self {}
    }

    pub(super) fn take(&self) -> Option<News> {
        match *self {}
    }

    pub(super) fn want(&self, _: BTreeSet<Key>, _: Duration) -> bool {
        match *self {}
    }

    pub(super) fn bundle(&self) -> Option<String> {
        match *self {}
    }

    pub(super) fn troubles(&self) -> Vec<String> {
        match *self {}
    }

    pub(super) fn newest(&self) -> u64 {
        match *self {}
    }

    pub(super) fn report(&self, _: Arc<Report>) {
        match *self {}
    }

    pub(super) fn retire(&self) {
        match *self {}
    }

    pub(super) async fn leave(&self) {
        match *self {}
    }
}
