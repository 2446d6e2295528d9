//! What is known of the tries of an exchange, whichever target each went to.

use std::sync::Arc;
use std::time::Instant;

use crate::tap::{Deadline, Ends};
use crate::target_address::TargetAddress;
use crate::target_group::Target;

/// The tries so far.
#[derive(Default)]
pub(super) struct Attempts {
    /// The targets that have failed the request.
    pub(super) tried: Vec<TargetAddress>,
    /// The target of the present try, or the last.
    pub(super) target: Option<Arc<Target>>,
    /// The target whose kept connection was dead.
    pub(super) again: Option<Arc<Target>>,
    /// How many kept connections were dead.
    pub(super) stale: usize,
    /// How many times a target has not processed the request.
    pub(super) unprocessed: usize,
    /// A target wants to be asked this in HTTP/1.1.
    pub(super) wants_http1: bool,
    /// How many times the request was sent again for the status of its answer.
    pub(super) repeated: u32,
    /// The next try waits as long as the rule wants.
    pub(super) pauses: bool,
    /// When the present try must be over.
    pub(super) deadline: Option<Deadline>,
    /// What has ended with the deadline of the last try.
    pub(super) expired: Option<Ends>,
    /// How the connection broke to a target that was tried before.
    pub(super) broken: Option<String>,
    /// Why the target that was tried last could not be connected to, where we have words for it.
    pub(super) connect_failure: Option<String>,
    /// When that target was picked.
    pub(super) picked_at: Option<Instant>,
    /// When the request was sent to it.
    pub(super) asked_at: Option<Instant>,
}

impl Attempts {
    /// How many tries have failed before an answer.
    pub(super) fn failed(&self) -> usize {
        self.tried.len().saturating_sub(self.repeated as usize)
    }
}
