//! What a file may say, as data: from it come the JSON Schema that editors use, and the defaults
//! that `culvert config` shows.
//!
//! `keys.yaml` describes each object once. The reader in `config::read` decides what is valid, and
//! says more of it; the tests here hold the description against the reader, key by key, word by
//! word and default by default, so that neither moves without the other.

mod description;
mod filling;
mod json;

pub(super) use filling::filled;
pub use json::text;

#[cfg(test)]
mod tests;
