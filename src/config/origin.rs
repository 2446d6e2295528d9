//! An origin as browsers tell it in the Origin header: scheme, host and port (RFC 6454 section
//! 6.2). The same reading serves the file and the requests that are compared with it.

use super::model::AllowedOrigin;

/// An origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The scheme, in any case.
    pub scheme: &'a str,
    /// The host, in any case, without a dot at its end.
    pub host: &'a str,
    /// The port, unless it is the scheme's own.
    pub port: Option<u16>,
}

impl<'a> Origin<'a> {
    /// Reads one. `None` for anything else: with a path, a user, or a host that is none.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let (host, port) = split_port(authority)?;
        let host = host.strip_suffix('.').unwrap_or(host);
        let is_sound = is_scheme(scheme) && is_host(host);
        is_sound.then_some(Origin {
            scheme,
            host,
            port: port.filter(|port| default_port(scheme) != Some(*port)),
        })
    }
}

/// Reads an entry of `allowedOrigins`, and the like: an origin, `null`, or one with `*` for the
/// host or for what is below it.
pub fn allowed(text: &str) -> Option<AllowedOrigin> {
    if text == "null" {
        return Some(AllowedOrigin::Null);
    }
    let (scheme, host) = text.split_once("://")?;
    let (host, is_above) = match host.strip_prefix("*.") {
        Some(above) => (above, true),
        None => (host, false),
    };
    if let Some(port) = host.strip_prefix('*').filter(|_| !is_above) {
        // The host is anything: any one shows the rest.
        let any = format!("{scheme}://any{port}");
        let origin = Origin::parse(&any).filter(|origin| origin.host == "any")?;
        return Some(AllowedOrigin::Any {
            scheme: scheme.to_owned(),
            port: origin.port,
        });
    }
    let bare = format!("{scheme}://{host}");
    let origin = Origin::parse(&bare)?;
    Some(AllowedOrigin::Of {
        scheme: origin.scheme.to_owned(),
        host: origin.host.to_owned(),
        port: origin.port,
        is_above,
    })
}

fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    // An IPv6 address has colons of its own.
    let after_host = authority.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = authority[after_host..].find(':') else {
        return Some((authority, None));
    };
    let (host, port) = authority.split_at(after_host + colon);
    let digits = &port[1..];
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|port| is_number && *port > 0)?;
    Some((host, Some(port)))
}

fn is_scheme(scheme: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(is_part)
}

fn is_host(host: &str) -> bool {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Some(address) = inner {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_part);
    host.split('.').all(is_label)
}

fn default_port(scheme: &str) -> Option<u16> {
    const DEFAULTS: [(&str, u16); 4] = [("http", 80), ("https", 443), ("ws", 80), ("wss", 443)];
    let default = DEFAULTS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(scheme));
    default.map(|(_, port)| *port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for (text, scheme, host, port) in [
            ("https://app.example.com", "https", "app.example.com", None),
            (
                "https://app.example.com:443",
                "https",
                "app.example.com",
                None,
            ),
            ("HTTP://a:80", "HTTP", "a", None),
            ("https://a.b.:8443", "https", "a.b", Some(8443)),
            ("http://a:443", "http", "a", Some(443)),
            (
                "https://[2001:db8::1]:8443",
                "https",
                "[2001:db8::1]",
                Some(8443),
            ),
            ("https://[::1]", "https", "[::1]", None),
            (
                "chrome-extension://abcdef",
                "chrome-extension",
                "abcdef",
                None,
            ),
        ] {
            let expected = Origin { scheme, host, port };
            assert_eq!(Origin::parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "null",
            "app.example.com",
            "//app.example.com",
            "https://",
            "https:///",
            "https://app.example.com/",
            "https://app.example.com/chat",
            "https://app.example.com?a",
            "https://app.example.com#a",
            "https://user@app.example.com",
            "https://*.example.com",
            "https://a..b",
            "https://.",
            "https://a..",
            "https://.a",
            "https://a b",
            "https://a, https://b",
            "https://a:",
            "https://a:0",
            "https://a:+80",
            "https://a:65536",
            "https://a:80:80",
            "https://a]b",
            "https://[::1]b",
            "https://[a.b]",
            "https://ä",
            "1ttps://a",
            "ht tps://a",
            "://a",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }
}
