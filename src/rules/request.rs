//! What a condition may look at: a view of a request that borrows from its parsed head.
//!
//! Taking the request-target apart and splitting header lines, queries and cookies into values
//! happens here; comparing values happens in `condition` and `comparison`. Everything is bytes as
//! the client sent them: nothing is decoded, normalised or copied, apart from an IPv4 address in
//! its IPv6 form.

use std::net::IpAddr;

use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};

/// A request, as conditions see it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    method: &'a str,
    path: &'a [u8],
    query: Option<&'a [u8]>,
    host: &'a [u8],
    /// Digits, if it says one.
    port: &'a [u8],
    headers: &'a HeaderMap,
    client_ip: IpAddr,
    server_name: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Looks at a head whose raw request-target is `target` (RFC 9112 section 3.2).
    ///
    /// The host of an absolute-form target stands in for the Host header (section 3.2.2). A target
    /// that is neither absolute-form nor begins with `/` is a path as a whole.
    pub fn new(
        method: &'a str,
        target: &'a [u8],
        headers: &'a HeaderMap,
        client_ip: IpAddr,
    ) -> Self {
        let (authority, target) = match split_absolute(target) {
            Some((authority, rest)) => (Some(authority), rest),
            None => (None, target),
        };
        let (path, query) = if authority.is_some() || target.starts_with(b"/") {
            split_query(target)
        } else {
            (target, None)
        };
        let path = match path {
            b"" if authority.is_some() => without_path(method, query),
            path => path,
        };
        let host = authority.or_else(|| headers.get(HOST).map(HeaderValue::as_bytes));
        let (host, port) = host.map_or((&b""[..], &b""[..]), split_port);
        Self {
            method,
            path,
            query,
            host: without_dot(host),
            port,
            headers,
            client_ip: client_ip.to_canonical(),
            server_name: None,
        }
    }

    /// The same, of a client that has named this server in its TLS handshake, if any.
    pub fn in_tls_for(self, server_name: Option<&'a str>) -> Self {
        Self {
            server_name,
            ..self
        }
    }

    /// The method, case-sensitive.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The path, without the query.
    pub fn path(&self) -> &'a [u8] {
        self.path
    }

    /// What follows the first `?` of the target.
    pub fn query(&self) -> Option<&'a [u8]> {
        self.query
    }

    /// The host without the port and without a dot at its end, an IPv6 address in its brackets;
    /// empty if the request names none.
    pub fn host(&self) -> &'a [u8] {
        self.host
    }

    /// The port that it asked for, if only by its scheme; `None` where what stands there is no
    /// number.
    pub fn port_by(&self, scheme: &str) -> Option<&'a str> {
        let port = std::str::from_utf8(self.port).ok()?;
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        match port {
            "" if scheme == "https" => Some("443"),
            "" => Some("80"),
            port => is_number.then_some(port),
        }
    }

    /// The headers.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The client's address, never an IPv4 address in its IPv6 form.
    pub fn client_ip(&self) -> IpAddr {
        self.client_ip
    }

    /// Whom the client has asked for in the TLS handshake.
    pub fn server_name(&self) -> Option<&'a str> {
        self.server_name
    }

    /// The value of each header line of this name.
    pub fn header_lines(&self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.headers.get_all(name);
        lines.into_iter().map(HeaderValue::as_bytes)
    }

    /// The elements of a header whose value is a list, over all its lines, without the empty ones
    /// (RFC 9110 section 5.6.1).
    pub(super) fn header_tokens(&self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.header_lines(name)
            .flat_map(|line| line.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|token| !token.is_empty())
    }

    /// The value of each parameter of this name in the query; empty without `=`.
    pub fn parameters(&self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let pairs = self.query.into_iter();
        let pairs = pairs.flat_map(|query| query.split(|&byte| byte == b'&'));
        values_of(name, pairs)
    }

    /// The value of each cookie of this name, over all Cookie lines; empty without `=`.
    pub fn cookies(&self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let pairs = self
            .header_lines(&COOKIE)
            .flat_map(|line| line.split(|&byte| byte == b';'))
            .map(<[u8]>::trim_ascii);
        values_of(name, pairs)
    }
}

