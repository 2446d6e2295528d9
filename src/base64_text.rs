//! Bytes as base64 in what one process tells another. There may be keys among them: what is made
//! on the way is wiped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize as _, Deserializer, Serializer, de};
use zeroize::Zeroizing;

/// For serde's `with`.
pub(crate) fn serialize<T: AsRef<[u8]>, S: Serializer>(
    bytes: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let text = Zeroizing::new(STANDARD.encode(bytes));
    serializer.serialize_str(&text)
}

/// For serde's `with`.
pub(crate) fn deserialize<'de, T: From<Vec<u8>>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let text = Zeroizing::new(String::deserialize(deserializer)?);
    let bytes = STANDARD.decode(text.as_bytes());
    bytes.map(T::from).map_err(de::Error::custom)
}
