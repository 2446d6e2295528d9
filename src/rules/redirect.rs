//! Where a `REDIRECT` rule sends a client.

use http::{HeaderValue, StatusCode};

use super::cors::Cors;
use super::new_path::NewPath;
use super::request::Request;
use crate::config::model;
use crate::config::template::{Part, Template, Value};

/// Sends the client elsewhere.
#[derive(Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    /// Which pages of other sites may follow it, where that is for us to say.
    pub cors: Option<Box<Cors>>,
    location: Location,
}

#[derive(Debug)]
enum Location {
    /// As it is written.
    Fixed {
        /// The location up to its fragment.
        address: Box<str>,
        /// What goes between the address and a query; `None` to drop the query.
        separator: Option<&'static str>,
        /// From the `#` on, or empty.
        fragment: Box<str>,
    },
    /// From what the request has.
    Made {
        template: Template,
        path: Option<NewPath>,
        /// It has no host of its own.
        is_relative: bool,
    },
}

impl Redirect {
    /// An error is the configured word that has no place in a header.
    pub(super) fn build(redirect: &model::Redirect) -> Result<Self, String> {
        let status = redirect.status_code;
        let status = StatusCode::from_u16(status).map_err(|_| status.to_string())?;
        let location = match redirect.location.literal() {
            Some(text) => fixed(text, redirect.drop_query)?,
            None => Location::Made {
                template: redirect.location.clone(),
                path: redirect.path.as_ref().map(NewPath::from),
                is_relative: is_relative(&redirect.location),
            },
        };
        let cors = redirect.cors.as_deref().map(Cors::build).transpose()?;
        let cors = cors.map(Box::new);
        Ok(Redirect {
            status,
            cors,
            location,
        })
    }

    /// The Location header for a request that came by this scheme; `None` where it has not what the
    /// location needs.
    ///
    /// A literal location has the request's query added to it unless that is dropped: before its
    /// fragment, after a query of its own. Without a scheme it stays without one: clients resolve
    /// it against the address they asked for (RFC 9110 section 10.2.2). What comes from the request
    /// is percent-encoded where it may not stand in a header or an address, and never becomes
    /// another host.
    pub fn location(&self, request: &Request<'_>, scheme: &str) -> Option<String> {
        match &self.location {
            Location::Fixed {
                address,
                separator,
                fragment,
            } => {
                let mut location = String::from(&**address);
                if let (Some(separator), Some(query @ [_, ..])) = (separator, request.query()) {
                    location.push_str(separator);
                    push_query(&mut location, query);
                }
                location.push_str(fragment);
                Some(location)
            }
            Location::Made {
                template,
                path,
                is_relative,
            } => {
                let made = made(template, path.as_ref(), request, scheme)?;
                match is_relative {
                    true => Some(below_one_slash(made)),
                    false => Some(made),
                }
            }
        }
    }
}

fn fixed(text: &str, drop_query: bool) -> Result<Location, String> {
    HeaderValue::from_str(text).map_err(|_| text.to_owned())?;
    let fragment = text.find('#').unwrap_or(text.len());
    let (address, fragment) = text.split_at(fragment);
    Ok(Location::Fixed {
        address: address.into(),
        separator: (!drop_query).then(|| separator(address)),
        fragment: fragment.into(),
    })
}

fn separator(address: &str) -> &'static str {
    if address.ends_with(['?', '&']) {
        ""
    } else if address.contains('?') {
        "&"
    } else {
        "?"
    }
}

fn is_relative(template: &Template) -> bool {
    match template.parts().first() {
        Some(Part::Text(text)) => text.starts_with('/'),
        Some(Part::Value(first)) => *first != Value::Scheme,
        None => true,
    }
}

