//! What bytes come from and go to, on both sides, and the notes on one connection.
//!
//! A [`ClientStream`] and a [`TargetStream`] are what the two say and hear, whatever is below. The
//! [`Wire`] is where the taps of a connection and its exchange tell each other how far they are. None
//! of this knows what is done with it.

mod client;
mod head_end;
mod http2;
mod http2_heads;
mod http2_request;
mod target;
mod wire;

pub use client::ClientStream;
pub(crate) use head_end::{Answer, HeadEnd};
pub use http2::Http2Stream;
pub use http2_heads::joined_cookies;
pub use http2_request::Http2Request;
pub use target::TargetStream;
pub use wire::{ClientEnd, Phase, WIRE, Wire};
pub(crate) use wire::{status_of, with_wire};
