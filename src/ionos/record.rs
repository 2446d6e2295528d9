//! Where a store puts its writes on record: on the disk alone, or where several nodes share them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;

use super::error::ApiError;
use super::held::Missing;
use super::journal::Journal;
use super::request::{Progress, Request};
use super::serve::Serve;
use super::state::{Entry, Standing, State};

/// Why a write is not on record. Nothing has changed.
#[derive(Debug)]
pub(super) enum NotKept {
    /// It cannot be.
    Refused(ApiError),
    /// Another node was first: what that has written is to be seen before it is tried again.
    Lost,
}

/// Finds out what others have written after this state; `None`: nothing.
pub(super) type Find<'a> = Box<dyn FnOnce(&State) -> Result<Option<Entry>, String> + Send + 'a>;

/// Whoever keeps what others have written.
pub(super) trait Take: Send + Sync {
    /// Takes it over, which is found out once nobody else writes. What cannot be served is kept all
    /// the same, and what was served before goes on. Errors: it cannot be found out.
    fn take(&self, serve: &dyn Serve, find: Find<'_>) -> Result<(), String>;

    /// Has the copy follow, where it does not.
    fn look_after(&self);

    /// Whether something is on record that is not served.
    fn lacks(&self) -> bool;

    /// Shows how it stands with what is on record.
    fn show(&self, serve: &dyn Serve);
}

/// Where writes are put on record: the journal alone, or a place that several nodes share, of which
/// the journal is the copy.
#[async_trait]
pub(super) trait Record: std::fmt::Debug + Send + Sync {
    /// Errors: it takes no writes now. It may wait a moment for what has just begun.
    fn check(&self) -> Result<(), ApiError>;

    /// Whether others share it. Then it is asked before anything is served, for that may take its
    /// time, and what is on record stays, even if this node cannot serve it.
    fn is_shared(&self) -> bool;

    /// What a write is called; empty where this node writes alone.
    fn name(&self, request: &Request) -> String;

    /// Notes that another node was first, and that nothing has come of it.
    fn doubt(&self);

    /// Has a write on record that comes after this state.
    fn keep(&self, before: &State, entry: &Entry, journal: &mut Journal) -> Result<(), NotKept>;

    /// Has the journal follow, where it is a copy: with this write the state is that one.
    fn copy(&self, entry: &Entry, state: &State, journal: &mut Journal);

    /// Notes that this node serves all up to this write, but for what is missing.
    fn tell(&self, revision: u64, missing: Option<Missing>);

    /// How far a write is.
    fn progress(&self, revision: u64) -> Progress;

    /// How it stands, where this is the last write that is kept.
    fn standing(&self, revision: u64) -> Standing;

    /// Waits until a write serves everywhere, or fails, but not longer than this.
    fn wait(&self, revision: u64, most: Duration);

    /// Begins to take over what other nodes write.
    fn begin(&self, store: Weak<dyn Take>, serve: Arc<dyn Serve>);

    /// Ends that.
    fn end(&self);

    /// Has other nodes no longer wait for this one.
    async fn leave(&self);
}
