//! What a store needs of whoever serves, and how it asks for that.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::error::ApiError;
use super::object::Object;
use super::objects::Objects;
use super::path::ResourcePath;
use super::state::{Standing, Warnings};
use crate::serving::SharedKeys;

/// Has a write on record; where that fails nothing has changed.
pub(super) type Keep<'a> = &'a mut dyn FnMut() -> Result<(), ApiError>;

/// Whoever serves what is written.
pub trait Serve: Send + Sync {
    /// Serves with these objects in the place of those before; `keep` is called once nothing can
    /// fail any more but itself. `about` is the object that is written.
    ///
    /// Errors: they cannot be served, or not kept; then everything is as before.
    fn serve(
        &self,
        objects: &Objects,
        about: Option<&ResourcePath>,
        keep: Keep<'_>,
    ) -> Result<Warnings, ApiError>;

    /// Serves with these objects, which it serves with already, as the configuration and the files
    /// that they name are now.
    ///
    /// Errors: they cannot be served so; then everything is as before.
    fn renew(&self, _objects: &Objects) -> Result<Warnings, ApiError> {
        Ok(Warnings::new())
    }

    /// Whether the same objects would be served in another way now.
    fn is_outdated(&self) -> bool;

    /// What the configuration file has. Another list where that has changed.
    fn of_file(&self) -> Arc<Vec<(ResourcePath, Arc<Object>)>>;

    /// Whether a target group had this name before that is not the one that is called so now, and
    /// has tunnels by it.
    fn is_former_name(&self, _name: &str, _label: Option<&str>) -> bool {
        false
    }

    /// Whether a datacenter is there where somebody names it.
    fn any_datacenter(&self) -> bool;

    /// Serves with keys that the nodes have in common. Errors: they cannot be used.
    fn share_keys(&self, _keys: SharedKeys) -> Result<(), String> {
        Ok(())
    }

    /// Shows how it stands with what is on record.
    fn show(&self, _standing: Standing) {}

    /// Addresses for an IP block: so many that are not among these.
    fn new_ips(&self, count: usize, taken: &HashSet<IpAddr>) -> Option<Vec<IpAddr>>;
}

/// Finds out whether these can be served. Nothing has changed then.
pub(super) fn try_out(
    objects: &Objects,
    about: &ResourcePath,
    serve: &dyn Serve,
) -> Result<(), ApiError> {
    let mut is_possible = false;
    let mut only_try = || {
        is_possible = true;
        Err(ApiError::later("it is only tried"))
    };
    let tried = serve.serve(objects, Some(about), &mut only_try);
    tried.map(drop).or_else(|error| match is_possible {
        true => Ok(()),
        false => Err(error),
    })
}
