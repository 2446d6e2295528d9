//! Where a request comes from, as the proxies before us tell it in `X-Forwarded-For`: those that
//! are trusted, and no others.

use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};

use crate::forwarding_rule::Networks;
use crate::telemetry::Client;

/// The client's address, and those of the proxies up to the one before the last.
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a request is called.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LONGEST_ID: usize = 128;

/// The client behind whoever sent a request, and how many trusted proxies are between: who is
/// trusted is believed about the one before it. That ends with the first who is not trusted, and
/// with the last of whom something is known.
pub(super) fn client(headers: &HeaderMap, peer: Client, trusted: &Networks) -> (Client, usize) {
    let (mut client, mut proxies) = (peer, 0);
    let mut hops = hops(headers);
    while trusted.contain(client.ip) {
        proxies += 1;
        match hops.next().and_then(parse) {
            Some(before) => client = before,
            None => break,
        }
    }
    (client, proxies)
}

/// What the sender calls the request: one name, of letters, digits and what else may stand in a
/// path unencoded.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(X_REQUEST_ID).into_iter();
    let (Some(id), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:=@+".contains(&byte);
    let is_sane = |id: &&str| (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(is_plain);
    id.to_str().ok().filter(is_sane)
}

/// The header's elements, the last first.
fn hops(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(X_FORWARDED_FOR).into_iter().rev();
    lines
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|hop| !hop.is_empty())
}

/// An address; some proxies add a port, or the brackets of IPv6.
fn parse(hop: &[u8]) -> Option<Client> {
    let hop = std::str::from_utf8(hop).ok()?;
    if let Ok(address) = hop.parse::<SocketAddr>() {
        return Some(address.into());
    }
    let inner = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    let ip: IpAddr = inner.unwrap_or(hop).parse().ok()?;
    Some(Client {
        ip: ip.to_canonical(),
        port: None,
    })
}

/// The header's lines with one more address at the end.
pub(super) fn extended(headers: &HeaderMap, address: Vec<u8>) -> Vec<u8> {
    with_last(headers, &X_FORWARDED_FOR, address)
}

/// The lines of the standard's header, `Forwarded` (RFC 7239 section 4), with one address more.
pub(super) fn extended_forwarded(headers: &HeaderMap, address: IpAddr) -> Vec<u8> {
    let element = match address {
        IpAddr::V4(ip) => format!("for={ip}"),
        IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
    };
    with_last(headers, &FORWARDED, element.into())
}

fn with_last(headers: &HeaderMap, name: &HeaderName, last: Vec<u8>) -> Vec<u8> {
    let lines = headers.get_all(name).into_iter();
    let mut all: Vec<&[u8]> = lines.map(HeaderValue::as_bytes).collect();
    if all.is_empty() {
        return last;
    }
    all.retain(|line| !line.trim_ascii().is_empty());
    all.push(&last);
    all.join(b", ".as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, line.parse().unwrap());
        }
        headers
    }

    fn found(peer: &str, lines: &[&str]) -> String {
        let trusted = Networks::of(&["10.0.0.0/8", "2001:db8::/32"]);
        let peer: SocketAddr = peer.parse().unwrap();
        let (Client { ip, port }, _) = client(&headers(lines), peer.into(), &trusted);
        port.map_or(ip.to_string(), |port| SocketAddr::new(ip, port).to_string())
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_a_trusted_proxy() {
        for (peer, lines, expected) in [
            ("192.0.2.1:1", &["192.0.2.9"][..], "192.0.2.1:1"),
            ("192.0.2.1:1", &["10.0.0.1"], "192.0.2.1:1"),
            ("10.0.0.1:1", &[], "10.0.0.1:1"),
            ("10.0.0.1:1", &["192.0.2.9"], "192.0.2.9"),
            ("10.0.0.1:1", &["192.0.2.8, 192.0.2.9"], "192.0.2.9"),
            (
                "10.0.0.1:1",
                &["192.0.2.8,192.0.2.9 ,10.0.0.2"],
                "192.0.2.9",
            ),
            (
                "10.0.0.1:1",
                &["192.0.2.8", "192.0.2.9", "10.0.0.2"],
                "192.0.2.9",
            ),
            ("10.0.0.1:1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (
                "[2001:db8::1]:1",
                &["2001:db9::9, 2001:db8::2"],
                "2001:db9::9",
            ),
            ("[::ffff:10.0.0.1]:1", &["::ffff:192.0.2.9"], "192.0.2.9"),
            ("10.0.0.1:1", &["192.0.2.9:4711"], "192.0.2.9:4711"),
            ("10.0.0.1:1", &["[2001:db9::9]:4711"], "[2001:db9::9]:4711"),
            ("10.0.0.1:1", &["[2001:db9::9]"], "2001:db9::9"),
            ("10.0.0.1:1", &["192.0.2.9,, ", ""], "192.0.2.9"),
        ] {
            assert_eq!(found(peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn what_is_no_address_ends_the_search_at_the_last_that_is_known() {
        for word in [
            "unknown",
            "_hidden",
            "192.0.2",
            "192.0.2.9, x",
            "[192.0.2.9",
        ] {
            assert_eq!(found("10.0.0.1:1", &[word]), "10.0.0.1:1", "{word:?}");
            let line = format!("{word}, 10.0.0.2");
            assert_eq!(found("10.0.0.1:1", &[&line]), "10.0.0.2", "{word:?}");
        }
    }

    #[test]
    fn the_trusted_proxies_are_counted() {
        let trusted = Networks::of(&["10.0.0.0/8"]);
        for (peer, lines, expected) in [
            ("192.0.2.1:1", &["10.0.0.1"][..], 0),
            ("10.0.0.1:1", &[], 1),
            ("10.0.0.1:1", &["192.0.2.9"], 1),
            ("10.0.0.1:1", &["192.0.2.9, 10.0.0.2"], 2),
            ("10.0.0.1:1", &["10.0.0.3, 10.0.0.2"], 3),
        ] {
            let peer: SocketAddr = peer.parse().unwrap();
            let (_, proxies) = client(&headers(lines), peer.into(), &trusted);
            assert_eq!(proxies, expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_request_has_one_short_name_of_plain_characters_or_none() {
        let longest = "x".repeat(LONGEST_ID);
        let too_long = "x".repeat(LONGEST_ID + 1);
        for (lines, is_taken) in [
            (&["8c1f-0a.b_c~d:e=f@g+h"][..], true),
            (&[&longest], true),
            (&[&too_long], false),
            (&[""], false),
            (&["a b"], false),
            (&["a/b"], false),
            (&["a\"b"], false),
            (&["\u{e4}"], false),
            (&["a", "b"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(
                    X_REQUEST_ID,
                    HeaderValue::from_bytes(line.as_bytes()).unwrap(),
                );
            }
            let expected = is_taken.then(|| lines[0]);
            assert_eq!(request_id(&headers), expected, "{lines:?}");
        }
    }

    #[test]
    fn an_address_is_added_behind_all_lines() {
        for (lines, expected) in [
            (&[][..], "10.0.0.1"),
            (&["192.0.2.9"], "192.0.2.9, 10.0.0.1"),
            (
                &["192.0.2.8, 192.0.2.9", " ", "x"],
                "192.0.2.8, 192.0.2.9, x, 10.0.0.1",
            ),
        ] {
            let all = extended(&headers(lines), b"10.0.0.1".to_vec());
            assert_eq!(all, expected.as_bytes());
        }
    }
}
