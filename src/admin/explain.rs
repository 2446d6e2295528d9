//! `POST /api/v1/explain`: what would become of a request, and why. The rules that are asked are those that serve.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::View;
use super::denial::{Denial, Error};
use super::status::word;
use crate::forwarding_rule::{ForwardingRule, Routes};
use crate::proxy::Foresight;
use crate::rules::{self, Action, Response, Told};
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
    /// By name: a value, or several.
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

/// What would become of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    forwarding_rule: String,
    /// The client, behind trusted proxies.
    client_ip: String,
    /// In the order of evaluation.
    http_rules: Vec<HttpRule>,
    /// The HTTP rule that decides: the first that matches.
    matched: Option<String>,
    action: Option<Outcome>,
    /// Where it would be refused.
    refusal: Option<Refused>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HttpRule {
    name: String,
    /// `FORWARD`, `REDIRECT` or `STATIC`.
    #[serde(rename = "type")]
    kind: &'static str,
    conditions: Vec<Condition>,
    /// Whether all conditions hold.
    matched: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Condition {
    /// As in the configuration.
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    negate: bool,
    /// The values that the request has for it.
    saw: Vec<String>,
    held: bool,
}

/// What is done.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    /// `FORWARD`, `REDIRECT` or `STATIC`.
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_group: Option<String>,
    /// The target, were it picked now.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// Whether it is forwarded as a WebSocket handshake.
    websocket: bool,
    /// The protocol, where it is forwarded as another upgrade.
    #[serde(skip_serializing_if = "Option::is_none")]
    upgrade: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Refused {
    status_code: u16,
    /// As in `culvert_refusals_total`.
    reason: &'static str,
    detail: &'static str,
}

/// What would become of a request, and why. Limits on clients are not looked at, and no turn is moved.
#[utoipa::path(
    post,
    path = "/api/v1/explain",
    request_body = Sample,
    responses((status = 200, body = Explanation), (status = 400, body = Error), (status = 404, body = Error)),
)]
pub(super) async fn explain(
    State(view): State<View>,
    body: Bytes,
) -> Result<Json<Explanation>, Denial> {
    let sample: Sample =
        serde_json::from_slice(&body).map_err(|error| Denial::bad(error.to_string()))?;
    let rules = view.snapshot().rules;
    let rule = sample.rule(&rules)?;
    let mut head = sample.head()?;
    let peer = Client {
        ip: sample.client_ip.to_canonical(),
        port: None,
    };
    let foresight = Foresight::of(rule, &mut head, sample.path.as_bytes(), peer);
    Ok(Json(Explanation::of(rule, &foresight)))
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

    fn head(&self) -> Result<Parts, Denial> {
        let is_bare = |byte: u8| byte.is_ascii_control() || matches!(byte, b' ' | b'#');
        if self.path.is_empty() || self.path.bytes().any(is_bare) {
            return Err(Denial::bad(
                "path: must be a path as it stands in a request",
            ));
        }
        let method = Method::from_bytes(self.method.as_bytes());
        let method = method.ok().filter(|method| *method != Method::CONNECT);
        let method = method.ok_or_else(|| Denial::bad("method: is never forwarded"))?;
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.method = method;
        for (name, values) in &self.headers {
            let bad = || Denial::bad(format!("headers: {name:?} is no header"));
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            for value in values.as_slice() {
                let value = HeaderValue::from_str(value).map_err(|_| bad())?;
                head.headers.append(&key, value);
            }
        }
        Ok(head)
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

impl Explanation {
    fn of(rule: &ForwardingRule, foresight: &Foresight<'_>) -> Self {
        let request = &foresight.request;
        let http_rule = |rule: &rules::Rule<Routes>| HttpRule {
            name: rule.name.to_string(),
            kind: word(&rule.action),
            conditions: rule
                .explain(request)
                .into_iter()
                .map(Condition::of)
                .collect(),
            matched: rule.matches(request),
        };
        let refusal = foresight.refusal.map(|refusal| Refused {
            status_code: refusal.status(),
            reason: refusal.reason.as_str(),
            detail: refusal.detail,
        });
        Explanation {
            forwarding_rule: rule.name.to_string(),
            client_ip: request.client_ip().to_string(),
            http_rules: rule.rules.iter().map(http_rule).collect(),
            matched: foresight.rule.map(|rule| rule.name.to_string()),
            action: foresight
                .rule
                .map(|rule| Outcome::of(&rule.action, foresight)),
            refusal,
        }
    }
}

impl Condition {
    fn of(told: Told) -> Self {
        Condition {
            kind: told.subject,
            condition: told.comparison,
            key: told.key,
            value: told.value,
            negate: told.negate,
            saw: told.saw,
            held: told.held,
        }
    }
}

impl Outcome {
    fn of(action: &Action<Routes>, foresight: &Foresight<'_>) -> Self {
        let status_code = match action {
            Action::Forward(_) => None,
            Action::Respond(Response::Redirect(redirect)) => Some(redirect.status),
            Action::Respond(Response::Static(answer)) => Some(answer.status),
        };
        Outcome {
            kind: word(action),
            status_code: status_code.map(|status| status.as_u16()),
            location: foresight.location.clone(),
            target_group: foresight.target_group.as_ref().map(ToString::to_string),
            target: foresight.target.as_ref().map(|target| target.to_string()),
            websocket: foresight.is_handshake,
            upgrade: foresight.upgrade.as_ref().map(ToString::to_string),
        }
    }
}
