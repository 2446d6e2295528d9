//! Connections to targets: those that are dialled, those that wait for their next request, and
//! those of HTTP/2, which carry many at a time.

mod carrier;
mod dial;
pub(crate) mod failure;
mod frames;
mod pool;

pub(crate) use carrier::Ticket;
pub use dial::Dialler;
pub(crate) use dial::Found;
pub use failure::{Unprocessed, WantsHttp1, is_blameless};
pub use pool::Pool;
