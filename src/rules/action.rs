//! What a rule does with a request: forward it, or answer it with what is ready-made here.
//!
//! Writing an answer to the client is the work of `proxy`, which also knows when an answer must not have a body (to a
//! HEAD request, say).

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::request::Request;
use crate::config::file;

/// What is done with a request that meets a rule.
#[derive(Debug)]
pub enum Action<G> {
    /// `FORWARD`: to a target of this group, or of one of several.
    Forward(G),
    /// `REDIRECT` and `STATIC`: answered here.
    Respond(Response),
}

/// An answer of ours.
#[derive(Debug)]
pub enum Response {
    /// `REDIRECT`
    Redirect(Redirect),
    /// `STATIC`
    Static(Static),
}

/// Sends the client elsewhere.
#[derive(Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    /// The location up to its fragment.
    address: Box<str>,
    /// What goes between the address and a query; `None` to drop the query.
    separator: Option<&'static str>,
    /// From the `#` on, or empty.
    fragment: Box<str>,
}

/// Answers with a fixed text.
#[derive(Debug)]
pub struct Static {
    /// 200 to 599.
    pub status: StatusCode,
    /// The Content-Type header.
    pub content_type: HeaderValue,
    /// The body, which clones without copying.
    pub body: Bytes,
}

impl<G> Action<G> {
    /// Builds the action; an error is the configured word that cannot be used.
    pub(super) fn build(
        action: &file::Action,
        group: impl Fn(&file::Forward) -> Option<G>,
    ) -> Result<Self, String> {
        match action {
            file::Action::Forward(forward) => group(forward)
                .map(Self::Forward)
                .ok_or_else(|| names(forward)),
            file::Action::Redirect {
                location,
                status_code,
                drop_query,
            } => Redirect::build(location, *status_code, *drop_query)
                .map(|redirect| Self::Respond(Response::Redirect(redirect))),
            file::Action::Static {
                status_code,
                response_message,
                content_type,
            } => Static::build(*status_code, response_message, content_type)
                .map(|answer| Self::Respond(Response::Static(answer))),
        }
    }
}

fn names(forward: &file::Forward) -> String {
    let groups = forward.target_groups.iter();
    let names: Vec<&str> = groups.map(|group| group.name.as_str()).collect();
    names.join(", ")
}

impl Redirect {
    fn build(location: &str, status_code: u16, drop_query: bool) -> Result<Self, String> {
        header_value(location)?;
        let fragment = location.find('#').unwrap_or(location.len());
        let (address, fragment) = location.split_at(fragment);
        Ok(Self {
            status: status(status_code)?,
            address: address.into(),
            separator: (!drop_query).then(|| separator(address)),
            fragment: fragment.into(),
        })
    }

    /// The Location header: the location as written, with the request's query added to it unless that is dropped.
    ///
    /// A location without a scheme stays without one: clients resolve it against the address they asked for (RFC 9110
    /// section 10.2.2). The query goes before the location's fragment and after a query of its own. Bytes of it that may
    /// not stand in a header or a query are percent-encoded, so the result is always a valid header value.
    pub fn location(&self, request: &Request<'_>) -> String {
        let mut location = String::from(&*self.address);
        if let (Some(separator), Some(query @ [_, ..])) = (self.separator, request.query()) {
            location.push_str(separator);
            push_query(&mut location, query);
        }
        location.push_str(&self.fragment);
        location
    }
}

impl Static {
    fn build(status_code: u16, message: &str, content_type: &str) -> Result<Self, String> {
        Ok(Self {
            status: status(status_code)?,
            content_type: header_value(content_type)?,
            body: Bytes::copy_from_slice(message.as_bytes()),
        })
    }
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

/// Encodes what browsers encode in a query: the WHATWG URL standard's query percent-encode set.
fn push_query(location: &mut String, query: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in query {
        if byte.is_ascii_graphic() && !b"\"#<>".contains(&byte) {
            location.push(byte.into());
        } else {
            location.push('%');
            location.push(DIGITS[usize::from(byte >> 4)].into());
            location.push(DIGITS[usize::from(byte & 15)].into());
        }
    }
}

fn status(code: u16) -> Result<StatusCode, String> {
    StatusCode::from_u16(code).map_err(|_| code.to_string())
}

fn header_value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use http::HeaderMap;

    use super::*;

    const KEEP: bool = false;
    const DROP: bool = true;

    fn location(redirect: &Redirect, target: &[u8]) -> String {
        let headers = HeaderMap::new();
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        redirect.location(&Request::new("GET", target, &headers, client))
    }

    #[test]
    fn a_redirect_carries_the_query_along_unless_it_is_dropped() {
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
            let redirect = Redirect::build(written, 301, drop_query).unwrap();
            let found = location(&redirect, target.as_bytes());
            assert_eq!(found, expected, "{written} for {target}");
        }
    }

    #[test]
    fn whatever_the_query_holds_the_location_is_a_header_value() {
        let redirect = Redirect::build("/x", 308, KEEP).unwrap();
        let mut target = b"/?".to_vec();
        target.extend(0..=u8::MAX);
        let all = location(&redirect, &target);
        assert!(HeaderValue::from_str(&all).is_ok());
        assert_eq!(all.matches('#').count(), 0);
        for (query, expected) in [
            (&b"a b\"<>#c"[..], "/x?a%20b%22%3C%3E%23c"),
            (b"\r\nX: y\0\x7f", "/x?%0D%0AX:%20y%00%7F"),
            ("ö\u{20ac}".as_bytes(), "/x?%C3%B6%E2%82%AC"),
            (b"a%20b[0]='{|}'&c?/@", "/x?a%20b[0]='{|}'&c?/@"),
        ] {
            assert_eq!(location(&redirect, &[b"/?", query].concat()), expected);
        }
    }

    #[test]
    fn an_answer_is_built_once_from_what_is_configured() {
        let action = file::Action::Static {
            status_code: 599,
            response_message: "{\"closed\":\"schön\"}".into(),
            content_type: "application/json".into(),
        };
        let built = Action::build(&action, |_| None::<()>).unwrap();
        let Action::Respond(Response::Static(answer)) = built else {
            panic!("{built:?}");
        };
        assert_eq!(answer.status.as_u16(), 599);
        assert_eq!(answer.content_type, "application/json");
        assert_eq!(answer.body, "{\"closed\":\"schön\"}".as_bytes());
    }

    #[test]
    fn what_has_no_place_in_a_header_is_an_error() {
        assert!(Redirect::build("https://bücher.example/\n", 301, KEEP).is_err());
        assert!(Redirect::build("/x", 1000, KEEP).is_err());
        assert!(Static::build(200, "", "text/plain\r\n").is_err());
    }
}
