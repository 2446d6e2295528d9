//! BackendTLSPolicy, and Azure's HealthCheckPolicy.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};

use super::fields::{Fields, Node};
use super::meta::Meta;
use super::words::{Reference, host, is_name};
use crate::config::model::SubjectName;

/// A BackendTLSPolicy: TLS towards the endpoints of Services.
#[derive(Debug)]
pub struct BackendTlsPolicy {
    /// What all objects have.
    pub meta: Meta,
    /// `targetRefs`: `section` is the name of a port.
    pub targets: Vec<Reference>,
    /// `validation.hostname`
    pub host: Arc<str>,
    /// `validation.caCertificateRefs`
    pub authorities: Vec<Reference>,
    /// `validation.wellKnownCACertificates` is System.
    pub trusts_system: bool,
    /// `validation.subjectAltNames`: whom the certificates are for instead of `host`.
    pub alternatives: Vec<SubjectName>,
}

impl BackendTlsPolicy {
    pub(super) fn read(meta: Meta, top: &Fields) -> Self {
        let spec = top.required_fields("spec");
        let validation = spec.required_fields("validation");
        let targets = spec.list("targetRefs", 16).into_iter();
        let authorities = validation.list("caCertificateRefs", 8).into_iter();
        let host = validation.required_text("hostname").unwrap_or_default();
        if !is_name(host) {
            let message = "must be a DNS name in lower case";
            validation
                .flaws
                .note(&validation.path_of("hostname"), message);
        }
        let known = validation.text("wellKnownCACertificates").unwrap_or("");
        let policy = BackendTlsPolicy {
            meta,
            targets: targets
                .filter_map(|node| Reference::read(&node.fields(), "", ""))
                .collect(),
            host: host.into(),
            authorities: authorities
                .filter_map(|node| Reference::read(&node.fields(), "", ""))
                .collect(),
            trusts_system: known == "System",
            alternatives: alternatives(&validation),
        };
        let path = &validation.path;
        match (known, policy.authorities.is_empty()) {
            ("", false) | ("System", true) => {}
            ("", true) => validation.flaws.note(
                path,
                "must have caCertificateRefs or wellKnownCACertificates",
            ),
            (_, false) => validation.flaws.note(
                path,
                "must not have both caCertificateRefs and wellKnownCACertificates",
            ),
            (_, true) => validation.flaws.note(
                &validation.path_of("wellKnownCACertificates"),
                "must be System",
            ),
        }
        policy
    }
}

fn alternatives(validation: &Fields) -> Vec<SubjectName> {
    let entries = validation.list("subjectAltNames", 5).into_iter();
    let entry = |node: Node| {
        let fields = node.fields();
        match fields.required_text("type")? {
            "Hostname" => {
                only(&fields, "uri", "Hostname");
                fields.required_text("hostname")?;
                let host = host(&fields.node("hostname")?)?;
                Some(SubjectName::Host(host.to_string()))
            }
            "URI" => {
                only(&fields, "hostname", "URI");
                uri(&fields).map(SubjectName::Uri)
            }
            _ => fields.flaw("type", "must be Hostname or URI"),
        }
    };
    entries.filter_map(entry).collect()
}

/// Notes a field that goes with another type.
fn only(fields: &Fields, key: &str, kind: &str) {
    if fields.raw(key).is_some_and(|value| value != "") {
        let path = fields.path_of(key);
        fields
            .flaws
            .note(&path, format!("does not go with type {kind}"));
    }
}

/// An absolute URI (RFC 3986), as the CRD wants it.
fn uri(fields: &Fields) -> Option<String> {
    let text = fields.required_text("uri")?;
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_uri = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(is_part)
        && !rest.is_empty()
        && text.len() <= 253
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    match is_uri {
        true => Some(text.to_owned()),
        false => fields.flaw("uri", "must be an absolute URI"),
    }
}

/// A HealthCheckPolicy (alb.networking.azure.io): how the endpoints of a Service are checked.
#[derive(Debug)]
pub struct HealthCheckPolicy {
    /// What all objects have.
    pub meta: Meta,
    /// `targetRef`
    pub target: Option<Reference>,
    /// `override`, or else `default`.
    pub check: HealthCheck,
}

/// `default` or `override`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HealthCheck {
    /// `port`
    pub port: Option<u16>,
    /// `interval`
    pub interval: Option<Duration>,
    /// `timeout`
    pub timeout: Option<Duration>,
    /// `healthyThreshold`
    pub healthy: Option<usize>,
    /// `unhealthyThreshold`
    pub unhealthy: Option<usize>,
    /// `http`, or what `protocol` says without it: a request, and what its answer must be. Without
    /// it and without `grpc` a connection is opened.
    pub http: Option<HttpHealthCheck>,
    /// `grpc`: a question by the health checking protocol of gRPC.
    pub grpc: Option<GrpcHealthCheck>,
    /// `useTLS`, or `protocol` HTTPS.
    pub tls: bool,
}

/// `http`
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HttpHealthCheck {
    /// `host`
    pub host: Option<String>,
    /// `path`
    pub path: String,
    /// `match.body`
    pub body: Option<String>,
    /// `match.statusCodes`
    pub codes: Vec<RangeInclusive<u16>>,
}

/// `grpc`
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GrpcHealthCheck {
    /// `authority`
    pub authority: Option<String>,
    /// `service`; empty for the server as a whole.
    pub service: String,
}

