//! Who is heard at the API's address, and as whom.

use axum::extract::Request;
use axum::http::Method;

use super::credentials::identify;
use crate::config::model;
use crate::control::Rejection;
use crate::control::guard::{Hosts, check_host, check_origin, check_site};
use crate::listener::control::Peer;

/// The name of whoever asks.
///
/// Errors: 400, 401, 403, 421.
pub(super) fn admit(api: &model::Api, peer: Peer, request: &Request) -> Result<String, Rejection> {
    let hosts = Hosts {
        listen: &api.listen,
        names: &api.host_names,
        key: "api.hostNames",
    };
    check_host(&hosts, peer, request)?;
    let by = identify(api, request.headers())?;
    check_site(request.headers())?;
    if request.method() != Method::GET && request.method() != Method::HEAD {
        check_origin(request.headers())?;
    }
    Ok(by)
}