fn made(
    template: &Template,
    path: Option<&NewPath>,
    request: &Request<'_>,
    scheme: &str,
) -> Option<String> {
    let mut location = String::new();
    for part in template.parts() {
        match part {
            Part::Text(text) => location.push_str(text),
            Part::Value(Value::Scheme) => location.push_str(scheme),
            Part::Value(Value::Host) => {
                let host = std::str::from_utf8(request.host()).ok();
                location.push_str(host.filter(|host| !host.is_empty())?);
            }
            Part::Value(Value::Port) => location.push_str(request.port_by(scheme)?),
            Part::Value(Value::Path) => {
                let replaced = path.and_then(|path| path.of(request.path()));
                let path = replaced.as_deref().unwrap_or(request.path());
                push_encoded(
                    &mut location,
                    path.starts_with(b"/").then_some(path)?,
                    b"\"#<>?`{}\\^|",
                );
            }
            Part::Value(Value::Query) => {
                if let Some(query) = request.query() {
                    location.push('?');
                    push_query(&mut location, query);
                }
            }
            // The configuration has no others here.
            Part::Value(_) => return None,
        }
    }
    Some(location)
}

/// Two slashes at the beginning would be the beginning of a host (RFC 3986 section 4.2).
fn below_one_slash(location: String) -> String {
    let rest = location.trim_start_matches('/');
    match location.len() - rest.len() {
        0 | 1 => location,
        _ => format!("/{rest}"),
    }
}

/// Encodes what browsers encode in a query: the WHATWG URL standard's query percent-encode set.
fn push_query(location: &mut String, query: &[u8]) {
    push_encoded(location, query, b"\"#<>");
}

