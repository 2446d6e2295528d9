//! What a request says in the name of proxies: headers that they set and targets believe. Only
//! trusted proxies may send them; of everybody else they are dropped before any condition sees
//! them. So is every name with an underscore, unless the forwarding rule lets them pass: many
//! targets read `X_Real_IP` as `X-Real-IP`.
//!
//! The list is that of the reference, and a test compares the two.

use http::header::CONNECTION;
use http::{HeaderMap, HeaderName};
use pingora::http::RequestHeader;

use crate::forwarding_rule::ForwardingRule;
use crate::refusal::Refusal;

/// In alphabetical order.
const NAMES: [&str; 56] = [
    "appengine-user-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-ipcountry",
    "cf-pseudo-ipv4",
    "cf-visitor",
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "do-connecting-ip",
    "fastly-client-ip",
    "fastly-ssl",
    "fly-client-ip",
    "forwarded",
    "forwarded-for",
    "front-end-https",
    "incap-client-ip",
    "proxy",
    "proxy-client-ip",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "true-client-ip",
    "x-accel-mapping",
    "x-appengine-user-ip",
    "x-client-dn",
    "x-client-ip",
    "x-client-verify",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-http-host-override",
    "x-original-for",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-method",
    "x-original-prefix",
    "x-original-proto",
    "x-original-scheme",
    "x-original-uri",
    "x-original-url",
    "x-originating-ip",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-group",
    "x-remote-ip",
    "x-remote-user",
    "x-rewrite-url",
    "x-scheme",
    "x-script-name",
    "x-sendfile-type",
    "x-ssl",
    "x-sucuri-clientip",
    "x-true-client-ip",
    "x-url-scheme",
];
/// With whatever comes after.
const PREFIXES: [&str; 14] = [
    "$ws",
    "cloudfront-",
    "ssl-client-",
    "wl-proxy-",
    "x-amzn-mtls-",
    "x-amzn-oidc-",
    "x-arr-",
    "x-auth-request-",
    "x-azure-",
    "x-client-cert",
    "x-envoy-",
    "x-forwarded-",
    "x-ssl-",
    "x-webauth-",
];
/// What frames a request, and what else we set.
const OURS: [&str; 3] = ["content-length", "transfer-encoding", "x-request-id"];
/// What a handshake says, and we look at.
const HANDSHAKE: &str = "sec-websocket-";

/// The headers of a request that neither a condition nor a target may see.
pub(super) fn dropped(
    headers: &HeaderMap,
    rule: &ForwardingRule,
    is_from_proxy: bool,
) -> Vec<HeaderName> {
    let is_dropped = |name: &&HeaderName| {
        let name = name.as_str();
        if !is_from_proxy && is_listed(name) {
            return true;
        }
        !is_plain(name)
            && (!rule.underscores_in_headers && name.contains('_') || is_disguised(name))
    };
    headers.keys().filter(is_dropped).cloned().collect()
}

/// Drops them.
///
/// Errors: a trusted proxy's request whose Connection names one of them. It may have been written
/// by a client that wants it gone.
pub(super) fn disregard(
    request: &mut RequestHeader,
    rule: &ForwardingRule,
    is_from_proxy: bool,
) -> Result<(), Refusal> {
    if is_from_proxy && names_listed(&request.headers) {
        return Err(Refusal::bad_request(
            "Connection names a header that proxies set",
        ));
    }
    for name in dropped(&request.headers, rule, is_from_proxy) {
        request.remove_header(&name);
    }
    Ok(())
}

/// Whether a target may take one name for the other: some keep of a name only its letters and
/// digits.
pub(super) fn read_alike(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().map(read).eq(other.bytes().map(read))
}

fn read(byte: u8) -> u8 {
    match byte.is_ascii_alphanumeric() {
        true => byte.to_ascii_lowercase(),
        false => b'-',
    }
}

fn is_listed(name: &str) -> bool {
    if !may_be_listed(name) {
        return false;
    }
    // No prefix begins with another: if one fits, it is the last that is not behind the name.
    let behind = PREFIXES.partition_point(|prefix| *prefix <= name);
    let prefix = behind.checked_sub(1).map(|last| PREFIXES[last]);
    prefix.is_some_and(|prefix| name.starts_with(prefix)) || NAMES.binary_search(&name).is_ok()
}

