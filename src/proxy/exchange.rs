//! The exchange: one request and all that follows from it. Pingora's `CTX`.
//!
//! It owns its record. Whatever ends the exchange drops it in the end, and dropping it writes the record, once: also when
//! its task is dropped half way, or panics.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Version;
use http::header::{REFERER, USER_AGENT};
use pingora::Error;
use pingora::prelude::{HttpPeer, Session};
use uuid::Uuid;

use super::headers;
use super::refusal::Refusal;
use crate::listener::{Connection, ForwardingRule, Route};
use crate::rules::{Request, Rule};
use crate::target_group::Target;
use crate::telemetry::metrics::Active;
use crate::telemetry::{CloseReason, Record, RequestLine, redact_query};
use crate::tunnel::{ClientEnd, Phase};

/// How long an idle connection to a target is kept for the next request.
const POOLED: Duration = Duration::from_secs(50);
/// How long nothing may move in a tunnel.
const TUNNEL_IDLE: Duration = Duration::from_secs(3600);

/// One request and all that follows from it.
pub struct Exchange {
    connection: Arc<Connection>,
    record: Record,
    /// What was read and written on the connection before this exchange.
    wire_before: (u64, u64),
    http_rule: Option<usize>,
    route: Option<Arc<Route>>,
    is_handshake: bool,
    tried: Vec<SocketAddr>,
    target: Option<Arc<Target>>,
    picked_at: Option<Instant>,
    asked_at: Option<Instant>,
    tunnel: Option<Active>,
    is_recorded: bool,
}

impl Exchange {
    /// An exchange begins on this connection.
    pub(super) fn begin(connection: Arc<Connection>) -> Self {
        let wire = &connection.wire;
        let wire_before = (wire.read() - wire.head_read(), wire.written());
        wire.begin_exchange();
        let record = Record::begin(Arc::clone(&connection.rule.name), connection.client);
        Exchange {
            connection,
            record,
            wire_before,
            http_rule: None,
            route: None,
            is_handshake: false,
            tried: Vec::new(),
            target: None,
            picked_at: None,
            asked_at: None,
            tunnel: None,
            is_recorded: false,
        }
    }

    /// Notes what the client asks, and sets the clocks that Pingora keeps.
    pub(super) fn read_head(&mut self, session: &mut Session) {
        let limit = Some(self.connection.rule.client_timeout);
        session.set_read_timeout(limit);
        session.set_write_timeout(limit);
        session.set_total_drain_timeout(limit);
        if self.connection.drain.has_begun() {
            session.set_keepalive(None);
        }
        self.record.tracking_id = Uuid::new_v4().simple().to_string();
        if let Some(head) = session.as_downstream().as_http1() {
            self.record.bytes.request_header = head.get_headers_raw_bytes().len() as u64;
        }
        let head = session.req_header();
        let request = Request::new(
            head.method.as_str(),
            head.raw_path(),
            &head.headers,
            self.client_ip(),
        );
        self.record.request = Some(RequestLine {
            version: if head.version == Version::HTTP_10 {
                "HTTP/1.0"
            } else {
                "HTTP/1.1"
            },
            method: head.method.as_str().to_owned(),
            host: String::from_utf8_lossy(request.host()).into_owned(),
            uri: redact_query(&String::from_utf8_lossy(head.raw_path())),
            user_agent: headers::text(&head.headers, &USER_AGENT),
            referer: headers::text(&head.headers, &REFERER).map(|referer| redact_query(&referer)),
        });
    }

    /// The rule that accepted the connection.
    pub(super) fn rule(&self) -> Arc<ForwardingRule> {
        Arc::clone(&self.connection.rule)
    }

    /// The client's address.
    pub(super) fn client_ip(&self) -> IpAddr {
        self.connection.client.ip()
    }

    /// The X-Request-Id.
    pub(super) fn tracking_id(&self) -> &str {
        &self.record.tracking_id
    }

    /// Notes which HTTP rule matched.
    pub(super) fn matched<G>(&mut self, rule: &Rule<G>) {
        self.http_rule = Some(rule.index);
        self.record.http_rule = Some(Arc::clone(&rule.name));
    }

    /// Notes where the request goes.
    pub(super) fn forward_to(&mut self, route: &Arc<Route>, is_handshake: bool) {
        self.record.target_group = Some(Arc::clone(&route.group.name));
        self.route = Some(Arc::clone(route));
        self.is_handshake = is_handshake;
        if is_handshake {
            self.connection
                .wire
                .begin_handshake(route.group.response_timeout);
        }
    }

    /// Picks the target for the next try.
    pub(super) fn pick(&mut self) -> Result<Box<HttpPeer>, Refusal> {
        let route = self.route.as_ref().ok_or(Refusal::NO_TARGET)?;
        let target = route.group.pick(&self.tried).ok_or(Refusal::NO_TARGET)?;
        let mut peer = HttpPeer::new(target.address, false, String::new());
        let answer = Some(route.group.response_timeout);
        peer.options.connection_timeout = Some(route.group.connect_timeout);
        peer.options.idle_timeout = Some(POOLED);
        peer.options.write_timeout = answer;
        // Pingora's read timeout would cut a quiet tunnel; the tap keeps the clock of a handshake.
        peer.options.read_timeout = answer.filter(|_| !self.is_handshake);
        self.record.target = Some(target.address);
        self.target = Some(target);
        self.picked_at = Some(Instant::now());
        Ok(Box::new(peer))
    }

