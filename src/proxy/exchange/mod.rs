//! The exchange: one request and all that follows from it. Pingora's `CTX`.
//!
//! It owns a ledger, which holds the record. Whatever ends the exchange drops the ledger in the
//! end, and that writes the record, once: also when the task is dropped half way, or panics. With a
//! 101 the ledger goes over to the tunnel.

mod admission;
mod answer;
mod attempt;
mod attempts;
mod copy;
mod details;
mod end;
mod forward;
mod repeat;
mod retry;
mod trailers;

use std::net::IpAddr;
use std::sync::Arc;

use http::Version;
use http::header::HeaderName;
use pingora::http::RequestHeader;
use pingora::prelude::Session;
use uuid::Uuid;

use self::attempts::Attempts;
use super::copies::Copies;
use super::decide::Sender;
use super::facts::Facts;
use super::ledger::Ledger;
use super::{forwarded, headers, http2};
use crate::forwarding_rule::{ForwardingRule, Route};
use crate::listener::Connection;
use crate::request_line;
use crate::rules::Rule;
use crate::stream::Framing;
use crate::target_address::TargetAddress;
use crate::target_group::PickContext;
use crate::telemetry::{Client, ClientCertificate};

/// One request and all that follows from it.
pub struct Exchange {
    connection: Arc<Connection>,
    /// The rule of its connection, as it was when the exchange began.
    rule: Arc<ForwardingRule>,
    /// Goes with the tunnel once there is one.
    ledger: Ledger,
    /// What was read and written on the connection before this exchange.
    wire_before: (u64, u64),
    is_handshake: bool,
    /// It is a handshake once all of its body has come.
    awaits_body: bool,
    context: PickContext<'static>,
    has_body: bool,
    attempts: Attempts,
    /// The answer's body has come to its end.
    is_answered: bool,
    /// How much the request's body may still have.
    body_left: u64,
    /// How many heads the target has sent before its answer's, and how large they were.
    interim_heads: usize,
    interim_bytes: u64,
    /// Which of the answer's fields are for the target's connection alone.
    hops: Vec<HeaderName>,
    /// Copies of the request that are not sent yet.
    copies: Option<Box<Copies>>,
    /// Whether its line repeats headers of the answer.
    logs_answer: bool,
    /// Whether it belongs to a trace.
    traces: bool,
}

impl Exchange {
    /// An exchange begins on this connection.
    pub(super) fn begin(connection: Arc<Connection>) -> Self {
        let wire = &connection.wire;
        let wire_before = (wire.read() - wire.head_read(), wire.written());
        wire.begin_exchange();
        let rule = connection.rule.load_full();
        Exchange {
            ledger: Ledger::begin(&connection, &rule),
            connection,
            body_left: rule.bounds.body_bytes.unwrap_or(u64::MAX),
            interim_heads: 0,
            interim_bytes: 0,
            hops: Vec::new(),
            rule,
            wire_before,
            is_handshake: false,
            awaits_body: false,
            context: PickContext::default(),
            has_body: false,
            attempts: Attempts::default(),
            is_answered: false,
            copies: None,
            logs_answer: false,
            traces: false,
        }
    }

    /// Notes what the client asks, and sets the clock that Pingora keeps.
    pub(super) fn read_head(&mut self, session: &mut Session) {
        // The client's streams have clocks of their own, which run only while the client is waited
        // for.
        session.set_read_timeout(None);
        session.set_write_timeout(None);
        session.set_total_drain_timeout(Some(self.connection.patience(&self.rule)));
        if self.connection.is_leaving() {
            session.set_keepalive(None);
        }
        self.ledger.record.tracking_id = self.name(session.req_header());
        let is_stream = is_stream(session);
        if is_stream {
            request_line::suit_http_1_1(session.req_header_mut());
        }
        self.ledger.record.bytes.request_header = match session.as_downstream().as_http1() {
            Some(_) => self.connection.wire.head_read(),
            None => request_line::size_in_http_1_1(session.req_header()),
        };
        // A client of HTTP/1.0 does not know them (RFC 9110 section 15.2).
        let is_old = session.req_header().version == Version::HTTP_10;
        session.set_ignore_info_resp(is_old);
        let body = match is_stream {
            true => http2::body_length(session),
            false => headers::body_length(&session.req_header().headers),
        };
        self.has_body = body != Some(0);
        self.connection
            .wire
            .expect_body(body.map_or(Framing::Chunked, Framing::Length));
        let head = session.req_header();
        let is_tls = self.connection.is_clients_tls();
        let sender = Sender::of(&self.rule, &head.headers, self.peer(), is_tls);
        self.ledger.record.client = sender.client;
        self.ledger.record.scheme = Some(sender.scheme);
        let version = match (self.connection.is_http2(), is_old) {
            (true, _) => "HTTP/2",
            (false, true) => "HTTP/1.0",
            (false, false) => "HTTP/1.1",
        };
        let style = self.connection.log.style();
        let line = request_line::of(head, version, &style.redaction);
        self.ledger.record.request = Some(line);
        self.note_request(&style, head);
    }

