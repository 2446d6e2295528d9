//! The taps: what Pingora takes for its connections, to a client and to a target.
//!
//! Pingora does the handshake. Both taps hold back what lies beyond the heads, so that when the 101
//! has gone out nothing of the tunnel is in Pingora's hands, and they give their sockets to a relay.
//! Of a plain exchange they follow the bodies, too: where each ends, and how much of it is on its way.

mod absolute_form;
mod body;
mod chunks;
mod client;
mod own_answer;
mod pace;
mod request_head;
mod silence;
mod target;
mod trailers;

pub use body::Framing;
pub(crate) use body::Told;
pub use client::{LAST_CHANCE, Tap};
pub use own_answer::{ALLOW, own_answer};
pub use pace::{Demand, Pace};
pub use silence::Late;
pub use target::Purpose;
pub(crate) use target::{Http2Tap, TargetTap};
pub(crate) use trailers::Passage;
pub use trailers::are_few;
