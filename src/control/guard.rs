//! What a request at a control address must be like, whoever makes it.
//!
//! A page in an operator's browser can make requests to any address that the browser reaches. So a
//! request must name a host that is ours (against DNS rebinding), and what changes something must
//! not come from another origin.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use subtle::ConstantTimeEq as _;

use super::rejection::Rejection;
use crate::config::model::{ListenAddress, Token};
use crate::listener::control::Peer;

/// The hosts that are ours, besides those that every control address has.
pub struct Hosts<'a> {
    /// Where it listens.
    pub listen: &'a ListenAddress,
    /// What else it is called; in lower case.
    pub names: &'a [String],
    /// The key that has those names.
    pub key: &'static str,
}

/// The host that a request names, with its port.
pub fn authority(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    // An absolute target overrides the header (RFC 9112 section 3.2.2).
    let authority = uri.authority().cloned();
    authority.or_else(|| host(headers))
}

/// The host must be an address that leads here, `localhost`, or a name that the configuration has.
///
/// Errors: 400, 421.
pub fn check_host(hosts: &Hosts<'_>, peer: Peer, request: &Request) -> Result<(), Rejection> {
    // A browser cannot reach a Unix socket.
    let Peer::Tcp { local, .. } = peer else {
        return Ok(());
    };
    check_authority(hosts, local, authority(request.uri(), request.headers()))
}

fn check_authority(
    hosts: &Hosts<'_>,
    local: IpAddr,
    authority: Option<Authority>,
) -> Result<(), Rejection> {
    let none = || Rejection::new(StatusCode::BAD_REQUEST, "no valid Host header");
    let authority = authority.ok_or_else(none)?;
    let host = authority.host().to_ascii_lowercase();
    let name = host.strip_suffix('.').unwrap_or(&host);
    let ip: Option<IpAddr> = name.trim_matches(['[', ']']).parse().ok();
    let is_ours = match ip.map(|ip| ip.to_canonical()) {
        Some(ip) => {
            let is_configured = match hosts.listen {
                ListenAddress::Tcp(address) => address.ip() == ip,
                ListenAddress::Unix(_) => false,
            };
            ip.is_loopback() || ip == local || is_configured
        }
        None => name == "localhost" || hosts.names.iter().any(|known| known == name),
    };
    if is_ours {
        return Ok(());
    }
    let why = format!("the host {host:?} is not known here: see {}", hosts.key);
    Err(Rejection::new(StatusCode::MISDIRECTED_REQUEST, why))
}

/// Pages of other sites get nothing, not even a stream that they cannot read: browsers say whose
/// page asks (Fetch Metadata).
///
/// Errors: 403.
pub fn check_site(headers: &HeaderMap) -> Result<(), Rejection> {
    let value = |name| headers.get(name).map(HeaderValue::as_bytes);
    // Whoever follows a link may see what is there.
    let is_followed = value("sec-fetch-dest") == Some(b"document");
    match value("sec-fetch-site") {
        Some(b"cross-site" | b"same-site") if !is_followed => Err(Rejection::new(
            StatusCode::FORBIDDEN,
            "a page of another site cannot ask here",
        )),
        _ => Ok(()),
    }
}

/// Browsers say of what page a request comes, where it might change something.
///
/// Errors: 403.
pub fn check_origin(headers: &HeaderMap) -> Result<(), Rejection> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let from = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    let host = host(headers);
    let is_ours = host.zip(from).is_some_and(|(host, from)| host == *from);
    match is_ours && headers.get_all(ORIGIN).iter().count() == 1 {
        true => Ok(()),
        false => Err(Rejection::new(
            StatusCode::FORBIDDEN,
            "a page of another origin may change nothing here",
        )),
    }
}

fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).into_iter();
    let (first, None) = (hosts.next()?, hosts.next()) else {
        return None;
    };
    Authority::try_from(first.as_bytes()).ok()
}

/// What `Authorization` says, where it is of this scheme.
pub fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a [u8]> {
    let given = headers.get(AUTHORIZATION)?.as_bytes();
    let (word, rest) = given.split_at_checked(scheme.len())?;
    let is_of_it = word.eq_ignore_ascii_case(scheme.as_bytes());
    rest.strip_prefix(b" ").filter(|_| is_of_it)
}

/// Whether this is the token; how long that takes tells nothing of it but its length.
pub fn is_token(given: &[u8], token: &Token) -> bool {
    given.ct_eq(token.0.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_of_ours_localhost_or_a_configured_name() {
        let listen = ListenAddress::Tcp("192.0.2.7:9900".parse().unwrap());
        let hosts = Hosts {
            listen: &listen,
            names: &["edge-1.example.net".to_owned()],
            key: "admin.hostNames",
        };
        let local: IpAddr = "192.0.2.8".parse().unwrap();
        for (host, is_ours) in [
            ("127.0.0.1:9900", true),
            ("127.1.2.3", true),
            ("[::1]:1234", true),
            ("localhost", true),
            ("LocalHost.:80", true),
            ("192.0.2.7", true),
            ("192.0.2.8:9900", true),
            ("EDGE-1.example.net", true),
            ("192.0.2.9", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("edge-1.example.net.evil.example", false),
            ("user@evil.example", false),
        ] {
            let authority = Authority::try_from(host).ok();
            let checked = check_authority(&hosts, local, authority);
            assert_eq!(checked.is_ok(), is_ours, "{host}");
        }
        assert!(check_authority(&hosts, local, None).is_err());
    }

    #[test]
    fn credentials_are_those_of_the_scheme_whatever_its_case() {
        for (value, expected) in [
            ("Bearer 0123", Some("0123")),
            ("bearer 0123", Some("0123")),
            ("Bearer ", Some("")),
            ("Bearer", None),
            ("Bearer0123", None),
            ("Basic 0123", None),
            ("0123", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            let found = credentials(&headers, "Bearer");
            assert_eq!(found, expected.map(str::as_bytes), "{value}");
        }
        assert_eq!(credentials(&HeaderMap::new(), "Bearer"), None);
    }

    #[test]
    fn an_origin_must_be_the_host_itself() {
        for (origin, is_ours) in [
            ("http://localhost:9900", true),
            ("https://LOCALHOST:9900", true),
            ("http://localhost", false),
            ("http://localhost:9901", false),
            ("http://evil.example", false),
            ("null", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "localhost:9900".parse().unwrap());
            headers.insert(ORIGIN, origin.parse().unwrap());
            assert_eq!(check_origin(&headers).is_ok(), is_ours, "{origin:?}");
        }
    }
}
