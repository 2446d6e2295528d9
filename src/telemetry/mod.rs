//! What the outside learns of an exchange: one [`Record`] when it is over, which becomes one line
//! of the access log and one set of counters.
//!
//! A leaf: every room may call it, and it knows none of them. The words of [`CloseReason`] and
//! [`RefusalReason`] are the same in the code, the log and the labels of the metrics.

pub mod access_log;
pub mod carried;
mod close_reasons;
mod cut;
pub mod diagnostics;
mod format;
mod journal;
mod line;
pub mod metrics;
mod redact;
mod refusals;
mod style;
mod text;

use crate::target_address::TargetAddress;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::HeaderName;
use serde::{Deserialize, Serialize};

pub use close_reasons::{CloseReason, RefusalReason};
pub use cut::cut;
pub use format::Format;
use line::Line;
pub use redact::Redaction;
pub use refusals::{Refusals, Refused};
pub use style::{LoggedHeaders, Style};
pub use text::ip_text;

/// One of a few words.
pub type Word = &'static str;

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its address, never an IPv4 address in its IPv6 form.
    pub ip: IpAddr,
    /// Its port; `None` where all that is known of it is what a proxy said.
    pub port: Option<u16>,
}

impl From<SocketAddr> for Client {
    fn from(address: SocketAddr) -> Self {
        Client {
            ip: address.ip().to_canonical(),
            port: Some(address.port()),
        }
    }
}

/// One exchange, as the access log tells it. `None` and empty mean that a field does not apply.
/// What is only known at the end of a tunnel is not carried from one process to the next.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When the exchange began: at the first byte that we know of.
    pub started: SystemTime,
    /// The same moment on the clock that durations are taken from.
    #[serde(with = "carried::past")]
    pub clock: Instant,
    /// The X-Request-Id that the target saw; empty before there was a request.
    pub tracking_id: String,
    /// The forwarding rule that accepted the connection.
    pub forwarding_rule: Arc<str>,
    /// The HTTP rule that matched.
    pub http_rule: Option<Arc<str>>,
    /// The client.
    pub client: Client,
    /// How it came, to us or to a trusted proxy: `http` or `https`; `None` before that is known.
    #[serde(default, deserialize_with = "carried::scheme")]
    pub scheme: Option<Word>,
    /// What its connection is encrypted with.
    pub tls: Option<Arc<TlsSession>>,
    /// What the client asked; `None` where no head could be read.
    pub request: Option<RequestLine>,
    /// What the client saw.
    pub status: Option<u16>,
    /// Whether the connection became a tunnel.
    pub upgraded: bool,
    /// The protocol that it was to become, where that is not WebSocket.
    pub protocol: Option<Arc<str>>,
    /// The target group that the rule forwards to.
    pub target_group: Option<Arc<str>>,
    /// The target that was picked last.
    pub target: Option<TargetAddress>,
    /// How long the target's connection took; `None` for one that was open already.
    pub target_connect: Option<Duration>,
    /// From the request to the first byte of the target's answer.
    pub target_latency: Option<Duration>,
    /// Bytes, on the wire for heads and tunnels, without framing for the bodies of plain exchanges.
    pub bytes: Bytes,
    /// The status code of the first Close frame in either direction, ours included.
    #[serde(skip)]
    pub close_code: Option<u16>,
    /// How many frames passed in a tunnel; `None` for a plain exchange.
    #[serde(skip)]
    pub frames: Option<Frames>,
    /// Why our answer was a refusal.
    #[serde(skip)]
    pub refusal: Option<RefusalReason>,
    /// What went wrong, for the reader of the log.
    #[serde(skip)]
    pub error: Option<String>,
    /// What few exchanges have, or what somebody has asked for.
    #[serde(default)]
    pub details: Option<Box<Details>>,
}

/// What the line of an exchange has beside the rest. The values are each [`cut`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    /// Headers of the request, as the client sent them.
    #[serde(with = "carried::headers")]
    pub request_headers: Vec<(HeaderName, String)>,
    /// Headers of the answer, as the client got them.
    #[serde(with = "carried::headers")]
    pub response_headers: Vec<(HeaderName, String)>,
    /// Whose page has made a handshake that it may not make.
    pub origin: Option<String>,
    /// Which trace it belongs to (W3C Trace Context).
    pub traceparent: Option<String>,
}