    /// What the request is called: as a trusted proxy says, or as nothing else is.
    fn name(&self, head: &RequestHeader) -> String {
        let told = self
            .is_from_proxy()
            .then(|| forwarded::request_id(&head.headers));
        match told.flatten() {
            Some(id) => id.to_owned(),
            None => Uuid::new_v4().simple().to_string(),
        }
    }

    /// Notes that the request's body has come to its end: what comes now belongs to the next
    /// request.
    pub(super) fn request_ended(&mut self, head: &RequestHeader) {
        self.pass_request_trailers(head);
        self.connection.wire.expect_body(Framing::Length(0));
        if std::mem::take(&mut self.awaits_body) {
            self.begin_handshake();
        }
    }

    /// Notes that the answer's body has come to its end.
    pub(super) fn answer_ended(&mut self) {
        self.is_answered = true;
        self.pass_trailers();
    }

    /// The forwarding rule.
    pub(super) fn rule(&self) -> Arc<ForwardingRule> {
        Arc::clone(&self.rule)
    }

    /// Who sent the request, and how it came.
    pub(super) fn sender(&self, session: &Session) -> Sender<'_> {
        Sender {
            client: self.client(),
            scheme: self.scheme(),
            is_from_proxy: self.is_from_proxy(),
            certificate: self.client_certificate(),
            is_handshake_in_http2: self.is_handshake_in_http2(session),
            server_name: self
                .connection
                .tls()
                .and_then(|tls| tls.server_name.as_deref()),
        }
    }

    /// The client's address.
    fn client_ip(&self) -> IpAddr {
        self.client().ip
    }

    /// The client: whoever sent the request, or whom a trusted proxy names.
    fn client(&self) -> Client {
        self.ledger.record.client
    }

    /// Whoever sent the request.
    fn peer(&self) -> Client {
        self.connection.client.into()
    }

    /// The address of whoever sent the request.
    pub(super) fn peer_ip(&self) -> IpAddr {
        self.peer().ip
    }

    /// Whether the request was sent by a trusted proxy.
    pub(super) fn is_from_proxy(&self) -> bool {
        self.rule.trusted.contain(self.peer_ip())
    }

    /// How the client came, to us or to a trusted proxy before us: `http` or `https`.
    pub(super) fn scheme(&self) -> &'static str {
        self.ledger.record.scheme.unwrap_or("http")
    }

    /// Whether the client came over TLS, to us or to a trusted proxy before us.
    fn is_secure(&self) -> bool {
        self.scheme() == "https"
    }

    /// Whether it is a WebSocket's handshake in HTTP/2, though it looks like one in HTTP/1.1.
    pub(super) fn is_handshake_in_http2(&self, session: &Session) -> bool {
        self.connection.is_http2() && !is_stream(session)
    }

    /// What is known of the client's certificate, where it is asked for one.
    pub(super) fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.connection.tls()?.client_certificate.as_ref()
    }

    /// The X-Request-Id.
    pub(super) fn tracking_id(&self) -> &str {
        &self.ledger.record.tracking_id
    }

    /// What headers can be made of; `head` is the client's.
    pub(super) fn facts<'a>(&'a self, head: &'a RequestHeader) -> Facts<'a> {
        Facts {
            head,
            client: self.client(),
            scheme: self.scheme(),
            tracking_id: self.tracking_id(),
            tls: self.connection.tls(),
        }
    }

    /// Notes which HTTP rule matched.
    pub(super) fn matched<G>(&mut self, rule: &Rule<G>) {
        self.ledger.http_rule = self.rule.http_rule(rule.index).cloned();
        self.ledger.record.http_rule = Some(Arc::clone(&rule.name));
    }

    /// The protocol that the handshake is for, if that is not WebSocket.
    pub(super) fn other_protocol(&self) -> Option<&str> {
        self.ledger.record.protocol.as_deref()
    }

    /// Which target the request goes to.
    pub(super) fn target(&self) -> Option<&TargetAddress> {
        self.ledger.record.target.as_ref()
    }

    /// Where the request goes.
    pub(super) fn route(&self) -> Option<&Route> {
        self.ledger.route.as_deref()
    }
}

/// Whether it is a plain request on a stream of HTTP/2.
fn is_stream(session: &Session) -> bool {
    session.as_downstream().as_custom().is_some()
}

impl Drop for Exchange {
    /// A plain exchange that is dropped half way: the ledger writes the rest.
    fn drop(&mut self) {
        // A tunnel that was not opened any more would keep itself alive.
        drop(self.part());
        let bytes = &mut self.ledger.record.bytes;
        let (read, written) = (self.connection.wire.read(), self.connection.wire.written());
        bytes.request_body = (read - self.wire_before.0).saturating_sub(bytes.request_header);
        let written = written - self.wire_before.1;
        bytes.response_body = written.saturating_sub(bytes.response_header);
    }
}
