//! Tunnels: from the 101 to the close.
//!
//! A tunnel begins with an [`Opening`], which gets two sockets and of which nothing is in Pingora's
//! hands any more. From there on it is one small task, its relay. Its [`Handle`] is what
//! others know of it and reach it by; [`Tunnels`] holds all of them.

mod ending;
mod flow;
mod frames;
mod handle;
mod limits;
mod listing;
mod opening;
mod registry;
mod relay;
mod timer_wheel;

pub use ending::{Ending, OnEnd};
pub use handle::{Farewell, Handle, Identity};
pub use limits::Limits;
pub use listing::Page;
pub use opening::Opening;
pub use registry::{Listed, Tunnels};
pub use timer_wheel::TimerWheel;
