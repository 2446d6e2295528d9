//! TLS from the end of a handshake on: records are opened and sealed with the keys that rustls has
//! agreed on, by ring.
//!
//! What must hold, and where it is seen to, is in this room's README. It knows no other room but
//! `base64_text`.

mod boundary;
#[cfg(test)]
mod cases;
mod fault;
mod keys;
mod reader;
mod state;
mod stream;
mod takeover;
mod writer;

pub(crate) use boundary::Boundary;
pub(crate) use state::RecordsState;
pub(crate) use stream::Records;
pub(crate) use takeover::{FirstSecrets, SecretNotes, take_over, with_secrets};
