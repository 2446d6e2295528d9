//! A request whose target is an address (RFC 9112 section 3.2.2): the address names the host,
//! whatever Host says.
//!
//! Pingora compares the two byte by byte, and refuses a request in which they differ. So Host is
//! made to say what the target says before Pingora sees the head. What is unsound in any other way
//! is left as it is, to be refused.

use std::ops::Range;

/// The head with the host of its target in place of the one in Host; `None` where there is nothing
/// to change.
pub(super) fn mended(head: &[u8]) -> Option<Vec<u8>> {
    let authority = authority(head)?;
    let host = only_host(head)?;
    if !is_plain(authority) || !is_plain(&head[host.clone()]) || head[host.clone()] == *authority {
        return None;
    }
    Some([&head[..host.start], authority, &head[host.end..]].concat())
}

/// What comes after `http://` or `https://` in the target, up to its path.
fn authority(head: &[u8]) -> Option<&[u8]> {
    let mut words = head.trim_ascii_start().split(|byte| *byte == b' ');
    let target = words.nth(1)?;
    let is_begun_by = |scheme: &&[u8]| {
        let start = target.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let schemes = [b"http://".as_slice(), b"https://"];
    let rest = &target[schemes.iter().copied().find(is_begun_by)?.len()..];
    let end = rest.iter().position(|byte| b"/?#".contains(byte));
    let authority = &rest[..end.unwrap_or(rest.len())];
    (!authority.is_empty()).then_some(authority)
}

/// Where the value of Host is, if there is one Host and no more.
fn only_host(head: &[u8]) -> Option<Range<usize>> {
    let (mut only, mut start) = (None, 0);
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':');
        if let Some(colon) = colon.filter(|colon| line[..*colon].eq_ignore_ascii_case(b"host")) {
            let value = line[colon + 1..].trim_ascii_end();
            let end = start + colon + 1 + value.len();
            let found = end - value.trim_ascii_start().len()..end;
            if only.replace(found).is_some() {
                return None;
            }
        }
        start += line.len();
    }
    only
}

/// Whether there is nothing in it but what hosts and ports are made of.
fn is_plain(authority: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%:[]".contains(byte);
    authority.iter().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended_text(head: &str) -> Option<String> {
        mended(head.as_bytes()).map(|head| String::from_utf8(head).unwrap())
    }

    #[test]
    fn the_host_is_that_of_the_target() {
        for (line, before, after) in [
            ("GET http://a.example/x HTTP/1.1", " b", " a.example"),
            ("GET http://a:80?x HTTP/1.1", "A", "a:80"),
            ("get HTTPS://[::1]:8443 HTTP/1.1", "\tb:1 ", "\t[::1]:8443 "),
            ("\r\nGET http://a./ HTTP/1.1", " a", " a."),
        ] {
            let head = |host| format!("{line}\r\nX-Host: x\r\nhOsT:{host}\r\nA: Host: y\r\n\r\n");
            assert_eq!(mended_text(&head(before)), Some(head(after)));
        }
        let empty = "GET http://a HTTP/1.1\nHost:\n\n";
        let mended = mended_text(empty).unwrap();
        assert_eq!(mended, "GET http://a HTTP/1.1\nHost:a\n\n");
    }

    #[test]
    fn what_is_right_or_unsound_stays_as_it_is() {
        for head in [
            "GET /x HTTP/1.1\r\nHost: b\r\n\r\n",
            "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a/x HTTP/1.1\r\n\r\n",
            "GET http://a/x HTTP/1.1\r\nHost: b\r\nHost: b\r\n\r\n",
            "GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a,b/x HTTP/1.1\r\nHost: b\r\n\r\n",
            "GET http://a/x HTTP/1.1\r\nHost: b c\r\n\r\n",
            "GET http:///x HTTP/1.1\r\nHost: b\r\n\r\n",
            "GET ftp://a/x HTTP/1.1\r\nHost: b\r\n\r\n",
            "GET http:/\\a/x HTTP/1.1\r\nHost: b\r\n\r\n",
            "\r\n",
            "",
        ] {
            assert_eq!(mended_text(head), None, "{head:?}");
        }
    }
}
