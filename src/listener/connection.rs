//! A client's connection: request after request through Pingora, until one side has had enough.
//!
//! A stream of HTTP/2 is a connection of its own here: it shares all with the one that carries it, but for what goes over the
//! wire.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::arrival::{Arrival, Way};
use super::crowd::{Crowd, Waiting};
use super::http1::Turn;
use super::permits::{ListenerLimit, Permit, ProcessLimit, Purpose, Slots, StreamPermit, TO_ASK};
use super::{http2, plain_http};
use crate::drain::Drain;
use crate::forwarding_rule::{ForwardingRule, Limit};
use crate::stream::{ClientStream, Wire};
use crate::tap::{HandOver, Tap};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Active;
use crate::telemetry::{CloseReason, Record, RefusalReason, TlsSession};
use crate::tls::Tls;

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
    /// Whether it came over TLS to a load balancer that says so.
    was_tls: bool,
    /// Whom it is counted for, if anybody.
    counted: Option<IpAddr>,
    /// The rule of the address that it came to: the one of now, which a reload may change.
    pub rule: Arc<ArcSwap<ForwardingRule>>,
    /// What went over the wire.
    pub wire: Arc<Wire>,
    /// Where its tunnel begins, if it becomes one.
    pub hand_over: Arc<HandOver>,
    /// The end of the process.
    pub drain: Arc<Drain>,
    /// Where its records go.
    pub log: AccessLog,
    /// After which silence the system probes the client.
    pub keepalive: Duration,
    tls: OnceLock<Arc<TlsSession>>,
    /// Cancelled when its listener closes: it should end after the next answer.
    pub(super) closing: CancellationToken,
    /// Cancelled when it should end as soon as it is idle.
    pub(super) idle: Arc<CancellationToken>,
    pub(super) crowd: Arc<Crowd>,
    waiting: Arc<Waiting>,
    presence: Presence,
}

/// What it takes up, also while its tunnel outlives Pingora's part.
enum Presence {
    /// One of those that the drain waits for; it is counted as open, and has a place.
    Connection {
        _client: Arc<()>,
        _open: Active,
        place: Permit,
        process_limit: Arc<ProcessLimit>,
        listener_limit: Arc<ListenerLimit>,
    },
    /// A stream of HTTP/2 on this connection, which counts them; it has a place, too, or is one too many.
    Stream {
        carrier: Arc<Connection>,
        place: Result<StreamPermit, Limit>,
        _token: TaskTrackerToken,
    },
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Presence::Stream { carrier, .. } = self {
            carrier.waiting.put_down();
        }
    }
}

impl Connection {
    pub(super) fn new(arrival: Arrival, way: Way) -> Arc<Self> {
        let crowd = arrival.crowd;
        Arc::new(Connection {
            client: way.client,
            local: way.local,
            was_tls: way.was_tls,
            counted: way.counted,
            keepalive: arrival.rule.load().keepalive,
            rule: arrival.rule,
            wire: Arc::default(),
            hand_over: Arc::default(),
            drain: arrival.drain,
            log: arrival.log,
            tls: OnceLock::new(),
            closing: arrival.closing,
            idle: crowd.idle(),
            waiting: Arc::new(Waiting::since(crowd.now())),
            crowd,
            presence: Presence::Connection {
                _client: arrival.client,
                _open: arrival.open,
                place: arrival.place,
                process_limit: arrival.process_limit,
                listener_limit: arrival.listener_limit,
            },
        })
    }

