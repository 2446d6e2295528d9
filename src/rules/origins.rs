//! Whose pages may open tunnels: the Origin header of a handshake against a list.
//!
//! A browser sends a page's origin with every handshake, and the cookies of the host that is asked
//! with it, but does not keep a page from talking to another host's WebSockets. So it is the server
//! that must look (RFC 6455 section 10.2).

use http::HeaderMap;
use http::header::ORIGIN;

use crate::config::model::AllowedOrigin;
use crate::config::origin::Origin;

/// The origins that are allowed.
#[derive(Debug)]
pub struct Origins(Box<[AllowedOrigin]>);

impl Origins {
    /// These.
    pub fn new(allowed: &[AllowedOrigin]) -> Self {
        Origins(allowed.into())
    }

    /// Whether these headers tell one origin, and that one is allowed.
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        let mut told = headers.get_all(ORIGIN).iter();
        let (Some(told), None) = (told.next(), told.next()) else {
            return false;
        };
        told.to_str().is_ok_and(|text| self.contain(text))
    }

    fn contain(&self, text: &str) -> bool {
        let origin = Origin::parse(text);
        let fits = |allowed: &AllowedOrigin| match (allowed, origin) {
            (AllowedOrigin::Null, _) => text == "null",
            (_, None) => false,
            (AllowedOrigin::Any { scheme, port }, Some(origin)) => {
                origin.scheme.eq_ignore_ascii_case(scheme) && origin.port == *port
            }
            (
                AllowedOrigin::Of {
                    scheme,
                    host,
                    port,
                    is_above,
                },
                Some(origin),
            ) => {
                origin.scheme.eq_ignore_ascii_case(scheme)
                    && origin.port == *port
                    && match is_above {
                        true => is_below(origin.host, host),
                        false => origin.host.eq_ignore_ascii_case(host),
                    }
            }
        };
        self.0.iter().any(fits)
    }
}

fn is_below(host: &str, above: &str) -> bool {
    let Some(end) = host.len().checked_sub(above.len()) else {
        return false;
    };
    let below = host.get(..end).and_then(|below| below.strip_suffix('.'));
    below.is_some_and(|below| !below.is_empty())
        && host
            .get(end..)
            .is_some_and(|rest| rest.eq_ignore_ascii_case(above))
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::headers;
    use super::*;

    #[test]
    fn all_hosts_are_those_of_a_scheme_and_a_port() {
        let any = |port| AllowedOrigin::Any {
            scheme: "https".to_owned(),
            port,
        };
        for (port, text, is_allowed) in [
            (None, "https://a.example", true),
            (None, "https://a.example:443", true),
            (None, "https://a.example:8443", false),
            (None, "http://a.example", false),
            (None, "null", false),
            (None, "https://a.example/", false),
            (Some(8443), "https://a.example:8443", true),
            (Some(8443), "https://a.example", false),
        ] {
            assert_eq!(
                Origins::new(&[any(port)]).contain(text),
                is_allowed,
                "{text}"
            );
        }
    }

    fn of(scheme: &str, host: &str, port: Option<u16>, is_above: bool) -> AllowedOrigin {
        let (scheme, host) = (scheme.to_owned(), host.to_owned());
        AllowedOrigin::Of {
            scheme,
            host,
            port,
            is_above,
        }
    }

    #[test]
    fn an_origin_is_compared_by_scheme_host_and_port() {
        let origins = Origins::new(&[
            of("https", "app.example.com", None, false),
            of("http", "localhost", Some(3000), false),
            of("https", "Example.org", None, true),
        ]);
        for (text, is_allowed) in [
            ("https://app.example.com", true),
            ("HTTPS://APP.example.com", true),
            ("https://app.example.com:443", true),
            ("http://localhost:3000", true),
            ("https://app.example.com.", true),
            ("https://a.example.org.", true),
            ("https://example.org.", false),
            ("https://a.example.org", true),
            ("https://a.b.EXAMPLE.org:443", true),
            ("http://app.example.com", false),
            ("https://app.example.com:8443", false),
            ("https://app.example.com.evil.com", false),
            ("https://evil-app.example.com", false),
            ("https://app.example.com/", false),
            ("http://localhost", false),
            ("https://example.org", false),
            ("https://.example.org", false),
            ("https://evilexample.org", false),
            ("https://evil.com/.example.org", false),
            ("https://evil.com#.example.org", false),
            ("https://a.example.org.evil.com", false),
            ("http://a.example.org", false),
            ("https://a.example.org:444", false),
            ("null", false),
            ("", false),
            ("*", false),
        ] {
            assert_eq!(
                origins.allow(&headers(&[("Origin", text)])),
                is_allowed,
                "{text}"
            );
        }
    }

    #[test]
    fn null_counts_only_where_the_list_has_it() {
        let origins = Origins::new(&[AllowedOrigin::Null]);
        assert!(origins.allow(&headers(&[("Origin", "null")])));
        assert!(!origins.allow(&headers(&[("Origin", "NULL")])));
        assert!(!origins.allow(&headers(&[("Origin", "https://a")])));
    }

    #[test]
    fn it_takes_exactly_one() {
        let origins = Origins::new(&[of("https", "a", None, false)]);
        assert!(!origins.allow(&headers(&[])));
        let twice = [("Origin", "https://a"), ("Origin", "https://a")];
        assert!(!origins.allow(&headers(&twice)));
    }
}