/// Whether there is a name of the list that begins with the same letter and is as long, or a prefix
/// with this letter that is no longer: of most headers there is none.
fn may_be_listed(name: &str) -> bool {
    let first = name.as_bytes().first().copied().unwrap_or_default();
    LENGTHS[usize::from(first & 0x7f)] >> name.len().min(63) & 1 == 1
}

/// For each first letter a bit for each length of a name, the last for 63 and more.
const LENGTHS: [u64; 128] = lengths();

const fn lengths() -> [u64; 128] {
    let mut lengths = [0; 128];
    let mut at = 0;
    while at < NAMES.len() {
        lengths[NAMES[at].as_bytes()[0] as usize] |= 1 << NAMES[at].len();
        at += 1;
    }
    at = 0;
    while at < PREFIXES.len() {
        lengths[PREFIXES[at].as_bytes()[0] as usize] |= u64::MAX << PREFIXES[at].len();
        at += 1;
    }
    lengths
}

/// Whether nobody can read a name but as it is written.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| PLAIN[usize::from(byte)])
}

/// What everybody reads as it is written.
const PLAIN: [bool; 256] = plain();

const fn plain() -> [bool; 256] {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        plain[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'$');
        byte += 1;
    }
    plain
}

/// Whether a target may take this name for one of the list, or of ours, though it is none.
fn is_disguised(name: &str) -> bool {
    if is_plain(name) {
        return false;
    }
    let begins_alike = |prefix: &&str| {
        let start = name.get(..prefix.len());
        start.is_some_and(|start| read_alike(start, prefix))
    };
    let mut names = NAMES.iter().chain(&OURS);
    let mut prefixes = PREFIXES.iter().chain([&HANDSHAKE]);
    names.any(|meant| read_alike(name, meant)) || prefixes.any(begins_alike)
}

/// Whether Connection names one of the list.
fn names_listed(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONNECTION).into_iter();
    let mut tokens = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    tokens.any(|token| {
        let name = HeaderName::from_bytes(token.trim_ascii());
        name.is_ok_and(|name| is_listed(name.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_is_that_of_the_reference() {
        assert!(NAMES.is_sorted() && PREFIXES.is_sorted());
        let nested = |pair: &[&str]| pair[1].starts_with(pair[0]);
        assert!(!PREFIXES.windows(2).any(nested));
        let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
        let reference = std::fs::read_to_string(reference).unwrap();
        let (_, rest) = reference.split_once("\n### What proxies say\n").unwrap();
        let section = rest.split("\n#").next().unwrap();
        let table = section.lines().filter(|line| line.starts_with("| "));
        let quoted = table.flat_map(|line| line.split('`').skip(1).step_by(2));
        let told: BTreeSet<String> = quoted.map(str::to_ascii_lowercase).collect();
        let prefixes = PREFIXES.iter().map(|prefix| format!("{prefix}*"));
        let list = NAMES.iter().map(ToString::to_string).chain(prefixes);
        assert_eq!(told, list.collect());
    }

    #[test]
    fn a_name_may_be_listed_or_a_disguise_of_one_that_is() {
        for (name, listed, disguised) in [
            ("x-forwarded-for", true, false),
            ("x-forwarded-anything", true, false),
            ("x-real-ip", true, false),
            ("$wsra", true, false),
            ("x-request-id", false, false),
            ("x-tag", false, false),
            ("x_tag", false, false),
            ("x_real_ip", false, true),
            ("x.real.ip", false, true),
            ("x-forwarded_for", false, true),
            ("x_forwarded_anything", false, true),
            ("x-forwarded-client_cert", true, true),
            ("x_client_certificate_verify", false, true),
            ("transfer_encoding", false, true),
            ("sec-websocket-protocol", false, false),
            ("sec_websocket_protocol", false, true),
            ("x_request-id", false, true),
        ] {
            assert_eq!(is_listed(name), listed, "{name}");
            assert_eq!(is_disguised(name), disguised, "{name}");
        }
        for name in NAMES {
            assert!(is_listed(name), "{name}");
        }
        for prefix in PREFIXES {
            let longest = prefix.to_owned() + &"a".repeat(100);
            assert!(is_listed(prefix) && is_listed(&longest), "{prefix}");
        }
    }
}