    /// A stream of HTTP/2 on it, with the place that it has, or what it is one too many for.
    pub(super) fn stream(
        self: &Arc<Self>,
        token: TaskTrackerToken,
        place: Result<StreamPermit, Limit>,
    ) -> Arc<Self> {
        self.waiting.carry();
        Arc::new(Connection {
            client: self.client,
            local: self.local,
            was_tls: self.was_tls,
            counted: self.counted,
            rule: Arc::clone(&self.rule),
            wire: Arc::default(),
            hand_over: Arc::default(),
            drain: Arc::clone(&self.drain),
            log: self.log.clone(),
            keepalive: self.keepalive,
            tls: self.tls.clone(),
            closing: self.closing.clone(),
            idle: Arc::clone(&self.idle),
            waiting: Arc::new(Waiting::since(self.crowd.now())),
            crowd: Arc::clone(&self.crowd),
            presence: Presence::Stream {
                carrier: Arc::clone(self),
                place,
                _token: token,
            },
        })
    }

    /// A place for a stream on it, whose own place is kept in `own`. All are refused where it is itself one too many.
    pub(super) fn admit_stream(
        &self,
        purpose: Purpose,
        own: &Arc<Slots>,
    ) -> Result<StreamPermit, Limit> {
        match &self.presence {
            Presence::Connection {
                place: Permit::Slot { .. },
                process_limit,
                listener_limit,
                ..
            } => {
                let rule = self.rule.load();
                let client = self.counted.zip(rule.max_connections_per_client);
                process_limit.admit_stream(
                    listener_limit,
                    own,
                    purpose,
                    rule.max_connections,
                    client,
                )
            }
            Presence::Connection {
                place: Permit::Standing { limit, .. },
                ..
            } => Err(*limit),
            Presence::Stream { carrier, .. } => carrier.admit_stream(purpose, own),
        }
    }

    /// The connection that carries it, if it is a stream of HTTP/2.
    pub fn carrier(&self) -> Option<&Arc<Connection>> {
        match &self.presence {
            Presence::Connection { .. } => None,
            Presence::Stream { carrier, .. } => Some(carrier),
        }
    }