/// Encodes all that is not visible ASCII, and these.
fn push_encoded(location: &mut String, bytes: &[u8], others: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_graphic() && !others.contains(&byte) {
            location.push(byte.into());
        } else {
            location.push('%');
            location.push(DIGITS[usize::from(byte >> 4)].into());
            location.push(DIGITS[usize::from(byte & 15)].into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use http::HeaderMap;
    use http::header::HOST;

    use super::*;

    const KEEP: bool = false;
    const DROP: bool = true;

    fn build(written: &str, drop_query: bool, path: Option<model::NewPath>) -> Redirect {
        let redirect = model::Redirect {
            location: Template::parse_of_request(written).unwrap(),
            status_code: 308,
            drop_query,
            path,
            cors: None,
        };
        Redirect::build(&redirect).unwrap()
    }

    fn location(redirect: &Redirect, host: &str, target: &[u8]) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let request = Request::new("GET", target, &headers, client);
        let location = redirect.location(&request, "http");
        assert!(
            location
                .iter()
                .all(|location| HeaderValue::from_str(location).is_ok())
        );
        location
    }

    #[test]
    fn a_literal_location_carries_the_query_along_unless_it_is_dropped() {
        for (written, drop_query, target, expected) in [
            ("https://b/x", KEEP, "/a", "https://b/x"),
            ("https://b/x", KEEP, "/a?", "https://b/x"),
            ("https://b/x", KEEP, "/a?k=v&l", "https://b/x?k=v&l"),
            ("https://b/x", DROP, "/a?k=v", "https://b/x"),
            ("https://b/x?y=z", KEEP, "/a?k=v", "https://b/x?y=z&k=v"),
            ("https://b/x?y=z", KEEP, "/a", "https://b/x?y=z"),
            ("https://b/x?y=z", DROP, "/a?k=v", "https://b/x?y=z"),
            ("https://b/x?", KEEP, "/a?k=v", "https://b/x?k=v"),
            ("https://b/x?y&", KEEP, "/a?k=v", "https://b/x?y&k=v"),
            ("https://b/x#f", KEEP, "/a?k=v", "https://b/x?k=v#f"),
            ("https://b/x?y#f?", KEEP, "/a?k=v", "https://b/x?y&k=v#f?"),
            ("https://b/x#f?g", KEEP, "/a?k=v", "https://b/x?k=v#f?g"),
            ("https://b/x#f", DROP, "/a?k=v", "https://b/x#f"),
            ("www.ionos.com", KEEP, "/a?k=v", "www.ionos.com?k=v"),
            ("/x", KEEP, "http://h/a?k=v", "/x?k=v"),
        ] {
            let redirect = build(written, drop_query, None);
            let found = location(&redirect, "a", target.as_bytes());
            assert_eq!(found.as_deref(), Some(expected), "{written} for {target}");
        }
    }

    #[test]
    fn whatever_the_query_holds_the_location_is_a_header_value() {
        let redirect = build("/x", KEEP, None);
        let mut target = b"/?".to_vec();
        target.extend(0..=u8::MAX);
        let all = location(&redirect, "a", &target).unwrap();
        assert_eq!(all.matches('#').count(), 0);
        for (query, expected) in [
            (&b"a b\"<>#c"[..], "/x?a%20b%22%3C%3E%23c"),
            (b"\r\nX: y\0\x7f", "/x?%0D%0AX:%20y%00%7F"),
            ("ö\u{20ac}".as_bytes(), "/x?%C3%B6%E2%82%AC"),
            (b"a%20b[0]='{|}'&c?/@", "/x?a%20b[0]='{|}'&c?/@"),
        ] {
            let found = location(&redirect, "a", &[b"/?", query].concat());
            assert_eq!(found.as_deref(), Some(expected));
        }
    }

    #[test]
    fn placeholders_are_what_the_request_has() {
        let all = "https://{host}{path}{query}";
        for (written, host, target, expected) in [
            (
                all,
                "a.example:8080",
                "/b/c?d=e",
                "https://a.example/b/c?d=e",
            ),
            (all, "[::1]:80", "/?", "https://[::1]/?"),
            (all, "a", "/", "https://a/"),
            (all, "b", "http://a:1/b", "https://a/b"),
            ("{scheme}://{host}:{port}/", "a", "/b", "http://a:80/"),
            (
                "{scheme}://{host}:{port}/",
                "a:8080",
                "/b",
                "http://a:8080/",
            ),
            ("{scheme}://{host}:{port}/", "a:", "/b", "http://a:80/"),
            ("/new{path}", "a", "/b c", "/new/b%20c"),
            ("{path}{query}#x", "a", "/b", "/b#x"),
        ] {
            let found = location(&build(written, KEEP, None), host, target.as_bytes());
            assert_eq!(
                found.as_deref(),
                Some(expected),
                "{written}, {host}, {target}"
            );
        }
    }

    #[test]
    fn another_beginning_takes_the_place_of_what_the_condition_has_matched() {
        let path = model::NewPath::Prefix {
            before: "/old".to_owned(),
            after: "/new".to_owned(),
        };
        let redirect = build("https://{host}{path}{query}", KEEP, Some(path));
        let found = location(&redirect, "a", b"/old/b?c");
        assert_eq!(found.as_deref(), Some("https://a/new/b?c"));
    }

    #[test]
    fn no_request_leads_to_another_host() {
        for (written, target, expected) in [
            ("{path}", "//evil.example/a", Some("/evil.example/a")),
            ("/{path}", "/evil.example", Some("/evil.example")),
            ("{path}", "/\\evil.example", Some("/%5Cevil.example")),
            ("{path}", "/\t/evil.example", Some("/%09/evil.example")),
            (
                "https://{host}{path}",
                "//evil.example",
                Some("https://a//evil.example"),
            ),
            ("https://{host}{path}", "@evil.example", None),
            ("https://a{path}", ".evil.example", None),
            ("https://{host}{path}", "*", None),
        ] {
            let found = location(&build(written, KEEP, None), "a", target.as_bytes());
            assert_eq!(found.as_deref(), expected, "{written} for {target}");
        }
        assert_eq!(
            location(&build("https://{host}/", KEEP, None), "", b"/"),
            None
        );
    }

    #[test]
    fn what_has_no_place_in_a_header_is_an_error() {
        assert!(fixed("https://bücher.example/\n", KEEP).is_err());
    }
}