    /// Notes that the target could not be connected to; tells whether to try another.
    pub(super) fn connect_failed(&mut self) -> bool {
        let (Some(target), Some(route)) = (self.target.take(), &self.route) else {
            return false;
        };
        target.metrics.connect_errors.inc();
        self.tried.push(target.address);
        self.tried.len() <= route.group.retries
    }

    /// Notes that there is a connection to the target.
    pub(super) fn connected(&mut self, is_reused: bool) {
        let took = self.picked_at.map(|picked| picked.elapsed());
        self.record.target_connect = took.filter(|_| !is_reused);
        self.asked_at = Some(Instant::now());
    }

    /// Notes the head of the target's answer, of which there may be several: 1xx before the last.
    pub(super) fn answered(&mut self, session: &mut Session, status: u16) {
        if self.record.target_latency.is_none() {
            self.record.target_latency = self.asked_at.map(|asked| asked.elapsed());
        }
        let is_upgrade = self.is_handshake && status == 101;
        if self.connection.wire.phase() == Phase::Handshake && (is_upgrade || status >= 200) {
            self.connection.wire.end_handshake(is_upgrade);
        }
        if is_upgrade {
            self.open_tunnel(session);
        }
    }

    fn open_tunnel(&mut self, session: &mut Session) {
        session.set_read_timeout(Some(TUNNEL_IDLE));
        session.set_write_timeout(None);
        self.record.upgraded = true;
        self.record.status = Some(101);
        self.connection
            .rule
            .metrics
            .handshake(self.record.clock.elapsed());
        if let (Some(route), Some(target)) = (&self.route, &self.target) {
            self.tunnel = route.open_tunnel(target);
        }
    }

    /// The refusal behind an error, noted; `None` where there is nobody to answer.
    pub(super) fn refuse(&mut self, error: &Error, session: &Session) -> Option<Refusal> {
        let refusal = match self.connection.wire.client_end() {
            ClientEnd::HandshakeExpired => Some(Refusal::TARGET_TIMEOUT),
            _ => Refusal::of(error),
        };
        self.record.error = Some(self.explain(error, refusal));
        let sent = session.response_written();
        let has_answer =
            sent.is_some_and(|sent| !sent.status.is_informational() || sent.status == 101);
        let refusal = refusal.filter(|_| !has_answer);
        self.record.refusal = refusal.map(|refusal| refusal.reason);
        refusal
    }

    /// The error for the reader of the log: where, what, and the system's word for it.
    fn explain(&self, error: &Error, refusal: Option<Refusal>) -> String {
        let cause = error.root_cause();
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return refusal.detail.to_owned();
        }
        if refusal == Some(Refusal::TARGET_TIMEOUT) {
            return Refusal::TARGET_TIMEOUT.detail.to_owned();
        }
        let place = match (error.esource(), self.record.target) {
            (pingora::ErrorSource::Upstream, Some(target)) => format!("target {target}"),
            (source, _) => source.as_str().to_owned(),
        };
        match cause.downcast_ref::<std::io::Error>() {
            Some(cause) => format!("{place}: {}: {cause}", error.etype().as_str()),
            None => format!("{place}: {}", error.etype().as_str()),
        }
    }

    /// The exchange is over, and Pingora tells how.
    pub(super) fn close(&mut self, session: &Session, error: Option<&Error>) {
        let sent = session.response_written();
        self.record.status = sent.map(|sent| sent.status.as_u16());
        self.record.bytes.response_header = sent.map_or(0, headers::wire_size);
        self.record.bytes.request_body = session.body_bytes_read() as u64;
        self.record.bytes.response_body = session.body_bytes_sent() as u64;
        let reason = self.close_reason(error);
        self.write_record(reason);
    }

    fn close_reason(&self, error: Option<&Error>) -> CloseReason {
        if self.record.refusal.is_some() {
            return CloseReason::Refused;
        }
        let client = self.connection.wire.client_end();
        match (error, client) {
            (None, _) if !self.record.upgraded => CloseReason::Completed,
            (Some(error), _) if is_idle(error) && self.record.upgraded => CloseReason::IdleTimeout,
            (Some(error), _) if *error.esource() == pingora::ErrorSource::Upstream => {
                CloseReason::TargetError
            }
            (_, ClientEnd::Closed) => CloseReason::ClientClosed,
            (_, ClientEnd::Broken) | (Some(_), _) => CloseReason::ClientError,
            (None, _) => CloseReason::TargetClosed,
        }
    }

    fn write_record(&mut self, reason: CloseReason) {
        if std::mem::replace(&mut self.is_recorded, true) {
            return;
        }
        let rule = &self.connection.rule;
        let counters = self.http_rule.and_then(|place| rule.http_rule(place));
        rule.metrics.count(&self.record, counters);
        if let (true, Some(route)) = (self.record.upgraded, &self.route) {
            route.tunnels().close(reason);
        }
        self.tunnel = None;
        self.connection.write(&self.record, reason);
    }
}

fn is_idle(error: &Error) -> bool {
    *error.etype() == pingora::ErrorType::ReadTimedout
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.is_recorded {
            return;
        }
        let bytes = &mut self.record.bytes;
        let (read, written) = (self.connection.wire.read(), self.connection.wire.written());
        bytes.request_body = (read - self.wire_before.0).saturating_sub(bytes.request_header);
        bytes.response_body = written - self.wire_before.1;
        if std::thread::panicking() {
            self.record.error = Some("internal error: a panic".to_owned());
        }
        self.write_record(self.connection.drain.reason());
    }
}
