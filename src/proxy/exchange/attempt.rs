//! The tries of an exchange: which target the next one goes to, how it is connected to, and what
//! became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pingora::connectors::l4::Connect;
use pingora::http::RequestHeader;
use pingora::prelude::HttpPeer;
use pingora::upstreams::peer::Peer as _;
use pingora::{Error, ErrorType};

use super::Exchange;
use crate::os::open_files::{is_out_of_ports, is_shortage};
use crate::proxy::proxy_protocol;
use crate::proxy::{http2, smuggling, tls_failure};
use crate::refusal::Refusal;
use crate::stream::Phase;
use crate::tap::{Clocks, Connector, Deadline, Ends, Purpose};
use crate::target_connection::{Dialler, Pool};
use crate::target_group::{PickContext, Target};
use crate::telemetry::{RefusalReason, RequestLine};

/// By how much the client's clock goes first where both it and the target's run.
const GRACE: Duration = Duration::from_millis(100);

impl Exchange {
    /// Picks the target for the next try. Connections that wait for a request are in the pool.
    pub(in crate::proxy) fn pick(&mut self, pool: &Arc<Pool>) -> Result<Box<HttpPeer>, Refusal> {
        self.attempts.deadline = self.deadline();
        let deadline = self.attempts.deadline;
        if deadline.is_some_and(|deadline| deadline.left().is_zero()) {
            self.attempts.expired = Some(Ends::Request);
            return Err(Refusal::REQUEST_TIMEOUT);
        }
        let target = self.next_target()?;
        self.attempts.expired = None;
        let route = self.ledger.route.as_ref().ok_or(Refusal::NO_TARGET)?;
        // What was sent of the body is sent again.
        self.body_left = self.rule.bounds.body_bytes.unwrap_or(u64::MAX);
        let mut peer = target.peer();
        let answer = route.group.response_timeout;
        // A target that waits for the rest of a body waits for as long as the client may take, and
        // that has a limit too.
        let is_complete = self.connection.wire.is_body_over();
        let body = if is_complete {
            Duration::ZERO
        } else {
            self.rule.client_timeout + GRACE
        };
        peer.options.connection_timeout = Some(route.group.connect_timeout);
        peer.options.write_timeout = Some(answer);
        peer.options.read_timeout = Some(answer.max(body));
        self.connect(&target, route.group.connect_timeout, &mut peer, pool);
        self.ledger.record.target = Some(target.address.clone());
        self.attempts.target = Some(target);
        self.attempts.picked_at = Some(Instant::now());
        Ok(Box::new(peer))
    }

    /// The target for the next try, which carries the request from now on.
    fn next_target(&mut self) -> Result<Arc<Target>, Refusal> {
        if let Some(same) = self.attempts.again.take() {
            return Ok(same);
        }
        (self.attempts.target, self.ledger.held) = (None, None);
        let route = self.ledger.route.as_ref().ok_or(Refusal::NO_TARGET)?;
        let context = PickContext {
            tried: &self.attempts.tried,
            ..self.context
        };
        let picked = route.group.pick(&context);
        // A target may be asked again that has answered, where there is no other.
        let picked = match picked {
            Err(_) if self.attempts.repeated > 0 => route.group.pick(&self.context),
            picked => picked,
        };
        let (target, held) = picked.map_err(|why| match self.attempts.broken {
            Some(_) => Refusal::TARGET_FAILED,
            None => why.into(),
        })?;
        self.ledger.held = Some(held);
        Ok(target)
    }

    /// Whether the target is offered HTTP/2. A request of HTTP/1.0 may lack the host that it wants,
    /// and its answer would be chunked, which its client does not know; a handshake is one of
    /// HTTP/1.1; and of a request a target may want that.
    fn offers_http2(&self, target: &Target) -> bool {
        let is_old = |line: &RequestLine| line.version == "HTTP/1.0";
        let is_old = self.ledger.record.request.as_ref().is_some_and(is_old);
        target.may_speak_http2() && !self.is_handshake && !is_old && !self.attempts.wants_http1
    }

