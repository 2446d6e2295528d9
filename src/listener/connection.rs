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
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{ForwardingRule, Tls};
use crate::drain::Drain;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Active;
use crate::telemetry::{CloseReason, Record, RefusalReason, TlsSession};
use crate::tunnel::{ClientEnd, ClientStream, LAST_CHANCE, Tap, Wire};

tokio::task_local! {
    /// The connection that the running task serves.
    pub static CONNECTION: Arc<Connection>;
}

/// What the exchanges of one connection share.
pub struct Connection {
    /// Where the client is.
    pub client: SocketAddr,
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
    /// Counts it as open: also while its tunnel outlives Pingora's part.
    _open: Active,
}

impl Connection {
    pub(super) fn new(
        client: SocketAddr,
        rule: Arc<ArcSwap<ForwardingRule>>,
        closing: CancellationToken,
        drain: Arc<Drain>,
        log: AccessLog,
    ) -> Arc<Self> {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let drain_client = drain.client();
        let (open, keepalive) = {
            let rule = rule.load();
            (rule.metrics.connection(), rule.keepalive)
        };
        Arc::new(Connection {
            client,
            rule,
            keepalive,
            wire: Arc::default(),
            drain,
            log,
            tls: OnceLock::new(),
            closing,
            _client: drain_client,
            _open: open,
        })
    }

    /// Whether it should end after the present request.
    pub fn is_leaving(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls.get().is_some()
    }

    /// The record of an exchange that begins now.
    pub fn record(&self, rule: &ForwardingRule) -> Record {
        Record {
            tls: self.tls.get().cloned(),
            ..Record::begin(Arc::clone(&rule.name), self.client)
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
        let mut late = pin!(self.is_late(rule.client_timeout));
        let mut first = [0];
        let is_silent = tokio::select! {
            first = socket.peek(&mut first) => !matches!(first, Ok(1)),
            () = &mut late => true,
        };
        if is_silent {
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

    /// Returns when a client that has not asked anything yet has had its time.
    async fn is_late(&self, limit: Duration) {
        let last_chance = async {
            self.drain.began().cancelled().await;
            sleep(LAST_CHANCE).await;
        };
        tokio::select! {
            () = sleep(limit) => {}
            () = last_chance => {}
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
        wire.await_head(rule.client_timeout);
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
        if wire.exchanges() > self.exchanges_before || untouched {
            return;
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
