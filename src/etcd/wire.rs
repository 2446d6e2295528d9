//! The JSON of etcd's gateway: bytes are base64, 64-bit integers are text, and what is zero or
//! empty is left out.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;

/// What every answer begins with.
#[derive(serde::Deserialize)]
pub(super) struct Header {
    #[serde(default, deserialize_with = "integer")]
    pub(super) cluster_id: u64,
    #[serde(default, deserialize_with = "integer")]
    pub(super) revision: i64,
    #[serde(default, deserialize_with = "integer")]
    pub(super) raft_term: u64,
}

/// The answer of `/v3/kv/range`.
#[derive(serde::Deserialize)]
pub(super) struct Page {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) kvs: Vec<KeyValue>,
    #[serde(default)]
    pub(super) more: bool,
}

/// A key, and what is known of it.
#[derive(serde::Deserialize)]
pub(super) struct KeyValue {
    #[serde(default, deserialize_with = "bytes")]
    pub(super) key: Vec<u8>,
    #[serde(default, deserialize_with = "bytes")]
    pub(super) value: Vec<u8>,
    #[serde(default, deserialize_with = "integer")]
    pub(super) mod_revision: i64,
    #[serde(default, deserialize_with = "integer")]
    pub(super) lease: i64,
}

/// The answer of `/v3/kv/txn`.
#[derive(serde::Deserialize)]
pub(super) struct Committed {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) succeeded: bool,
}

/// The answer of `/v3/auth/authenticate`.
#[derive(serde::Deserialize)]
pub(super) struct Authenticated {
    pub(super) token: String,
}

/// The answer of `/v3/lease/grant`, and a message of `/v3/lease/keepalive`.
#[derive(serde::Deserialize)]
pub(super) struct Granted {
    #[serde(rename = "ID", default, deserialize_with = "integer")]
    pub(super) id: i64,
    /// In seconds; 0 where there is no such lease.
    #[serde(rename = "TTL", default, deserialize_with = "integer")]
    pub(super) ttl: i64,
}

/// The answer of `/v3/lease/revoke`.
#[derive(serde::Deserialize)]
pub(super) struct Revoked {}

/// A message of a stream.
#[derive(serde::Deserialize)]
pub(super) struct Streamed<T> {
    pub(super) result: T,
}

/// A message of `/v3/watch`.
#[derive(serde::Deserialize)]
pub(super) struct Watched {
    #[serde(default)]
    pub(super) canceled: bool,
    #[serde(default)]
    pub(super) cancel_reason: String,
    /// Not 0 where what was asked for has been compacted.
    #[serde(default, deserialize_with = "integer")]
    pub(super) compact_revision: i64,
    #[serde(default)]
    pub(super) events: Vec<Event>,
}

/// A change of one key.
#[derive(serde::Deserialize)]
pub(super) struct Event {
    /// `DELETE`, or else it is a put.
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    pub(super) kv: KeyValue,
}

/// Bytes as they are in a request.
pub(super) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The first key behind all that begin with this prefix.
pub(super) fn end(prefix: &[u8]) -> Vec<u8> {
    let Some(last) = prefix.iter().rposition(|byte| *byte < 0xff) else {
        // All keys from the prefix on.
        return vec![0];
    };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end
}

/// Where a range begins that has this prefix: no key is empty.
pub(super) fn start(prefix: &[u8]) -> Vec<u8> {
    match prefix {
        [] => vec![0],
        prefix => prefix.to_vec(),
    }
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64_STANDARD.decode(text).map_err(D::Error::custom)
}

fn integer<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        value => value.to_string(),
    };
    text.parse().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_zero_or_empty() {
        let text = r#"{"header":{"cluster_id":"14841639068965178418","revision":"7","raft_term":2},
            "kvs":[{"key":"/w==","mod_revision":"7"}],"count":"1"}"#;
        let page: Page = serde_json::from_str(text).unwrap();
        let (header, pair) = (&page.header, &page.kvs[0]);
        assert_eq!(header.cluster_id, 14_841_639_068_965_178_418);
        assert_eq!((header.revision, header.raft_term), (7, 2));
        assert_eq!((&*pair.key, &*pair.value), (&[0xff][..], &[][..]));
        assert_eq!((pair.mod_revision, pair.lease, page.more), (7, 0, false));
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in [
            r#"{"key":"not base64"}"#,
            r#"{"key":7}"#,
            r#"{"lease":"seven"}"#,
            r#"{"lease":1.5}"#,
            r#"{"lease":[]}"#,
        ] {
            assert!(serde_json::from_str::<KeyValue>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_prefix_ends_before_the_first_key_without_it() {
        for (prefix, first, behind) in [
            (&b"/culvert/"[..], &b"/culvert/"[..], &b"/culvert0"[..]),
            (&[7, 0xff], &[7, 0xff], &[8]),
            (&[0xff, 0xff], &[0xff, 0xff], &[0]),
            (&[], &[0], &[0]),
        ] {
            assert_eq!(start(prefix), first, "{prefix:?}");
            assert_eq!(end(prefix), behind, "{prefix:?}");
        }
    }
}
