//! A key of 32 secret bytes, and how files and other processes have it: session tickets are sealed
//! with such keys, and sticky cookies made.
//!
//! It is wiped from memory when it is dropped, and no message shows it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How many bytes a key has.
pub const LENGTH: usize = 32;

/// 32 secret bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretKey(Zeroizing<[u8; LENGTH]>);

impl SecretKey {
    /// A key of these bytes.
    pub fn new(bytes: Zeroizing<[u8; LENGTH]>) -> Self {
        SecretKey(bytes)
    }

    /// A new key, by chance; `None` where the system gives no randomness.
    pub fn random() -> Option<Self> {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        SystemRandom::new().fill(bytes.as_mut_slice()).ok()?;
        Some(SecretKey(bytes))
    }

    /// A key as `openssl rand -base64 32` prints it. `None` if it is no base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Option<Self> {
        let decoded = Zeroizing::new(STANDARD.decode(text).ok()?);
        let bytes: &[u8; LENGTH] = decoded.as_slice().try_into().ok()?;
        Some(SecretKey(Zeroizing::new(*bytes)))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

impl TryFrom<String> for SecretKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let text = Zeroizing::new(text);
        SecretKey::from_base64(&text).ok_or("not a key of 32 bytes in base64")
    }
}

impl From<SecretKey> for String {
    fn from(key: SecretKey) -> Self {
        STANDARD.encode(key.bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes_in_base64_and_is_never_shown() {
        let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let key = SecretKey::from_base64(text).unwrap();
        assert_eq!(key.bytes()[31], 31);
        assert_eq!(format!("{key:?}"), "SecretKey");
        assert_eq!(String::from(key), text);
        for other in ["", "AAEC", "AAECAwQF\n", &text[1..], &text[..40], "ä"] {
            assert_eq!(SecretKey::from_base64(other), None, "{other}");
        }
    }
}