    /// Has the connection made as the target and the exchange need it.
    fn connect(
        &self,
        target: &Arc<Target>,
        limit: Duration,
        peer: &mut HttpPeer,
        pool: &Arc<Pool>,
    ) {
        let (connection, client) = (&self.connection, self.client());
        connection.wire.connected(false, false);
        connection.wire.upload.restart();
        let header = proxy_protocol::header(
            target.proxy_protocol,
            client,
            connection.local,
            connection.tls(),
            self.is_secure(),
        );
        let purpose = match (self.is_handshake, connection.is_http2()) {
            (true, _) => Purpose::Handshake,
            (false, true) => Purpose::Stream,
            (false, false) => Purpose::Request,
        };
        let is_shared = header.is_empty() && purpose != Purpose::Handshake;
        let pool = is_shared.then(|| (Arc::clone(pool), peer.reuse_hash()));
        let offers_http2 = self.offers_http2(target);
        let target = Arc::clone(target);
        // The target's tap has the clocks: that of its silence does not run while the client is
        // what is slow.
        let silence = peer.options.read_timeout.take().unwrap_or(Duration::MAX);
        let deadline = self.attempts.deadline;
        let dialler = Dialler {
            pool,
            header,
            target,
            offers_http2,
            has_body: self.has_body,
        };
        connect_with(
            Connector {
                dialler,
                limit,
                clocks: Clocks { silence, deadline },
                purpose,
                wire: Arc::clone(&connection.wire),
                hand_over: Arc::clone(&connection.hand_over),
            },
            peer,
        );
    }

    /// How much of its time the request has left, if that is bounded.
    pub(super) fn request_left(&self) -> Option<Duration> {
        let limit = self.route()?.request_timeout?;
        Some(limit.saturating_sub(self.ledger.record.clock.elapsed()))
    }

    /// When a try that begins now must be over.
    fn deadline(&self) -> Option<Deadline> {
        let route = self.ledger.route.as_deref()?;
        if route.request_timeout.is_none() && route.attempt_timeout.is_none() {
            return None;
        }
        let began = self.ledger.record.clock;
        let ends = |from: Instant, limit, of| {
            Some(Deadline {
                at: from + limit?,
                of,
            })
        };
        let request = ends(began, route.request_timeout, Ends::Request);
        let attempt = ends(Instant::now(), route.attempt_timeout, Ends::Attempt);
        let both = [request, attempt].into_iter().flatten();
        both.min_by_key(|deadline| deadline.at)
    }

    /// Why the last try had to end, if it was for want of time.
    pub(super) fn expired(&self) -> Option<Refusal> {
        self.attempts.expired.map(|ends| match ends {
            Ends::Attempt => Refusal::ATTEMPT_TIMEOUT,
            Ends::Request => Refusal::REQUEST_TIMEOUT,
        })
    }

    /// Whether a handshake has had its time, and no answer.
    pub(super) fn is_too_late(&self) -> bool {
        let wire = &self.connection.wire;
        wire.phase() == Phase::Handshake && wire.handshake_left().is_zero()
    }

    /// Notes that the target could not be connected to; tells whether to try another, which is of
    /// no use where the fault is ours.
    pub(in crate::proxy) fn connect_failed(&mut self, error: &Error) -> bool {
        self.attempts.connect_failure = tls_failure::words(error);
        self.ledger.held = None;
        let (Some(target), Some(route)) = (self.attempts.target.take(), &self.ledger.route) else {
            return false;
        };
        if is_shortage(error) {
            return false;
        }
        let was_late = *error.etype() == ErrorType::ConnectTimedout;
        let deadline = self
            .attempts
            .deadline
            .filter(|deadline| was_late && deadline.left().is_zero());
        self.attempts.expired = deadline.map(|deadline| deadline.of);
        let is_ours = is_out_of_ports(error);
        if is_ours {
            route.group.ports_exhausted.inc();
            let address = &target.address;
            let words = format!("no source port is left for {address}: add sourceAddresses");
            self.attempts.connect_failure = Some(words);
        }
        target.metrics.connect_errors.inc();
        if !is_ours {
            route.group.failed(&target);
        }
        self.attempts.tried.push(target.address.clone());
        let is_over = self.attempts.expired == Some(Ends::Request) || self.is_too_late();
        self.attempts.failed() <= route.group.retries && !is_over
    }

