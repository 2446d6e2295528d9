//! `/api/v1/certificates`: what is served and until when, and how far those are that are issued by
//! ACME.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::denial::{Denial, Error};
use super::view::View;
use crate::acme::Progress;
use crate::config::model::{self, Source};
use crate::listener::control::Peer;

const DAY: f64 = 24.0 * 60.0 * 60.0;

/// All certificates.
#[derive(Serialize, ToSchema)]
pub(super) struct Certificates {
    /// Those of the file as written, then others.
    items: Vec<Certificate>,
}

/// A certificate.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    name: String,
    /// Where it comes from, if not from the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The DNS names that it is shown for.
    names: Vec<String>,
    /// RFC 3339.
    not_after: String,
    /// How many days it has left; less than 0 where it has expired.
    days_left: f64,
    /// Whether it is a self-signed one, which is served until the first was issued.
    self_signed: bool,
    /// The forwarding rules that show it.
    forwarding_rules: Vec<String>,
    /// Of one that is issued by ACME.
    #[serde(skip_serializing_if = "Option::is_none")]
    acme: Option<Acme>,
}

/// How far a certificate is that is issued by ACME.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Acme {
    directory: String,
    /// `HTTP-01`, `TLS-ALPN-01` or `DNS-01`.
    challenge: &'static str,
    /// `waiting`, `renewing`, or `elsewhere`: another process does. Absent where this process
    /// renews nothing yet, or no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// How many attempts have failed since the last that has not.
    failures: u32,
    /// When the next attempt is due: RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt: Option<String>,
    /// When it was issued last: RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<String>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A renewal that was asked for.
#[derive(Serialize, ToSchema)]
pub(super) struct Renewing {
    renewing: bool,
}

/// The certificates, and how far those are that are issued by ACME.
#[utoipa::path(
    get,
    path = "/api/v1/certificates",
    responses((status = 200, body = Certificates)),
)]
pub(super) async fn list(State(view): State<View>) -> Json<Certificates> {
    let config = view.serving.config();
    let of = |certificate: &model::Certificate| {
        let progress = view.serving.renewals.of(&certificate.name);
        Certificate::of(certificate, &config.forwarding_rules, progress)
    };
    let items = config.certificates.iter().map(of).collect();
    Json(Certificates { items })
}

/// Has a certificate be issued anew now, whatever is due and however often it has failed.
#[utoipa::path(
    post,
    path = "/api/v1/certificates/{name}/renew",
    params(("name" = String, Path, description = "The name of the certificate.")),
    responses(
        (status = 202, body = Renewing),
        (status = 404, description = "This process has none of this name to renew.", body = Error),
    ),
)]
pub(super) async fn renew(
    State(view): State<View>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Renewing>), Denial> {
    if !view.serving.renewals.wish(&name) {
        let message = format!("no certificate named {name:?} is issued by ACME to this process");
        return Err(Denial::not_found(message));
    }
    log::info!("admin: {peer}: renew certificate {name:?}");
    Ok((StatusCode::ACCEPTED, Json(Renewing { renewing: true })))
}

impl Certificate {
    fn of(
        certificate: &model::Certificate,
        rules: &[Arc<model::ForwardingRule>],
        progress: Option<Progress>,
    ) -> Self {
        let source = &certificate.source;
        let shows = |rule: &&Arc<model::ForwardingRule>| {
            let tls = rule.tls.as_ref();
            tls.is_some_and(|tls| tls.certificates.contains(&certificate.name))
        };
        let names = rules.iter().filter(shows).map(|rule| rule.name.clone());
        let acme = certificate.acme.as_ref();
        Certificate {
            name: certificate.name.clone(),
            source: (*source != Source::File).then(|| source.to_string()),
            names: certificate.names.clone(),
            not_after: told(certificate.not_after),
            days_left: days_left(certificate.not_after),
            self_signed: certificate.stands_in,
            forwarding_rules: names.collect(),
            acme: acme.map(|acme| Acme::of(acme, progress)),
        }
    }
}

impl Acme {
    fn of(acme: &model::Acme, progress: Option<Progress>) -> Self {
        let state = progress.as_ref().map(|progress| progress.state.into());
        let progress = progress.unwrap_or_default();
        Acme {
            directory: acme.directory.clone(),
            challenge: acme.challenge.as_str(),
            state,
            failures: progress.failures,
            next_attempt: progress.next.map(told),
            issued: progress.issued.map(told),
            error: progress.error,
        }
    }
}

fn told(moment: SystemTime) -> String {
    humantime::format_rfc3339_seconds(moment).to_string()
}

/// To two digits.
fn days_left(end: SystemTime) -> f64 {
    let seconds = match end.duration_since(SystemTime::now()) {
        Ok(left) => left.as_secs_f64(),
        Err(since) => -since.duration().as_secs_f64(),
    };
    (seconds / DAY * 100.0).round() / 100.0
}
