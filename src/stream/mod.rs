//! What bytes come from and go to, on both sides, and the notes on one connection.
//!
//! A [`ClientStream`] and a [`TargetStream`] are what the two say and hear, whatever is below. The
//! [`Wire`] is where the taps of a connection and its exchange tell each other how far they are.
//! None of this knows what is done with it.

mod client;
mod framing;
mod frozen;
mod head_end;
mod http2;
mod http2_heads;
mod http2_request;
mod parts;
mod small_frames;
mod target;
mod tls;
mod wire;

pub use client::ClientStream;
pub use framing::Framing;
pub(crate) use frozen::FrozenStream;
pub(crate) use head_end::HeadEnd;
pub use http2::Http2Stream;
pub use http2_heads::joined_cookies;
pub use http2_request::Http2Request;
pub(crate) use parts::Parts;
pub(crate) use small_frames::{END_STREAM, FRAME_HEAD, FrameHead, MOST_FRAME, PADDED, SmallFrames};
pub use target::TargetStream;
pub use tls::TlsStream;
pub(crate) use wire::status_of;
pub use wire::{ClientEnd, Phase, Wire};

/// One end of a tunnel, and what was read from it already.
#[derive(Debug)]
pub(crate) struct End<S> {
    pub(crate) stream: S,
    pub(crate) early: Vec<u8>,
}