/// The parts of the request's head that the log repeats. The client chose them: each is [`cut`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestLine {
    /// `HTTP/1.1`
    #[serde(deserialize_with = "carried::http_version")]
    pub version: Word,
    /// The method.
    pub method: String,
    /// The Host header, or the authority of an absolute target.
    pub host: String,
    /// The request target, secrets redacted.
    pub uri: Arc<str>,
    /// The User-Agent header.
    pub user_agent: Option<String>,
    /// The Referer header, secrets redacted.
    pub referer: Option<String>,
}

/// What a TLS handshake agreed on.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSession {
    /// `TLSv1.3`
    #[serde(deserialize_with = "carried::tls_version")]
    pub protocol: Word,
    /// The cipher suite's name at IANA.
    pub cipher: String,
    /// The host that the client asked for (SNI).
    pub server_name: Option<String>,
    /// What is known of the client's certificate; `None` where it is not asked for one.
    pub client_certificate: Option<ClientCertificate>,
}

/// What is known of a client's certificate.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificate {
    /// `SUCCESS`, `NONE` or `FAILED:` with the reason.
    #[serde(deserialize_with = "carried::verification")]
    pub verify: Word,
    /// Its subject after RFC 4514: visible ASCII and spaces.
    pub subject: Option<String>,
    /// The SHA-256 of it in lower-case hex.
    pub fingerprint: Option<String>,
}

impl ClientCertificate {
    /// A client without one.
    pub const NONE: ClientCertificate = ClientCertificate {
        verify: "NONE",
        subject: None,
        fingerprint: None,
    };
}

/// The frames of a tunnel.
#[derive(Debug, Clone, Copy)]
pub struct Frames {
    /// From the client.
    pub from_client: u64,
    /// To the client.
    pub to_client: u64,
    /// From the last byte in either direction to the end.
    pub since_activity: Duration,
}

/// How many bytes went each way.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bytes {
    /// The request's head.
    pub request_header: u64,
    /// The request's body; of a tunnel, what the client sent.
    pub request_body: u64,
    /// The answer's head.
    pub response_header: u64,
    /// The answer's body; of a tunnel, what the client was sent.
    pub response_body: u64,
}

impl Record {
    /// The record of an exchange that begins now.
    pub fn begin(forwarding_rule: Arc<str>, client: Client) -> Self {
        Record {
            started: SystemTime::now(),
            clock: Instant::now(),
            tracking_id: String::new(),
            forwarding_rule,
            http_rule: None,
            client,
            scheme: None,
            tls: None,
            request: None,
            status: None,
            upgraded: false,
            protocol: None,
            target_group: None,
            target: None,
            target_connect: None,
            target_latency: None,
            bytes: Bytes::default(),
            close_code: None,
            frames: None,
            refusal: None,
            error: None,
            details: None,
        }
    }

    /// Notes why it is cut off from outside, where there is more to say than the reason.
    pub fn note_cut_off(&mut self, reason: CloseReason) {
        if std::thread::panicking() {
            self.error = Some("internal error: a panic".to_owned());
        }
        if reason == CloseReason::Memory {
            self.error = Some("reset, for memory is short".to_owned());
        }
    }

    /// Whether it is a plain exchange, and went well.
    fn went_well(&self, reason: CloseReason) -> bool {
        let is_plain = reason == CloseReason::Completed && !self.upgraded;
        is_plain && self.status.is_some_and(|status| status < 400)
    }

    /// Its details, to add to.
    pub fn details(&mut self) -> &mut Details {
        self.details.get_or_insert_default()
    }

    /// The line of the access log, with its end.
    pub fn to_line(&self, reason: CloseReason, style: &Style) -> Vec<u8> {
        let mut line = Line::begin(style.format);
        line.time("time", SystemTime::now());
        line.time("startTime", self.started);
        line.millis("durationMs", Some(self.clock.elapsed()));
        line.text("node", style.node());
        self.exchange_fields(&mut line);
        self.byte_fields(&mut line);
        let frames = self.frames.filter(|_| self.protocol.is_none());
        line.number("framesIn", frames.map(|frames| frames.from_client));
        line.number("framesOut", frames.map(|frames| frames.to_client));
        line.millis(
            "lastActivityMs",
            self.frames.map(|frames| frames.since_activity),
        );
        line.text("closeReason", Some(reason.as_str()));
        line.number("closeCode", self.close_code.map(u64::from));
        line.text("error", self.error.as_ref());
        self.detail_fields(&mut line);
        line.end()
    }

