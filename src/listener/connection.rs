//! A client's connection: request after request through Pingora, until one side has had enough.
//!
//! Pingora makes an exchange once it has a head. What it answers before that (a head it cannot parse, CONNECT), and a head
//! that never came, leave their record here: [`Turn`] writes it when no exchange began.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::apps::{HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::arrival::{Arrival, Way};
use super::limits::{Place, TO_ASK};
use super::{ForwardingRule, Limit, Tls};
use crate::drain::Drain;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Active;
use crate::telemetry::{CloseReason, Record, RefusalReason, TlsSession};
use crate::tunnel::{ClientEnd, ClientStream, Tap, Wire};

tokio::task_local! {
    /// The connection that the running task serves.
    pub static CONNECTION: Arc<Connection>;
}

/// What the exchanges of one connection share.
pub struct Connection {
    /// Where the client is, or who connected for it.
    pub client: SocketAddr,
    /// The address that the client came to.
    pub local: SocketAddr,
    /// The rule of the address that it came to: the one of now, which a reload may change.
    pub rule: Arc<ArcSwap<ForwardingRule>>,
    /// What went over the wire.
    pub wire: Arc<Wire>,
    /// The end of the process.
    pub drain: Arc<Drain>,
    /// Where its records go.
    pub log: AccessLog,
    /// After which silence the system probes the client.
    pub keepalive: Duration,
    tls: OnceLock<Arc<TlsSession>>,
    /// Cancelled when its listener closes: it should end after the next answer.
    closing: CancellationToken,
    /// Is one of those that the drain waits for.
    _client: Arc<()>,
    /// Counts it as open: also while its tunnel outlives Pingora's part. The place, too.
    _open: Active,
    place: Place,
}

impl Connection {
    pub(super) fn new(arrival: Arrival, way: Way) -> Arc<Self> {
        Arc::new(Connection {
            client: way.client,
            local: way.local,
            keepalive: arrival.rule.load().keepalive,
            rule: arrival.rule,
            wire: Arc::default(),
            drain: arrival.drain,
            log: arrival.log,
            tls: OnceLock::new(),
            closing: arrival.closing,
            _client: arrival.client,
            _open: arrival.open,
            place: arrival.place,
        })
    }

    /// What it is one too many for: it is only here to be told so.
    pub fn limit(&self) -> Option<Limit> {
        self.place.limit()
    }

    /// Counts it as refused, if it is one too many and leaves without having asked for anything.
    fn refuse_unasked(&self, rule: &ForwardingRule) {
        if let Some(limit) = self.limit() {
            rule.metrics.refuse(limit.reason());
        }
    }

    /// How long to wait for the client.
    pub fn patience(&self, rule: &ForwardingRule) -> Duration {
        match self.limit() {
            Some(_) => rule.client_timeout.min(TO_ASK),
            None => rule.client_timeout,
        }
    }

    /// Whether it should end after the present request.
    pub fn is_leaving(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// What it is encrypted with.
    pub fn tls(&self) -> Option<&TlsSession> {
        self.tls.get().map(|tls| &**tls)
    }

    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls.get().is_some()
    }

    /// The record of an exchange that begins now.
    pub fn record(&self, rule: &ForwardingRule) -> Record {
        Record {
            tls: self.tls.get().cloned(),
            ..Record::begin(Arc::clone(&rule.name), self.client.into())
        }
    }

