//! What is put in place, and what must be done first.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::config::fault::Fault;
use crate::config::{Config, model};

/// Has a change on record, where there is one. It is called when nothing else can fail any more;
/// where it does nothing has changed.
pub type Keep<'a> = &'a mut dyn FnMut() -> Result<(), Fault>;

/// What is put in place.
pub(super) struct New<'a> {
    /// The configuration.
    pub(super) config: &'a Config,
    /// Its target groups, with the addresses of names and the overrides.
    pub(super) groups: &'a [Arc<model::TargetGroup>],
    /// The target groups that have another name now: the one before, and the present one.
    pub(super) renamed: &'a [(String, String)],
    /// Sockets for the addresses that were not listened on.
    pub(super) sockets: HashMap<SocketAddr, TcpListener>,
}

/// A configuration that takes the place of another.
pub(super) struct Replacement<'a> {
    pub(super) before: &'a Config,
    pub(super) config: &'a Arc<Config>,
    /// The target groups that have another name now: the one before, and the present one.
    pub(super) renamed: &'a [(String, String)],
    /// Whether what was decided over the admin address is over.
    pub(super) ends_overrides: bool,
}

/// What a reload changes.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// What is allowed but hardly meant, and what only another process can change.
    pub warnings: Vec<String>,
    /// What is different, a line each.
    pub changes: Vec<String>,
}
