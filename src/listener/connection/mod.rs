//! A client's connection: request after request through Pingora, until one side has had enough.
//!
//! A stream of HTTP/2 is a connection of its own here: it shares all with the one that carries it,
//! but for what goes over the wire.

mod serve;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::arrival::{Arrival, Way};
use super::load_shedding::{LoadShedding, Waiting};
use super::permits::{ListenerLimit, Permit, ProcessLimit, Purpose, Slots, StreamPermit, TO_ASK};
use crate::drain::Drain;
use crate::forwarding_rule::{ForwardingRule, Limit};
use crate::stream::Wire;
use crate::tap::HandOver;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Active;
use crate::telemetry::{CloseReason, Record, TlsSession};
use crate::tunnel::Place;

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
    pub(super) load_shedding: Arc<LoadShedding>,
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
    /// A stream of HTTP/2 on this connection, which counts them; it has a place, too, or is one too
    /// many.
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

impl Place for Connection {
    fn cut_off(&self) -> CloseReason {
        Connection::cut_off(self)
    }

    fn counted(&self) -> Option<IpAddr> {
        self.counted
    }
}

impl Connection {
    pub(super) fn new(arrival: Arrival, way: Way) -> Arc<Self> {
        let load_shedding = arrival.load_shedding;
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
            idle: load_shedding.idle(),
            waiting: Arc::new(Waiting::since(load_shedding.now())),
            load_shedding,
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
            waiting: Arc::new(Waiting::since(self.load_shedding.now())),
            load_shedding: Arc::clone(&self.load_shedding),
            presence: Presence::Stream {
                carrier: Arc::clone(self),
                place,
                _token: token,
            },
        })
    }

    /// A place for a stream on it, whose own place is kept in `own`. All are refused where it is
    /// itself one too many.
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
            rule.metrics.refuse(limit.reason(), self.client.into());
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
        self.load_shedding.refuses()
    }

    /// Something has happened on it; the client is waited for now, or the target.
    pub fn waits(&self, for_client: bool) {
        self.waiting.note(self.load_shedding.now(), for_client);
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

    /// Writes the record of something that is over.
    pub fn write(&self, record: &Record, reason: CloseReason) {
        self.log.record(record, reason);
    }

    /// Writes that a tunnel opens, where that is wanted.
    pub fn write_open(&self, record: &Record) {
        let style = self.log.style();
        if style.open_records {
            self.log.write(record.to_open_line(&style));
        }
    }
}