    /// The line of a tunnel that opens, with its end.
    pub fn to_open_line(&self, style: &Style) -> Vec<u8> {
        let mut line = Line::begin(style.format);
        line.text("event", Some("open"));
        line.time("time", SystemTime::now());
        line.time("startTime", self.started);
        line.text("node", style.node());
        self.exchange_fields(&mut line);
        self.detail_fields(&mut line);
        line.end()
    }

    fn exchange_fields(&self, line: &mut Line) {
        line.text(
            "trackingId",
            Some(&self.tracking_id).filter(|id| !id.is_empty()),
        );
        line.text("forwardingRule", Some(&self.forwarding_rule));
        line.text("httpRule", self.http_rule.as_ref());
        line.ip("clientIp", self.client.ip);
        line.number("clientPort", self.client.port.map(u64::from));
        line.text("scheme", self.scheme);
        self.tls_fields(line);
        self.request_fields(line);
        line.number("httpStatusCode", self.status.map(u64::from));
        let protocol = self.protocol.as_deref().unwrap_or("websocket");
        line.text("upgrade", self.upgraded.then_some(protocol));
        line.text("targetGroup", self.target_group.as_ref());
        line.target("target", self.target.as_ref());
        line.millis("targetConnectMs", self.target_connect);
        line.millis("targetLatencyMs", self.target_latency);
    }

    fn detail_fields(&self, line: &mut Line) {
        let Some(details) = &self.details else { return };
        line.text("origin", details.origin.as_ref());
        line.text("traceparent", details.traceparent.as_ref());
        line.texts("requestHeaders", &details.request_headers);
        line.texts("responseHeaders", &details.response_headers);
    }

    fn byte_fields(&self, line: &mut Line) {
        line.number("requestHeaderBytes", Some(self.bytes.request_header));
        line.number("requestBodyBytes", Some(self.bytes.request_body));
        line.number("responseHeaderBytes", Some(self.bytes.response_header));
        line.number("responseBodyBytes", Some(self.bytes.response_body));
    }

    fn tls_fields(&self, line: &mut Line) {
        let Some(tls) = &self.tls else { return };
        line.text("tlsProtocol", Some(tls.protocol));
        line.text("tlsCipher", Some(&tls.cipher));
        line.text("serverName", tls.server_name.as_ref());
        let Some(certificate) = &tls.client_certificate else {
            return;
        };
        line.text("clientCertificateVerify", Some(certificate.verify));
        line.text("clientCertificateSubject", certificate.subject.as_ref());
        line.text(
            "clientCertificateFingerprint",
            certificate.fingerprint.as_ref(),
        );
    }

    fn request_fields(&self, line: &mut Line) {
        let Some(request) = &self.request else { return };
        line.text("httpVersion", Some(request.version));
        line.text("httpMethod", Some(&request.method));
        line.text(
            "hostName",
            Some(&request.host).filter(|host| !host.is_empty()),
        );
        line.text("requestUri", Some(&request.uri));
        line.text("userAgent", request.user_agent.as_ref());
        line.text("referer", request.referer.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object_with_the_fields_that_apply() {
        let client: SocketAddr = "192.0.2.7:4711".parse().unwrap();
        let mut record = Record::begin("edge".into(), client.into());
        record.request = Some(RequestLine {
            version: "HTTP/1.1",
            method: "GET".into(),
            host: "example.com".into(),
            uri: "/a\"b\n".into(),
            user_agent: None,
            referer: None,
        });
        record.status = Some(101);
        record.upgraded = true;
        record.target_latency = Some(Duration::from_micros(1500));

        let style = Style {
            node: "fra-1".into(),
            ..Style::default()
        };
        let line = String::from_utf8(record.to_line(CloseReason::ClientClosed, &style)).unwrap();

        assert!(
            line.ends_with("}\n") && line.matches('\n').count() == 1,
            "{line}"
        );
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["requestUri"], "/a\"b\n");
        assert_eq!(
            (&json["node"], &json["clientPort"]),
            (&"fra-1".into(), &4711.into())
        );
        assert_eq!(json["upgrade"], "websocket");
        assert_eq!(json["closeReason"], "client_closed");
        assert!(line.contains("\"targetLatencyMs\":1.500"), "{line}");
        assert!(json.get("error").is_none() && json.get("trackingId").is_none());
    }
}