    /// Tells the target group whether the target has failed the request.
    pub(super) fn judge_target(&self, has_failed: bool) {
        if let (Some(target), Some(route)) = (&self.attempts.target, &self.ledger.route) {
            match has_failed {
                true => route.group.failed(target),
                false => route.group.succeeded(target),
            }
        }
    }

    /// Tells the target group, by the status of its answer, whether the target has failed. It says
    /// nothing of the target where the client may have caused it: a handshake that leads where
    /// there are no WebSockets, a method that nobody knows, a body that does not come.
    pub(super) fn judge_answer(&self, status: u16) {
        let is_clients = match status {
            200..=299 => self.is_handshake,
            501 | 505 => true,
            500.. => !self.has_come(),
            _ => false,
        };
        if !is_clients {
            self.judge_target(status >= 500);
        }
    }

    /// Tells the target group of a target that has given no answer that could be passed on.
    pub(super) fn judge_refusal(
        &self,
        refusal: Option<Refusal>,
        error: &Error,
        head: &RequestHeader,
    ) {
        let has_failed = match refusal {
            Some(Refusal::NOT_UPGRADED) | None => false,
            Some(refusal) => match refusal.reason {
                // A client chooses the clock of a handshake by asking for one; and one that has
                // gone may have waited for something that does not happen.
                RefusalReason::TargetTimeout | RefusalReason::AttemptTimeout => {
                    !self.is_handshake && self.has_come() && !self.connection.wire.is_half_closed()
                }
                RefusalReason::TargetFailed => self.is_targets_fault(error, head),
                _ => false,
            },
        };
        if has_failed && self.ledger.record.status.is_none() {
            self.judge_target(true);
        }
    }

    /// Whether a connection has broken for no reason that the client may have given. Many servers
    /// just close where a handshake is not welcome.
    pub(super) fn is_targets_fault(&self, error: &Error, head: &RequestHeader) -> bool {
        use ErrorType::{ConnectionClosed, ReadError, WriteError};
        let is_closed = matches!(error.etype(), ConnectionClosed | ReadError | WriteError);
        let is_declined = self.is_handshake && is_closed;
        !is_declined
            && self.has_come()
            && smuggling::is_ordinary(head)
            && !http2::is_blameless(error)
    }

    /// Whether all of the request has come.
    fn has_come(&self) -> bool {
        self.connection.wire.is_body_over()
    }

    /// Notes that there is a connection to the target.
    pub(in crate::proxy) fn connected(&mut self, is_reused: bool) {
        let took = self.attempts.picked_at.map(|picked| picked.elapsed());
        let is_kept = is_reused || self.connection.wire.is_target_kept();
        self.ledger.record.target_connect = took.filter(|_| !is_kept);
        self.attempts.asked_at = Some(Instant::now());
    }
}

/// Has a connection made for this request. To Pingora it is nobody else's, before and after.
fn connect_with(connector: impl Connect + Send + Sync + 'static, peer: &mut HttpPeer) {
    static PEERS: AtomicU64 = AtomicU64::new(1);
    peer.group_key = PEERS.fetch_add(1, Relaxed);
    peer.options.idle_timeout = Some(Duration::ZERO);
    peer.options.custom_l4 = Some(Arc::new(connector));
}
