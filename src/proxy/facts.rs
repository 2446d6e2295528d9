//! What placeholders in headers stand for, in one exchange.

use std::borrow::Cow;

use http::HeaderValue;
use pingora::http::RequestHeader;

use crate::config::model::NewValue;
use crate::config::template::{Part, Template, Value};
use crate::rules::Request;
use crate::telemetry::{Client, ClientCertificate, TlsSession, ip_text};

/// What is known of a request and its client.
pub(super) struct Facts<'a> {
    /// The request's head, as the client sent it.
    pub(super) head: &'a RequestHeader,
    pub(super) client: Client,
    pub(super) scheme: &'static str,
    pub(super) tracking_id: &'a str,
    /// `None` without TLS.
    pub(super) tls: Option<&'a TlsSession>,
}

impl<'a> Facts<'a> {
    /// The value of a header; `None` where nothing of it is known.
    pub(super) fn value(&self, value: &NewValue) -> Option<HeaderValue> {
        match value {
            NewValue::Fixed(value) => Some(value.clone()),
            NewValue::Made(template) => self.made(template),
        }
    }

    fn made(&self, template: &Template) -> Option<HeaderValue> {
        let mut made = Vec::new();
        for part in template.parts() {
            match part {
                Part::Text(text) => made.extend_from_slice(text.as_bytes()),
                Part::Value(value) => made.extend_from_slice(&self.of(*value)),
            }
        }
        let value = HeaderValue::from_bytes(made.trim_ascii()).ok();
        value.filter(|value| !value.is_empty())
    }

    /// What is not known is nothing.
    fn of(&self, value: Value) -> Cow<'_, [u8]> {
        match value {
            Value::Scheme => text(self.scheme),
            Value::Host => self.request().host().into(),
            Value::Port => text(self.request().port_by(self.scheme).unwrap_or_default()),
            Value::Path => self.request().path().into(),
            Value::Query => match self.request().query() {
                Some(query) => [b"?", query].concat().into(),
                None => text(""),
            },
            Value::ClientIp => ip_text(self.client.ip).into(),
            Value::ClientPort => self.client.port.map_or_else(|| text(""), number),
            Value::TrackingId => text(self.tracking_id),
            Value::TlsProtocol => text(self.tls.map_or("", |tls| tls.protocol)),
            Value::TlsCipher => text(self.tls.map_or("", |tls| &tls.cipher)),
            Value::ServerName => {
                let name = self.tls.and_then(|tls| tls.server_name.as_deref());
                text(name.unwrap_or_default())
            }
            Value::ClientCertificateVerify => text(self.certificate().map_or("", |one| one.verify)),
            Value::ClientCertificateSubject => {
                let subject = self.certificate().and_then(|one| one.subject.as_deref());
                text(subject.unwrap_or_default())
            }
            Value::ClientCertificateFingerprint => {
                let fingerprint = self.certificate();
                let fingerprint = fingerprint.and_then(|one| one.fingerprint.as_deref());
                text(fingerprint.unwrap_or_default())
            }
        }
    }

    fn request(&self) -> Request<'a> {
        let head = self.head;
        Request::new(
            head.method.as_str(),
            head.raw_path(),
            &head.headers,
            self.client.ip,
        )
    }

    fn certificate(&self) -> Option<&ClientCertificate> {
        self.tls?.client_certificate.as_ref()
    }
}

fn text(text: &str) -> Cow<'_, [u8]> {
    text.as_bytes().into()
}

fn number<'a>(port: u16) -> Cow<'a, [u8]> {
    port.to_string().into_bytes().into()
}