    /// Whether the client speaks HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.carrier().is_some()
    }

    /// What it is one too many for: it is only here to be told so.
    pub fn limit(&self) -> Option<Limit> {
        match &self.presence {
            Presence::Connection { place, .. } => place.limit(),
            Presence::Stream { place, .. } => place.as_ref().err().copied(),
        }
    }

    /// Counts it as refused, if it is one too many and leaves without having asked for anything.
    pub(super) fn refuse_unasked(&self, rule: &ForwardingRule) {
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
        self.closing.is_cancelled() || self.idle.is_cancelled() || self.is_http2()
    }

    /// Whether nothing new is to be asked for here, because memory is short.
    pub fn refuses(&self) -> bool {
        self.crowd.refuses()
    }

    /// Something has happened on it; the client is waited for now, or the target.
    pub fn waits(&self, for_client: bool) {
        self.waiting.note(self.crowd.now(), for_client);
    }

    /// Why an exchange on it ends that is cut off from outside.
    pub fn cut_off(&self) -> CloseReason {
        match self.wire.is_being_reset() {
            true => CloseReason::Memory,
            false => self.drain.reason(),
        }
    }

    /// What it is encrypted with.
    pub fn tls(&self) -> Option<&TlsSession> {
        self.tls.get().map(|tls| &**tls)
    }

    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls.get().is_some()
    }

    /// Whether the client came over TLS: to us, or to the load balancer that connected for it.
    pub fn is_clients_tls(&self) -> bool {
        self.is_tls() || self.was_tls
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
        let serving = async {
            let Some((stream, early)) = self.welcome(stream).await else {
                return;
            };
            match is_http2(&stream, &early) {
                true => http2::serve(&self, stream, early, &app, &shutdown).await,
                false => self.serve_http1(stream, early, &app, &shutdown).await,
            }
        };
        self.until_stopped(serving).await;
    }

    /// Does what the connection is for, or as much of it as there is time and memory for.
    pub(super) async fn until_stopped(self: &Arc<Self>, serving: impl Future<Output = ()>) {
        // One that is only here to be told that it is one too many is not, besides, told to go.
        let mut member = match self.limit() {
            Some(_) => None,
            None => Some(self.crowd.enter(&self.waiting)),
        };
        let told = async {
            match &mut member {
                Some(member) => member.told().await,
                None => std::future::pending().await,
            }
            self.wire.begin_reset();
        };
        tokio::select! {
            biased;
            () = self.drain.stopped() => {}
            () = told => {}
            () = CONNECTION.scope(Arc::clone(self), serving) => {}
        }
        // What goes on is a tunnel.
        self.wire.end_reset();
    }

    /// Serves request after request of HTTP/1.1, the first of which begins with these bytes.
    pub(super) async fn serve_http1<A: HttpServerApp + Send + Sync + 'static>(
        &self,
        stream: ClientStream,
        early: Vec<u8>,
        app: &Arc<A>,
        shutdown: &ShutdownWatch,
    ) {
        let mut tap = Box::new(self.tap(stream, early));
        let mut settings = None;
        loop {
            let mut turn = Turn::begin(self);
            // Pingora takes ten times as much for it.
            if !tap.has_head().await {
                return;
            }
            turn.note_head(tap.head_text());
            let session = session(tap, settings);
            let reused = app.process_new_http(session, shutdown).await;
            drop(turn);
            let reused = reused.map(ReusedHttpStream::consume);
            let Some((Ok(stream), kept)) =
                reused.map(|(stream, kept)| (stream.into_any().downcast(), kept))
            else {
                return;
            };
            (tap, settings) = (stream, kept);
            // A client may have sent the next ones already, and others have waited meanwhile.
            tokio::task::yield_now().await;
        }
    }

    /// Its stream, of which these bytes have been read already.
    pub(super) fn tap(&self, stream: ClientStream, early: Vec<u8>) -> Tap {
        let bounds = self.rule.load().bounds;
        let leaving = CancellationToken::clone(&self.idle);
        let (wire, hand_over) = (Arc::clone(&self.wire), Arc::clone(&self.hand_over));
        Tap::after(early, stream, wire, hand_over, leaving, bounds)
    }

    /// What requests are read from, and what was read of them to see what they are: where the rule has TLS, there is a handshake
    /// first. `None` if nothing comes of that.
    async fn welcome(&self, mut socket: TcpStream) -> Option<(ClientStream, Vec<u8>)> {
        let rule = self.rule.load_full();
        if let Some(tls) = &rule.tls {
            let shaken = Box::pin(self.shake_hands(&rule, tls, socket)).await;
            return shaken.map(|stream| (stream, Vec::new()));
        }
        let mut early = Vec::new();
        if rule.h2c {
            tokio::select! {
                () = http2::read_preface(&mut socket, &mut early) => {}
                () = self.drain.waited_for(self.patience(&rule)) => {}
            }
            if early.is_empty() {
                self.refuse_unasked(&rule);
                return None;
            }
        }
        Some((ClientStream::Plain(socket), early))
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
        if plain_http::is_begun_by(first[0]) {
            rule.metrics.refuse(RefusalReason::TlsHandshake);
            plain_http::refuse(socket).await;
            return None;
        }
        if let Err(limit) = rule.rates.tls_handshakes.count(self.counted) {
            rule.metrics.refuse(limit.reason());
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
        let style = self.log.style();
        if style.wants(record, reason) {
            self.log.write(record.to_line(reason, style.format));
        }
    }

    /// Writes that a tunnel opens, where that is wanted.
    pub fn write_open(&self, record: &Record) {
        let style = self.log.style();
        if style.open_records {
            self.log.write(record.to_open_line(style.format));
        }
    }
}

/// A request on this stream, with what Pingora keeps from one to the next; the first may be followed by others.
fn session(tap: Box<Tap>, settings: Option<HttpPersistentSettings>) -> ServerSession {
    let mut session = ServerSession::new_http1(tap);
    match settings {
        None => session.set_keepalive(Some(0)),
        Some(settings) => settings.apply_to_session(&mut session),
    }
    session
}

fn is_http2(stream: &ClientStream, early: &[u8]) -> bool {
    stream.has_chosen_http2() || early == http2::PREFACE
}
