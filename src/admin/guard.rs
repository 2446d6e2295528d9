//! Who is heard at the admin address: what every request passes before it is looked at.
//!
//! A page in an operator's browser can make requests to any address that the browser reaches. So a
//! request must name a host that is ours (against DNS rebinding), and what changes something must
//! not come from another origin. `/livez` and `/readyz` tell nothing but that, and are for
//! everybody.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use subtle::ConstantTimeEq as _;
use tokio::time::timeout;

use super::denial::Denial;
use super::slots::Client;
use super::view::View;
use crate::config::model::{self, AdminAddress, Token};
use crate::listener::admin::Peer;
use crate::telemetry::diagnostics::OUTSIDE;

/// How large a request's body may be, and how long it may take.
const LARGEST_BODY: usize = 64 << 10;
const BODY: Duration = Duration::from_secs(10);
const PROBES: [&str; 2] = ["/livez", "/readyz"];
/// It holds no data, and a browser sends no token for it.
const PAGE: &str = "/";
/// Nobody hears it: the connection is closed.
const GAVE_WAY: &str = "the connection gave way to another";
/// It changes nothing.
const EXPLAIN: &str = "/api/v1/explain";

/// Lets a request pass, or answers it.
pub(super) async fn guard(
    State(view): State<View>,
    Extension(peer): Extension<Peer>,
    Extension(client): Extension<Arc<Client>>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let admin = &view.serving.config().admin;
    if let Err(denial) = admit(admin, peer, &request) {
        let why = &denial.body.error;
        log::warn!(target: OUTSIDE, "admin: {peer}: {method} {path:?} is refused: {why}");
        return denial.into_response();
    }
    match with_body(request).await {
        Ok(request) if client.waits() => next.run(request).await,
        Ok(_) => Denial::new(StatusCode::SERVICE_UNAVAILABLE, GAVE_WAY).into_response(),
        Err(denial) => denial.into_response(),
    }
}

fn admit(admin: &model::Admin, peer: Peer, request: &Request) -> Result<(), Denial> {
    let (headers, path) = (request.headers(), request.uri().path());
    if PROBES.contains(&path) {
        return Ok(());
    }
    // A browser cannot reach a Unix socket.
    if let Peer::Tcp { local, .. } = peer {
        // An absolute target overrides the header (RFC 9112 section 3.2.2).
        let authority = request.uri().authority().cloned();
        check_host(admin, local, authority.or_else(|| host(headers)))?;
    }
    if let Some(token) = &admin.token
        && path != PAGE
    {
        check_token(token, headers)?;
    }
    if path != PAGE {
        check_site(headers)?;
    }
    let method = request.method();
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    check_origin(headers)?;
    match admin.read_only && path != EXPLAIN {
        true => Err(Denial::new(
            StatusCode::FORBIDDEN,
            "admin.readOnly is true: nothing can be changed here",
        )),
        false => Ok(()),
    }
}

/// Pages of other sites get nothing, not even a stream that they cannot read: browsers say whose
/// page asks (Fetch Metadata).
fn check_site(headers: &HeaderMap) -> Result<(), Denial> {
    let value = |name| headers.get(name).map(HeaderValue::as_bytes);
    // Whoever follows a link may see what is there.
    let is_followed = value("sec-fetch-dest") == Some(b"document");
    match value("sec-fetch-site") {
        Some(b"cross-site" | b"same-site") if !is_followed => Err(Denial::new(
            StatusCode::FORBIDDEN,
            "a page of another site cannot ask here",
        )),
        _ => Ok(()),
    }
}

fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).into_iter();
    let (first, None) = (hosts.next()?, hosts.next()) else {
        return None;
    };
    Authority::try_from(first.as_bytes()).ok()
}

/// The host must be an address that leads here, `localhost`, or a name that the configuration has.
fn check_host(
    admin: &model::Admin,
    local: IpAddr,
    authority: Option<Authority>,
) -> Result<(), Denial> {
    let authority = authority.ok_or_else(|| Denial::bad("no valid Host header"))?;
    let host = authority.host().to_ascii_lowercase();
    let name = host.strip_suffix('.').unwrap_or(&host);
    let ip: Option<IpAddr> = name.trim_matches(['[', ']']).parse().ok();
    let is_ours = match ip.map(|ip| ip.to_canonical()) {
        Some(ip) => {
            let is_configured = match &admin.listen {
                AdminAddress::Tcp(address) => address.ip() == ip,
                AdminAddress::Unix(_) => false,
            };
            ip.is_loopback() || ip == local || is_configured
        }
        None => name == "localhost" || admin.host_names.iter().any(|known| known == name),
    };
    if is_ours {
        return Ok(());
    }
    let message = format!("the host {host:?} is not known here: see admin.hostNames");
    Err(Denial::new(StatusCode::MISDIRECTED_REQUEST, message))
}

fn check_token(token: &Token, headers: &HeaderMap) -> Result<(), Denial> {
    let denied = |why| Err(Denial::new(StatusCode::UNAUTHORIZED, why));
    let Some(given) = headers.get(AUTHORIZATION) else {
        return denied("a token is needed: Authorization: Bearer TOKEN");
    };
    let given = given.as_bytes();
    let is_bearer = given
        .get(..7)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"bearer "));
    let given = given.get(7..).filter(|_| is_bearer).unwrap_or_default();
    match given.ct_eq(token.0.as_bytes()).into() {
        true => Ok(()),
        false => denied("the token is not valid"),
    }
}

/// Browsers say of what page a request comes, where it might change something.
fn check_origin(headers: &HeaderMap) -> Result<(), Denial> {
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
        false => Err(Denial::new(
            StatusCode::FORBIDDEN,
            "a page of another origin may change nothing here",
        )),
    }
}

/// The request with its whole body.
async fn with_body(request: Request) -> Result<Request, Denial> {
    let (parts, body) = request.into_parts();
    let too_large = || {
        let message = format!("the body is larger than {LARGEST_BODY} bytes");
        Denial::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let announced = parts.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > LARGEST_BODY) {
        return Err(too_large());
    }
    let late = || {
        Denial::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )
    };
    let bytes = timeout(BODY, to_bytes(body, LARGEST_BODY)).await;
    let bytes = bytes.map_err(|_| late())?.map_err(|_| too_large())?;
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(listen: &str) -> model::Admin {
        model::Admin {
            listen: AdminAddress::Tcp(listen.parse().unwrap()),
            mode: 0o660,
            token: None,
            read_only: false,
            host_names: vec!["edge-1.example.net".to_owned()],
        }
    }

    #[test]
    fn a_host_is_an_address_of_ours_localhost_or_a_configured_name() {
        let admin = admin("192.0.2.7:9900");
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
            let checked = check_host(&admin, local, authority);
            assert_eq!(checked.is_ok(), is_ours, "{host}");
        }
        assert!(check_host(&admin, local, None).is_err());
    }

    #[test]
    fn only_the_whole_token_of_the_bearer_scheme_is_valid() {
        let token = Token("0123456789abcdef".into());
        for (value, is_valid) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer 0123456789abcdef", true),
            ("Bearer 0123456789abcde", false),
            ("Bearer 0123456789abcdefg", false),
            ("Bearer ", false),
            ("Basic 0123456789abcdef", false),
            ("0123456789abcdef", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            assert_eq!(check_token(&token, &headers).is_ok(), is_valid, "{value}");
        }
        assert!(check_token(&token, &HeaderMap::new()).is_err());
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
