//! The taps: what Pingora takes for its connections, to a client and to a target.
//!
//! Pingora does the handshake. Both taps hold back what lies beyond the heads, so that when the 101
//! has gone out nothing of the tunnel is in Pingora's hands, and they hand their sockets over to a
//! relay. Of a plain exchange they follow the bodies, too: where each ends, and how much of it is
//! on its way.

mod absolute_form;
mod body;
mod chunks;
mod client;
mod clocks;
mod connector;
mod early;
mod fields;
mod hand_over;
mod heads;
mod http2_target;
mod own_answer;
mod pace;
mod purpose;
mod request_head;
mod silence;
mod target;
mod target_request;
mod trailers;

pub use client::{LAST_CHANCE, Tap};
pub use clocks::{Clocks, Deadline, Ends, Expired};
pub use connector::Connector;
pub use hand_over::HandOver;
pub use own_answer::{ALLOW, own_answer};
pub use pace::{Demand, Pace};
pub use purpose::Purpose;
pub use request_head::shown_to_pingora;
pub use silence::Late;
pub use trailers::are_few;
