//! Whether the client came over TLS: to us, or to a proxy before us, as far as that is trusted. It
//! is found out once for a request.
//!
//! A trusted proxy says so in `X-Forwarded-Proto`, or in `Forwarded` (RFC 7239 section 5.4). Each
//! on the way may have put its own word behind those of the ones before it, or in their place: of
//! the last words, as many as there are trusted proxies, the first is the one about the client.

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName, HeaderValue};

/// `http` or `https`.
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// `http` or `https`: as the last `proxies` say, who are trusted, or else as it came to us.
pub(super) fn of(headers: &HeaderMap, proxies: usize, is_tls: bool) -> &'static str {
    let told = match proxies {
        0 => None,
        _ => of_proto(headers, proxies).or_else(|| of_forwarded(headers, proxies)),
    };
    told.unwrap_or(if is_tls { "https" } else { "http" })
}

fn of_proto(headers: &HeaderMap, proxies: usize) -> Option<&'static str> {
    let elements = || elements(headers, X_FORWARDED_PROTO);
    let before = elements().count().saturating_sub(proxies);
    elements().skip(before).find_map(known)
}

fn of_forwarded(headers: &HeaderMap, proxies: usize) -> Option<&'static str> {
    let elements = || elements(headers, FORWARDED);
    let before = elements().count().saturating_sub(proxies);
    let mut pairs = elements().skip(before).flat_map(|one| pieces(one, b';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.split_at_checked("proto=".len())?;
        let is_it = name.eq_ignore_ascii_case(b"proto=");
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        known(value.strip_suffix(b"\"").unwrap_or(value)).filter(|_| is_it)
    })
}

/// WebSockets have names of their own for the same two (RFC 6455 section 3).
fn known(scheme: &[u8]) -> Option<&'static str> {
    let is = |name: &str| scheme.eq_ignore_ascii_case(name.as_bytes());
    match (is("https") || is("wss"), is("http") || is("ws")) {
        (true, _) => Some("https"),
        (_, true) => Some("http"),
        _ => None,
    }
}

/// The elements of a header that is a list, over all its lines.
fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    lines
        .flat_map(|line| pieces(line, b','))
        .filter(|element| !element.is_empty())
}

/// What is between the separators, but those within quotes.
fn pieces(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let pieces = text.split(move |byte| {
        let is_plain = !is_escaped;
        is_escaped = is_plain && is_quoted && *byte == b'\\';
        is_quoted ^= is_plain && *byte == b'"';
        !is_quoted && *byte == separator
    });
    pieces.map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[(HeaderName, &str)], proxies: usize, is_tls: bool) -> &'static str {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        of(&headers, proxies, is_tls)
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        let lines = [(X_FORWARDED_PROTO, "https"), (FORWARDED, "proto=https")];
        assert_eq!(found(&lines, 0, false), "http");
        assert_eq!(found(&[(X_FORWARDED_PROTO, "http")], 0, true), "https");
    }

    #[test]
    fn the_word_about_the_client_is_the_first_of_the_last_that_are_trusted() {
        for (proxies, lines, expected) in [
            (1, &["https"][..], "https"),
            (1, &["http"], "http"),
            (1, &["HTTPS"], "https"),
            (1, &["wss"], "https"),
            (1, &["ws"], "http"),
            (1, &["http, https"], "https"),
            (1, &["https, http"], "http"),
            (2, &["https, http"], "https"),
            (2, &["http", "https", "http"], "https"),
            (3, &["https"], "https"),
            (1, &["gopher"], "own"),
            (2, &["gopher, https"], "https"),
            (1, &["", ","], "own"),
            (1, &["https,"], "https"),
            (1, &[], "own"),
        ] {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| (X_FORWARDED_PROTO, *line))
                .collect();
            for (is_tls, own) in [(false, "http"), (true, "https")] {
                let expected = if expected == "own" { own } else { expected };
                assert_eq!(found(&lines, proxies, is_tls), expected, "{lines:?}");
            }
        }
    }

    #[test]
    fn forwarded_counts_where_there_is_no_other_word() {
        for (proxies, line, expected) in [
            (1, "for=192.0.2.1;proto=https", "https"),
            (1, "Proto=\"HTTPS\" ; for=\"[2001:db8::1]:4711\"", "https"),
            (1, "for=a;proto=https, for=b;proto=http", "http"),
            (2, "for=a;proto=https, for=b;proto=http", "https"),
            (2, "for=a;proto=https, for=b", "https"),
            (1, "for=\"a,proto=https\";by=c", "http"),
            (1, "for=\"a\\\";proto=https", "http"),
            (1, "proto=", "http"),
            (1, "proto", "http"),
            (1, "xproto=https", "http"),
        ] {
            assert_eq!(
                found(&[(FORWARDED, line)], proxies, false),
                expected,
                "{line}"
            );
        }
        let lines = [(X_FORWARDED_PROTO, "http"), (FORWARDED, "proto=https")];
        assert_eq!(found(&lines, 1, true), "http");
    }
}