    /// Serves the connection to its end, or until all connections are told to stop.
    pub async fn serve<A: HttpServerApp + Send + Sync + 'static>(
        self: Arc<Self>,
        stream: TcpStream,
        app: Arc<A>,
        shutdown: ShutdownWatch,
    ) {
        let requests = Arc::clone(&self).serve_requests(stream, app, shutdown);
        tokio::select! {
            biased;
            () = self.drain.stopped() => {}
            () = CONNECTION.scope(Arc::clone(&self), requests) => {}
        }
    }

    async fn serve_requests<A: HttpServerApp + Send + Sync + 'static>(
        self: Arc<Self>,
        stream: TcpStream,
        app: Arc<A>,
        shutdown: ShutdownWatch,
    ) {
        let Some(stream) = self.welcome(stream).await else {
            return;
        };
        let draining = self.drain.began().clone();
        let tap = Tap::new(stream, Arc::clone(&self.wire), draining);
        let mut session = ServerSession::new_http1(Box::new(tap));
        session.set_keepalive(Some(0));
        loop {
            let turn = Turn::begin(&self);
            let reused = app.process_new_http(session, &shutdown).await;
            drop(turn);
            let Some((stream, settings)) = reused.map(ReusedHttpStream::consume) else {
                return;
            };
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
        }
    }

    /// What requests are read from: where the rule has TLS, there is a handshake first. `None` if nothing comes of that.
    async fn welcome(&self, socket: TcpStream) -> Option<ClientStream> {
        let rule = self.rule.load_full();
        match &rule.tls {
            Some(tls) => Box::pin(self.shake_hands(&rule, tls, socket)).await,
            None => Some(ClientStream::Plain(socket)),
        }
    }

    /// A client that says nothing at all is left without a word, and not counted.
    async fn shake_hands(
        &self,
        rule: &ForwardingRule,
        tls: &Tls,
        socket: TcpStream,
    ) -> Option<ClientStream> {
        let mut late = pin!(self.drain.waited_for(self.patience(rule)));
        let mut first = [0];
        let is_silent = tokio::select! {
            first = socket.peek(&mut first) => !matches!(first, Ok(1)),
            () = &mut late => true,
        };
        if is_silent {
            self.refuse_unasked(rule);
            return None;
        }
        let shaken = tokio::select! {
            shaken = tls.accept(socket) => shaken,
            () = &mut late => Err(io::ErrorKind::TimedOut.into()),
        };
        match shaken {
            Ok((stream, session)) => {
                self.tls.set(Arc::new(session)).ok();
                Some(stream)
            }
            Err(error) => {
                log::debug!("{}: TLS handshake: {error}", self.client);
                rule.metrics.refuse(RefusalReason::TlsHandshake);
                None
            }
        }
    }

    /// Writes the record of something that is over.
    pub fn write(&self, record: &Record, reason: CloseReason) {
        self.log.write(record.to_line(reason));
    }
}

/// One request's time on the connection, from the wait for its head on.
struct Turn<'a> {
    connection: &'a Connection,
    rule: Arc<ForwardingRule>,
    exchanges_before: u64,
    written_before: u64,
    record: Record,
}

impl<'a> Turn<'a> {
    fn begin(connection: &'a Connection) -> Self {
        let wire = &connection.wire;
        let rule = connection.rule.load_full();
        wire.await_head(connection.patience(&rule));
        Turn {
            connection,
            exchanges_before: wire.exchanges(),
            written_before: wire.written(),
            record: connection.record(&rule),
            rule,
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let wire = &self.connection.wire;
        let written = wire.written() - self.written_before;
        let untouched = wire.head_read() == 0 && written == 0;
        if wire.exchanges() > self.exchanges_before {
            return;
        }
        if untouched {
            return self.connection.refuse_unasked(&self.rule);
        }
        let record = &mut self.record;
        record.status = wire.head_answer();
        record.bytes.request_header = wire.head_read();
        record.bytes.response_header = written;
        let (reason, refusal, error) = end_without_exchange(self.connection);
        record.refusal = refusal;
        record.error = Some(error.into());
        self.rule.metrics.count(record, None);
        self.connection.write(record, reason);
    }
}

fn end_without_exchange(
    connection: &Connection,
) -> (CloseReason, Option<RefusalReason>, &'static str) {
    if let Some(limit) = connection.limit() {
        return (
            CloseReason::Refused,
            Some(limit.reason()),
            limit.explanation(),
        );
    }
    let end = connection.wire.client_end();
    match (connection.wire.head_answer(), end) {
        (Some(405), _) => (
            CloseReason::Refused,
            Some(RefusalReason::ConnectMethod),
            "CONNECT is not served",
        ),
        (_, ClientEnd::HeadExpired) => (
            CloseReason::Refused,
            Some(RefusalReason::ClientTimeout),
            "the request's head did not arrive within clientTimeout",
        ),
        (Some(_), _) => (
            CloseReason::Refused,
            Some(RefusalReason::BadRequest),
            "malformed request head",
        ),
        (None, ClientEnd::Closed) => (
            CloseReason::ClientClosed,
            None,
            "closed before the request's head was complete",
        ),
        (None, ClientEnd::Broken) => (
            CloseReason::ClientError,
            None,
            "broken before the request's head was complete",
        ),
        (None, ClientEnd::Open | ClientEnd::HandshakeExpired) => (
            connection.drain.reason(),
            None,
            "ended before the request's head was complete",
        ),
    }
}
