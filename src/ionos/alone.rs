//! The record of a node that writes alone: the journal.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;

use super::error::{ApiError, INVALID};
use super::held::Missing;
use super::journal::Journal;
use super::record::{NotKept, Record, Take};
use super::request::{Progress, Request};
use super::serve::Serve;
use super::state::{Entry, Standing, State};

/// A node that writes alone.
#[derive(Debug, Default)]
pub(super) struct Alone {
    /// Whether the last write could not be kept.
    is_failing: AtomicBool,
}

#[async_trait]
impl Record for Alone {
    fn check(&self) -> Result<(), ApiError> {
        Ok(())
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn name(&self, _: &Request) -> String {
        String::new()
    }

    fn doubt(&self) {}

    fn keep(&self, _: &State, entry: &Entry, journal: &mut Journal) -> Result<(), NotKept> {
        let added = journal.add(entry);
        self.is_failing.store(added.is_err(), Relaxed);
        added.map_err(|error| NotKept::Refused(not_kept(&error)))
    }

    fn copy(&self, _: &Entry, _: &State, _: &mut Journal) {}

    fn tell(&self, _: u64, _: Option<Missing>) {}

    fn progress(&self, _: u64) -> Progress {
        Progress::Done
    }

    fn standing(&self, revision: u64) -> Standing {
        Standing {
            store: "FILE",
            is_available: !self.is_failing.load(Relaxed),
            is_known: true,
            known: revision,
            served: revision,
        }
    }

    fn wait(&self, _: u64, _: Duration) {}

    fn begin(&self, _: Weak<dyn Take>, _: Arc<dyn Serve>) {}

    fn end(&self) {}

    async fn leave(&self) {}
}

fn not_kept(error: &io::Error) -> ApiError {
    log::error!("api.store: a write is not kept: {error}");
    let status = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            507
        }
        _ => 500,
    };
    ApiError::new(status, INVALID, format!("it cannot be kept: {error}"))
}
