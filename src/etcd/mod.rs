//! A client of etcd, version 3, by the JSON that etcd itself speaks beside gRPC.
//!
//! A [`Client`] reads what is under a prefix, commits transactions that compare first, keeps a
//! [`Lease`] and follows a prefix with a [`Watch`]. Whichever endpoint answers is asked; a write is
//! repeated by itself only where it cannot have been done. What keys and values mean is left to
//! the caller. The one thing to know: an error with [`Outcome::Unknown`] may have been a success,
//! even one that is yet to come.

mod client;
mod connection;
mod endpoints;
mod error;
mod kv;
mod lease;
mod lines;
mod question;
mod settings;
mod watch;
mod wire;

pub use client::Client;
pub use endpoints::Trouble;
pub use error::{Cause, Error, Outcome};
pub use kv::{Committed, Compare, Delete, Pages, Pair, Position, Put, Snapshot, Txn};
pub use lease::Lease;
pub use settings::{Bounds, Endpoint, Settings, Times, User};
pub use watch::{Batch, Change, Watch};