/// An absolute-form target's authority, and the rest: `http://host:port/path?query`.
pub(super) fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let (scheme, rest) = target.split_at(target.iter().position(|&byte| byte == b':')?);
    let rest = rest.strip_prefix(b"://")?;
    if !is_scheme(scheme) {
        return None;
    }
    let end = rest.iter().position(|byte| b"/?#".contains(byte));
    Some(rest.split_at(end.unwrap_or(rest.len())))
}

/// The authority of a target that is an address, `http` or `https`, and the target as it is said to
/// whoever serves that address (RFC 9112 section 3.2.1). `None` for any other.
pub fn origin_form<'a>(method: &str, target: &'a [u8]) -> Option<(&'a [u8], Vec<u8>)> {
    let is_http = target.get(..4)?.eq_ignore_ascii_case(b"http");
    let (authority, rest) = split_absolute(target).filter(|_| is_http)?;
    let (path, query) = split_query(rest);
    let start = match path {
        b"" => without_path(method, query),
        _ => b"",
    };
    Some((authority, [start, rest].concat()))
}

/// The path of an address without one: OPTIONS asks for the server as a whole (RFC 9112 section
/// 3.2.4).
fn without_path(method: &str, query: Option<&[u8]>) -> &'static [u8] {
    match method {
        "OPTIONS" if query.is_none() => b"*",
        _ => b"/",
    }
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}

fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|&byte| byte == b'?') {
        Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
        None => (target, None),
    }
}

/// The host and the port of `user@host:port`.
fn split_port(authority: &[u8]) -> (&[u8], &[u8]) {
    let userinfo = authority.iter().rposition(|&byte| byte == b'@');
    let host = &authority[userinfo.map_or(0, |at| at + 1)..];
    let end = if host.starts_with(b"[") {
        host.iter()
            .position(|&byte| byte == b']')
            .map(|bracket| bracket + 1)
    } else {
        host.iter().position(|&byte| byte == b':')
    };
    let (host, port) = host.split_at(end.unwrap_or(host.len()));
    (host, port.strip_prefix(b":").unwrap_or(port))
}

/// A name with a dot at its end is the same name (RFC 1034 section 3.1).
pub(super) fn without_dot(host: &[u8]) -> &[u8] {
    match host.strip_suffix(b".") {
        Some(name) if !name.is_empty() => name,
        _ => host,
    }
}

