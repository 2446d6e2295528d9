//! What is asked for, and what becomes of objects by it.

use std::sync::Arc;

use serde_json::Value;

use super::kind::Kind;
use super::object::Object;
use super::path::ResourcePath;
use super::request::Request;
use super::state::State;

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// A new object of a kind, in another or at the top, with this body.
    Create(Kind, Option<ResourcePath>, Value),
    /// Other properties for an object.
    Replace(ResourcePath, Value),
    /// Some other properties for an object.
    Patch(ResourcePath, Value),
    /// An object is to go, with all that is in it.
    Delete(ResourcePath),
}

impl Write {
    /// The object that is to change, if there is one already.
    pub fn place(&self) -> Option<&ResourcePath> {
        match self {
            Write::Create(..) => None,
            Write::Replace(place, _) | Write::Patch(place, _) | Write::Delete(place) => Some(place),
        }
    }
}

/// A write that is done.
#[derive(Debug)]
pub struct Written {
    /// The request that remembers it.
    pub request: Arc<Request>,
    /// The object that it was about; `None` where it is gone.
    pub object: Option<Arc<Object>>,
    /// Where that is.
    pub place: ResourcePath,
    /// What is kept now.
    pub state: Arc<State>,
}

/// What a client has of a write beside its content.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    /// `POST`
    pub method: &'a str,
    /// A user's name.
    pub by: &'a str,
    /// `If-Match`: the object must have one of these tags.
    pub only_if: Option<&'a str>,
}

/// What becomes of objects, and which of them the write was about.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    /// The object that was asked about.
    pub place: ResourcePath,
    /// Objects with what becomes of them, the parents before what is in them.
    pub objects: Vec<(ResourcePath, Option<Object>)>,
}
