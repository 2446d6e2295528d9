//! What of a record another process goes on with: moments as how long ago they are, or how soon,
//! and words that are one of a few.

use std::time::{Duration, Instant};

use serde::{Deserialize as _, Deserializer, de};

const SCHEMES: &[&str] = &["http", "https"];
const TLS_VERSIONS: &[&str] = &["TLSv1.2", "TLSv1.3"];
const HTTP_VERSIONS: &[&str] = &["HTTP/1.0", "HTTP/1.1", "HTTP/2"];
const VERIFICATIONS: &[&str] = &[
    "SUCCESS",
    "NONE",
    "FAILED:invalid",
    "FAILED:expired",
    "FAILED:not_yet_valid",
    "FAILED:unknown_issuer",
    "FAILED:bad_signature",
    "FAILED:malformed",
    "FAILED:wrong_purpose",
];

/// A moment that is over, for serde's `with`.
pub mod past {
    use super::{Deserializer, Duration, Instant};
    use serde::{Deserialize as _, Serialize as _, Serializer};

    /// How long ago it is.
    pub fn serialize<S: Serializer>(moment: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
        moment.elapsed().serialize(serializer)
    }

    /// So long ago; now where the clock does not reach that far.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
        let ago = Duration::deserialize(deserializer)?;
        let now = Instant::now();
        Ok(now.checked_sub(ago).unwrap_or(now))
    }
}

/// A moment to come, if there is one, for serde's `with`.
pub mod future {
    use super::{Deserializer, Duration, Instant};
    use serde::{Deserialize as _, Serialize as _, Serializer};

    /// How soon it is.
    pub fn serialize<S: Serializer>(
        moment: &Option<Instant>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let left = moment.map(|moment| moment.saturating_duration_since(Instant::now()));
        left.serialize(serializer)
    }

    /// So soon; never where the clock does not reach that far.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Instant>, D::Error> {
        let left = Option::<Duration>::deserialize(deserializer)?;
        Ok(left.and_then(|left| Instant::now().checked_add(left)))
    }
}

/// Headers, for serde's `with`.
pub mod headers {
    use super::{Deserializer, de};
    use http::HeaderName;
    use serde::{Deserialize as _, Serializer};

    /// Their names and values.
    pub fn serialize<S: Serializer>(
        headers: &[(HeaderName, String)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(headers.iter().map(|(name, value)| (name.as_str(), value)))
    }

    /// Those whose names are ones.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(HeaderName, String)>, D::Error> {
        let headers = Vec::<(String, String)>::deserialize(deserializer)?;
        let named = |(name, value): (String, String)| Ok((HeaderName::try_from(name)?, value));
        let named: Result<_, http::Error> = headers.into_iter().map(named).collect();
        named.map_err(de::Error::custom)
    }
}

fn known<'de, D: Deserializer<'de>>(
    deserializer: D,
    words: &[&'static str],
) -> Result<&'static str, D::Error> {
    let word = String::deserialize(deserializer)?;
    let mut words = words.iter().copied();
    let unknown = || de::Error::custom(format!("unknown word {word:?}"));
    words.find(|known| *known == word).ok_or_else(unknown)
}

pub(super) fn scheme<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'static str>, D::Error> {
    let word = Option::<String>::deserialize(deserializer)?;
    let known = |word: String| SCHEMES.iter().copied().find(|known| *known == word);
    Ok(word.and_then(known))
}

pub(super) fn tls_version<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<&'static str, D::Error> {
    known(deserializer, TLS_VERSIONS)
}

pub(super) fn http_version<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<&'static str, D::Error> {
    known(deserializer, HTTP_VERSIONS)
}

pub(super) fn verification<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<&'static str, D::Error> {
    known(deserializer, VERIFICATIONS)
}
