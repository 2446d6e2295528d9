//! Who is heard at the admin address: what every request passes before it is looked at.
//!
//! What holds for every control address is in `control::guard`. `/livez` and `/readyz` tell nothing
//! but that, and are for everybody.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::denial::Denial;
use super::view::View;
use crate::config::model::{self, Token};
use crate::control::guard::{Hosts, check_host, check_origin, check_site, credentials, is_token};
use crate::control::{Client, Rejection};
use crate::listener::control::Peer;
use crate::telemetry::diagnostics::OUTSIDE;

const PROBES: [&str; 2] = ["/livez", "/readyz"];
/// It holds no data, and a browser sends no token for it.
const PAGE: &str = "/";
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
    if let Err(rejection) = admit(admin, peer, &request) {
        let why = &rejection.why;
        log::warn!(target: OUTSIDE, "admin: {peer}: {method} {path:?} is refused: {why}");
        return Denial::from(rejection).into_response();
    }
    let (parts, body) = request.into_parts();
    match view.bodies.whole(&parts.headers, body).await {
        Ok(body) => {
            client.waits();
            let request = Request::from_parts(parts, Body::from(body.bytes));
            next.run(request).await
        }
        Err(rejection) => Denial::from(rejection).into_response(),
    }
}

fn admit(admin: &model::Admin, peer: Peer, request: &Request) -> Result<(), Rejection> {
    let (headers, path) = (request.headers(), request.uri().path());
    if PROBES.contains(&path) {
        return Ok(());
    }
    let hosts = Hosts {
        listen: &admin.listen,
        names: &admin.host_names,
        key: "admin.hostNames",
    };
    check_host(&hosts, peer, request)?;
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
        true => Err(Rejection::new(
            StatusCode::FORBIDDEN,
            "admin.readOnly is true: nothing can be changed here",
        )),
        false => Ok(()),
    }
}

fn check_token(token: &Token, headers: &HeaderMap) -> Result<(), Rejection> {
    let denied = |why| Err(Rejection::new(StatusCode::UNAUTHORIZED, why));
    if !headers.contains_key(AUTHORIZATION) {
        return denied("a token is needed: Authorization: Bearer TOKEN");
    }
    let given = credentials(headers, "Bearer").unwrap_or_default();
    match is_token(given, token) {
        true => Ok(()),
        false => denied("the token is not valid"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
