//! What bounds the requests of a forwarding rule.

use super::super::model::{Bounds, Rate, Rates};
use super::super::tree::{Mapping, Node};

/// More than this Pingora's parser does not read.
const MOST_HEADER_BYTES: usize = 1_048_575;
/// More than these it does not take.
const MOST_HEADERS: usize = 256;

/// `has_tls` is whether there are TLS handshakes to be counted.
pub(super) fn rates(mapping: &Mapping, has_tls: bool) -> Option<Rates> {
    let tls_keys = [
        "maxTlsHandshakesPerSecond",
        "maxTlsHandshakesPerSecondPerClient",
    ];
    let requests = rate(
        mapping,
        ["maxRequestsPerSecond", "maxRequestsPerSecondPerClient"],
    );
    let handshakes = rate(
        mapping,
        ["maxHandshakesPerSecond", "maxHandshakesPerSecondPerClient"],
    );
    let tls_handshakes = rate(mapping, tls_keys);
    for key in tls_keys {
        if !has_tls && mapping.get(key).is_some() {
            mapping.warning(key, "has no effect without serverCertificates");
        }
    }
    Some(Rates {
        requests: requests?,
        handshakes: handshakes?,
        tls_handshakes: tls_handshakes?,
    })
}

fn rate(mapping: &Mapping, [all, client]: [&str; 2]) -> Option<Rate> {
    let most = |key| {
        mapping.or(key, None, |node: &Node| {
            node.integer(1..=1_000_000).map(Some)
        })
    };
    let (all, client) = (most(all), most(client));
    Some(Rate {
        all: all?,
        client: client?,
    })
}

pub(super) fn bounds(mapping: &Mapping) -> Option<Bounds> {
    let default = Bounds::default();
    let header_bytes = mapping.or("maxHeaderBytes", default.header_bytes, |node| {
        node.integer(512..=MOST_HEADER_BYTES)
    });
    let headers = mapping.or("maxHeaders", default.headers, |node| {
        node.integer(1..=MOST_HEADERS)
    });
    let body_bytes = mapping.or("maxRequestBodyBytes", default.body_bytes, |node| {
        node.integer(0..=1 << 50).map(Some)
    });
    let minimum_rate = mapping.or("minimumRate", default.minimum_rate, |node| {
        node.integer(0..=1 << 20)
    });
    Some(Bounds {
        header_bytes: header_bytes?,
        headers: headers?,
        body_bytes: body_bytes?,
        minimum_rate: minimum_rate?,
    })
}