impl HealthCheckPolicy {
    pub(super) fn read(meta: Meta, top: &Fields) -> Self {
        let spec = top.required_fields("spec");
        let target = spec.fields("targetRef");
        let level = spec.fields("override").or_else(|| spec.fields("default"));
        if spec.fields("override").is_some() {
            // Whatever wins, both are read: what is wrong with the other is told, too.
            let _ = spec.fields("default").map(|fields| check(&fields));
        }
        HealthCheckPolicy {
            meta,
            target: target.and_then(|fields| Reference::read(&fields, "", "")),
            check: level.map_or_else(HealthCheck::default, |fields| check(&fields)),
        }
    }
}

fn check(fields: &Fields) -> HealthCheck {
    let protocol = protocol(fields);
    let http = fields.fields("http").map(|fields| http_check(&fields));
    let grpc = fields.fields("grpc").map(|fields| grpc_check(&fields));
    let is_asked = http.is_some() || grpc.is_some();
    let is_http = matches!(protocol, Some("HTTP" | "HTTPS"));
    let threshold = |key: &str| {
        let number = fields.integer(key, 1..=100)?;
        usize::try_from(number).ok()
    };
    HealthCheck {
        port: fields.port("port"),
        interval: positive(fields, "interval"),
        timeout: positive(fields, "timeout"),
        healthy: threshold("healthyThreshold"),
        unhealthy: threshold("unhealthyThreshold"),
        http: http.or_else(|| (is_http && !is_asked).then(HttpHealthCheck::of_everything)),
        grpc,
        tls: fields
            .boolean("useTLS")
            .unwrap_or(protocol == Some("HTTPS")),
    }
}

impl HttpHealthCheck {
    /// Where nothing is said of it.
    fn of_everything() -> Self {
        HttpHealthCheck {
            path: "/".to_owned(),
            ..HttpHealthCheck::default()
        }
    }
}

/// `protocol`, which goes together with the rest.
fn protocol<'a>(fields: &Fields<'a>) -> Option<&'a str> {
    let note = |key: &str, message: &str| fields.flaws.note(&fields.path_of(key), message);
    if fields.has("http") && fields.has("grpc") {
        note("grpc", "does not go with http");
    }
    let protocol = fields.text("protocol")?;
    match protocol {
        "HTTP" => {}
        "HTTPS" if fields.raw("useTLS").is_some_and(|value| value == false) => {
            note("protocol", "does not go with useTLS: false");
        }
        "HTTPS" => {}
        "TCP" if fields.has("http") || fields.has("grpc") => {
            note("protocol", "goes neither with http nor with grpc");
        }
        "TCP" => {}
        _ => note("protocol", "must be HTTP, HTTPS or TCP"),
    }
    Some(protocol)
}

fn grpc_check(fields: &Fields) -> GrpcHealthCheck {
    let service = fields.text("service").unwrap_or_default();
    let is_fit = service.len() <= 253 && service.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_fit {
        let message = "must be up to 253 visible ASCII characters";
        fields.flaws.note(&fields.path_of("service"), message);
    }
    let authority = fields.text("authority");
    GrpcHealthCheck {
        authority: authority.and_then(|text| authority_of(fields, "authority", text)),
        service: service.to_owned(),
    }
}

/// A duration that is neither nothing nor more than 30 days.
fn positive(fields: &Fields, key: &str) -> Option<Duration> {
    let duration = fields.duration(key)?;
    match (Duration::from_millis(1)..=Duration::from_secs(30 * 86_400)).contains(&duration) {
        true => Some(duration),
        false => fields.flaw(key, "must be from 1ms to 720h"),
    }
}

fn http_check(fields: &Fields) -> HttpHealthCheck {
    let path = fields.text("path").unwrap_or("/").trim();
    let is_path = path.starts_with('/')
        && path.bytes().all(|byte| byte.is_ascii_graphic())
        && path.parse::<PathAndQuery>().is_ok();
    if !is_path {
        let message = "must begin with a slash and be visible ASCII";
        fields.flaws.note(&fields.path_of("path"), message);
    }
    let expected = fields.fields("match");
    let codes = expected.as_ref().map(|fields| {
        let entries = fields.list("statusCodes", 16).into_iter();
        entries.filter_map(|node| codes(&node)).collect()
    });
    HttpHealthCheck {
        host: fields
            .text("host")
            .and_then(|text| authority_of(fields, "host", text)),
        path: path.to_owned(),
        body: expected
            .and_then(|fields| fields.text("body"))
            .map(str::to_owned),
        codes: codes.unwrap_or_default(),
    }
}

/// A host, possibly with a port; nothing is as if it were not there.
fn authority_of(fields: &Fields, key: &str, text: &str) -> Option<String> {
    let is_host = |text: &str| text.parse::<Authority>().is_ok() && !text.contains('@');
    match text {
        "" => None,
        text if is_host(text) => Some(text.to_owned()),
        _ => fields.flaw(key, "must be a host, possibly with a port"),
    }
}

fn codes(node: &Node) -> Option<RangeInclusive<u16>> {
    let fields = node.clone().fields();
    let code = |key: &str| match fields.has(key) {
        true => u16::try_from(fields.integer(key, 100..=599)?).ok(),
        false => fields.flaw(key, "is required"),
    };
    let (start, end) = (code("start")?, code("end")?);
    match start <= end {
        true => Some(start..=end),
        false => node.flaw("must not end before it starts"),
    }
}
