//! What lies between Pingora and the sockets.
//!
//! The [`Tap`] stands around a client's stream: it keeps the clocks that Pingora does not have, and notes what went over
//! the wire. Its notes are in the [`Wire`], which the exchange reads.

mod tap;
mod wire;

pub use tap::Tap;
pub use wire::{ClientEnd, Phase, Wire};
