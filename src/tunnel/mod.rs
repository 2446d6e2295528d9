//! Tunnels: from the 101 to the close.
//!
//! A tunnel begins with an [`Opening`], which gets two sockets and of which nothing is in Pingora's
//! hands any more. From there on it is one small task, its relay. Its [`Handle`] is what
//! others know of it and reach it by; [`Tunnels`] holds all of them.

mod arrival;
mod ending;
mod flow;
mod frames;
mod frozen;
mod handle;
mod limits;
mod listing;
mod on_end;
mod opening;
#[cfg(debug_assertions)]
pub mod refreeze;
mod registry;
mod relay;
mod shards;
mod state;
mod timer_wheel;

pub use arrival::Arrived;
pub use ending::Ending;
pub use frozen::Frozen;
pub use handle::{Farewell, Handle, Identity, Stay};
pub use limits::Limits;
pub use listing::Page;
#[cfg(test)]
pub(crate) use on_end::tests::Lines;
pub use on_end::{Account, OnEnd, Place};
pub use opening::Opening;
pub use registry::{Listed, Tunnels};
pub use timer_wheel::TimerWheel;
