//! `POST /api/v1/explain`: what would become of a request, and why. The rules that are asked are
//! those that serve.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::denial::{Denial, Error};
use super::explanation::Explanation;
use super::view::View;
use crate::forwarding_rule::ForwardingRule;
use crate::proxy::Hypothetical;
use crate::target_group::Target;
use crate::telemetry::Client;

/// A request that somebody might make.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Sample {
    /// `GET` by default.
    #[serde(default = "get")]
    method: String,
    /// The path with its query, as it stands in the request.
    path: String,
    /// By name: a value, or several, or none. Without a Host it is the address that the rule
    /// listens on.
    #[serde(default)]
    headers: BTreeMap<String, OneOrMore>,
    /// Whose connection it comes on; 127.0.0.1 by default.
    #[serde(default = "localhost")]
    #[schema(value_type = String)]
    client_ip: IpAddr,
    /// The name of the rule that it comes to. Not needed where there is only one.
    forwarding_rule: Option<String>,
    /// Whether it comes over TLS.
    tls: Option<bool>,
    /// `1.0`, `1.1` (by default) or `2`. In HTTP/2 one with `Upgrade: websocket` is the extended
    /// CONNECT of a WebSocket.
    http_version: Option<String>,
}

/// The value of a header, or several.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

fn get() -> String {
    "GET".to_owned()
}

fn localhost() -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)
}

/// What would become of a request, and why, decided as for real ones. Limits on clients are not
/// looked at, and no turn is moved.
#[utoipa::path(
    post,
    path = "/api/v1/explain",
    request_body = Sample,
    responses(
        (status = 200, body = Explanation),
        (status = 400, body = Error),
        (status = 404, body = Error),
    ),
)]
pub(super) async fn explain(
    State(view): State<View>,
    body: Bytes,
) -> Result<Json<Explanation>, Denial> {
    let sample: Sample =
        serde_json::from_slice(&body).map_err(|error| Denial::bad(error.to_string()))?;
    let rules = view.serving.snapshot().rules;
    let name = |target: &Target| target.address.to_string();
    let mut explanation = explained(&sample, &rules, name)?;
    explanation.tell_sources(&view.serving.config());
    Ok(Json(explanation))
}

/// What would become of a request by rules that do not serve; `name` is what a target is called.
/// Errors: why there is no such request.
pub fn explain_by(
    rules: &[Arc<ForwardingRule>],
    sample: Value,
    name: impl Fn(&Target) -> String,
) -> Result<Value, String> {
    let sample: Sample = serde_json::from_value(sample).map_err(|error| error.to_string())?;
    let explanation = explained(&sample, rules, name);
    let explanation = explanation.map_err(|denial| denial.body.error)?;
    serde_json::to_value(explanation).map_err(|error| error.to_string())
}

impl Sample {
    fn rule<'a>(&self, rules: &'a [Arc<ForwardingRule>]) -> Result<&'a ForwardingRule, Denial> {
        let is_meant = |rule: &&Arc<ForwardingRule>| {
            let name = self.forwarding_rule.as_deref();
            name.is_none_or(|name| name == &*rule.name)
        };
        let named: Vec<_> = rules.iter().filter(is_meant).collect();
        if named.is_empty() {
            return Err(Denial::not_found(
                "there is no forwarding rule of this name",
            ));
        }
        let is_tls =
            |rule: &&&Arc<ForwardingRule>| self.tls.is_none_or(|tls| tls == rule.tls.is_some());
        let fit: Vec<_> = named.iter().filter(is_tls).collect();
        match fit[..] {
            [rule] => Ok(rule),
            [] if self.tls == Some(true) => Err(Denial::bad("tls: no such rule speaks TLS")),
            [] => Err(Denial::bad("tls: every such rule speaks TLS")),
            _ => {
                let names: Vec<&str> = fit.iter().map(|rule| &*rule.name).collect();
                let names = names.join(", ");
                Err(Denial::bad(format!(
                    "forwardingRule: must be one of {names}"
                )))
            }
        }
    }

    /// The request, as it would come to this rule.
    fn request(&self, rule: &ForwardingRule) -> Result<Hypothetical, Denial> {
        let is_bare = |byte: u8| byte.is_ascii_control() || matches!(byte, b' ' | b'#');
        if self.path.is_empty() || self.path.bytes().any(is_bare) {
            return Err(Denial::bad(
                "path: must be a path as it stands in a request",
            ));
        }
        let method = Method::from_bytes(self.method.as_bytes());
        let mut headers = self.headers()?;
        if !self
            .headers
            .keys()
            .any(|name| name.eq_ignore_ascii_case("host"))
            && let Ok(host) = HeaderValue::from_str(&rule.listen.to_string())
        {
            headers.insert(HOST, host);
        }
        let version = self.version()?;
        if version == Version::HTTP_2 {
            check_http2(&headers)?;
        }
        Ok(Hypothetical {
            method: method.map_err(|_| Denial::bad("method: must be a word"))?,
            target: self.path.clone(),
            version,
            headers,
            peer: Client {
                ip: self.client_ip.to_canonical(),
                port: None,
            },
        })
    }

    fn version(&self) -> Result<Version, Denial> {
        match self.http_version.as_deref() {
            Some("1.0") => Ok(Version::HTTP_10),
            None | Some("1.1") => Ok(Version::HTTP_11),
            Some("2") => Ok(Version::HTTP_2),
            Some(_) => Err(Denial::bad("httpVersion: must be 1.0, 1.1 or 2")),
        }
    }

    fn headers(&self) -> Result<HeaderMap, Denial> {
        let mut headers = HeaderMap::new();
        for (name, values) in &self.headers {
            let bad = || Denial::bad(format!("headers: {name:?} is no header"));
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            for value in values.as_slice() {
                let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| bad())?;
                headers.try_append(&key, value).map_err(|_| bad())?;
            }
        }
        Ok(headers)
    }
}

/// What belongs to a connection of HTTP/1.1 makes a request of HTTP/2 malformed, but for what says
/// that it is a WebSocket's.
fn check_http2(headers: &HeaderMap) -> Result<(), Denial> {
    let is_websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    let is_handshake = headers.get(UPGRADE).is_some_and(is_websocket);
    let of_http1 = [CONNECTION, UPGRADE, TRANSFER_ENCODING];
    let mut found = of_http1.iter().filter(|name| headers.contains_key(*name));
    match found.next().filter(|_| !is_handshake) {
        Some(name) => Err(Denial::bad(format!("headers: HTTP/2 has no {name}"))),
        None => Ok(()),
    }
}

impl OneOrMore {
    fn as_slice(&self) -> &[String] {
        match self {
            OneOrMore::One(value) => std::slice::from_ref(value),
            OneOrMore::More(values) => values,
        }
    }
}

/// What becomes of it by these rules.
fn explained(
    sample: &Sample,
    rules: &[Arc<ForwardingRule>],
    name: impl Fn(&Target) -> String,
) -> Result<Explanation, Denial> {
    let rule = sample.rule(rules)?;
    let arrived = sample.request(rule)?.arrive(rule);
    Ok(Explanation::of(rule, &arrived, name))
}
