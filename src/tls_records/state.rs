//! How far a connection has come, as one process tells another. There are keys in it: it is wiped
//! when it is dropped, and not shown.

use std::fmt;

use ring::aead;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::base64_text;

/// How far a connection has come.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordsState {
    pub(super) reader: ReaderState,
    pub(super) writer: WriterState,
    /// Read: the beginning of a record.
    #[serde(with = "base64_text")]
    pub(super) begun: Zeroizing<Vec<u8>>,
    /// Opened, and not taken by anybody.
    #[serde(with = "base64_text")]
    pub(super) opened: Zeroizing<Vec<u8>>,
    /// Sealed, and not taken by the socket.
    #[serde(with = "base64_text")]
    pub(super) unsent: Zeroizing<Vec<u8>>,
    /// Whether the peer has said that nothing more comes.
    pub(super) has_ended: bool,
}

/// The direction from the peer to us.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReaderState {
    pub(super) keys: KeysState,
    pub(super) is_server: bool,
    /// What has begun of a message, without its place in a record.
    pub(super) message: Vec<u8>,
    pub(super) skipped: usize,
    pub(super) fruitless: u8,
}

/// The direction from us to the peer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WriterState {
    pub(super) keys: KeysState,
    pub(super) owes_update: bool,
    pub(super) owes_refusal: bool,
    pub(super) is_closed: bool,
}

/// The keys of one direction.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeysState {
    pub(super) suite: Suite,
    pub(super) origin: Origin,
    #[serde(with = "base64_text")]
    pub(super) iv: Zeroizing<Vec<u8>>,
    /// That of the next record.
    pub(super) number: u64,
}

/// An AEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Suite {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Suite {
    pub(super) fn algorithm(self) -> &'static aead::Algorithm {
        match self {
            Suite::Aes128Gcm => &aead::AES_128_GCM,
            Suite::Aes256Gcm => &aead::AES_256_GCM,
            Suite::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }

    /// How many records one key may seal (RFC 8446 section 5.5).
    pub(super) fn most_records(self) -> u64 {
        match self {
            Suite::Aes128Gcm | Suite::Aes256Gcm => 1 << 24,
            Suite::ChaCha20Poly1305 => u64::MAX,
        }
    }
}

/// What a key is made of.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Origin {
    /// Of the traffic secret of TLS 1.3.
    #[serde(with = "base64_text")]
    Secret(Zeroizing<Vec<u8>>),
    /// Of itself, in TLS 1.2.
    #[serde(with = "base64_text")]
    Key(Zeroizing<Vec<u8>>),
}

impl fmt::Debug for RecordsState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordsState")
    }
}