fn values_of<'a>(
    name: &[u8],
    pairs: impl Iterator<Item = &'a [u8]>,
) -> impl Iterator<Item = &'a [u8]> {
    pairs
        .map(split_pair)
        .filter(move |(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|&byte| byte == b'=') {
        Some(sign) => (&pair[..sign], &pair[sign + 1..]),
        None => (pair, b""),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    pub(in crate::rules) fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn request<'a>(target: &'a str, headers: &'a HeaderMap) -> Request<'a> {
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Request::new("GET", target.as_bytes(), headers, client)
    }

    fn texts<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<&'a str> {
        values
            .map(|value| std::str::from_utf8(value).unwrap())
            .collect()
    }

    #[test]
    fn a_target_is_taken_apart_by_its_form() {
        let headers = headers(&[("Host", "from.header:80")]);
        for (target, host, path, query) in [
            ("/", "from.header", "/", None),
            ("/a%2Fb/../c", "from.header", "/a%2Fb/../c", None),
            ("/a?b=c?d", "from.header", "/a", Some("b=c?d")),
            ("/?", "from.header", "/", Some("")),
            ("//other/a", "from.header", "//other/a", None),
            ("/to/http://x/", "from.header", "/to/http://x/", None),
            ("http://h/a?b", "h", "/a", Some("b")),
            ("HTTPS://u:p@h:8443/a", "h", "/a", None),
            ("ws://[::1]:9000", "[::1]", "/", None),
            ("http://h?b", "h", "/", Some("b")),
            ("http:///a", "", "/a", None),
            ("*", "from.header", "*", None),
            ("h:443", "from.header", "h:443", None),
            ("a?b", "from.header", "a?b", None),
            ("1://h/a", "from.header", "1://h/a", None),
            ("://h/a", "from.header", "://h/a", None),
            ("", "from.header", "", None),
        ] {
            let request = request(target, &headers);
            assert_eq!(request.host(), host.as_bytes(), "host of {target:?}");
            assert_eq!(request.path(), path.as_bytes(), "path of {target:?}");
            let query = query.map(str::as_bytes);
            assert_eq!(request.query(), query, "query of {target:?}");
        }
    }

    #[test]
    fn an_address_is_asked_for_by_its_path() {
        for (method, target, authority, expected) in [
            ("GET", "http://h:80/a?b", "h:80", "/a?b"),
            ("GET", "HTTPS://h", "h", "/"),
            ("GET", "http://h?b", "h", "/?b"),
            ("GET", "http://h//a", "h", "//a"),
            ("OPTIONS", "http://h", "h", "*"),
            ("OPTIONS", "http://h/", "h", "/"),
            ("OPTIONS", "http://h?b", "h", "/?b"),
        ] {
            let found = origin_form(method, target.as_bytes());
            let expected = (authority.as_bytes(), expected.as_bytes().to_vec());
            assert_eq!(found, Some(expected), "{method} {target}");
        }
        for target in ["/a", "*", "h:80", "ws://h/a", "/http://h", ""] {
            assert_eq!(origin_form("GET", target.as_bytes()), None, "{target}");
        }
    }

    #[test]
    fn the_host_header_loses_its_port_and_its_last_dot_and_nothing_else() {
        for (line, host) in [
            ("Example.COM", "Example.COM"),
            ("example.com:8080", "example.com"),
            ("example.com:", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:80", "example.com"),
            ("example.com..", "example.com."),
            (".", "."),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:8080", "[::1]"),
            ("[::1", "[::1"),
            (":80", ""),
            ("", ""),
        ] {
            let headers = headers(&[("Host", line), ("Host", "second.example")]);
            assert_eq!(request("/", &headers).host(), host.as_bytes(), "{line:?}");
        }
        assert_eq!(request("/", &HeaderMap::new()).host(), b"");
    }

    #[test]
    fn an_ipv4_client_in_its_ipv6_form_is_an_ipv4_client() {
        let headers = HeaderMap::new();
        for (address, canonical) in [
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("1.2.3.4", "1.2.3.4"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            let request = Request::new("GET", b"/", &headers, address.parse().unwrap());
            assert_eq!(request.client_ip().to_string(), canonical);
        }
    }

    #[test]
    fn tokens_come_from_all_lines_trimmed_and_without_empty_ones() {
        let headers = headers(&[
            ("Connection", "keep-alive,\t Upgrade ,, "),
            ("Connection", ""),
            ("Connection", "close"),
        ]);
        let request = request("/", &headers);
        let tokens = request.header_tokens(&http::header::CONNECTION);
        assert_eq!(texts(tokens), ["keep-alive", "Upgrade", "close"]);
        let none = request.header_tokens(&http::header::UPGRADE);
        assert_eq!(none.count(), 0);
    }

    #[test]
    fn parameters_are_all_of_that_name() {
        let headers = HeaderMap::new();
        let request = request("/?a=1&b&a=&A=2&a&&aa=3&a=4=5&=6", &headers);
        assert_eq!(texts(request.parameters(b"a")), ["1", "", "", "4=5"]);
        assert_eq!(texts(request.parameters(b"b")), [""]);
        assert_eq!(request.parameters(b"c").count(), 0);
    }

    #[test]
    fn cookies_come_from_all_lines() {
        let headers = headers(&[("Cookie", "a=1; b=\"2\" ;a = 3;A=4"), ("Cookie", " a=5;c")]);
        let request = request("/", &headers);
        assert_eq!(texts(request.cookies(b"a")), ["1", "5"]);
        assert_eq!(texts(request.cookies(b"b")), ["\"2\""]);
        assert_eq!(texts(request.cookies(b"c")), [""]);
        assert_eq!(request.cookies(b"d").count(), 0);
    }
}
