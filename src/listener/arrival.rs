//! A connection that has just been accepted: before anything else it is found out whose it is, and
//! whether there is a place for it.
//!
//! Where the forwarding rule wants a header of the PROXY protocol from this peer, it is read here.
//! A connection without a valid one ends here, too; so does one that is too many while many others
//! are being told so.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::load_shedding::LoadShedding;
use super::permits::{ListenerLimit, Permit, ProcessLimit};
use super::proxy_protocol::{Fault, Header, Proxied, canonical};
use crate::drain::Drain;
use crate::forwarding_rule::ForwardingRule;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Active;
use crate::telemetry::{Client, CloseReason, Record, RefusalReason};

const LATE: Fault = "the PROXY protocol's header did not arrive within clientTimeout";

/// A connection that has just been accepted.
pub struct Arrival {
    /// Who connected, in its IPv4 form where it has one.
    pub(super) peer: SocketAddr,
    /// The rule of the address that it came to.
    pub(super) rule: Arc<ArcSwap<ForwardingRule>>,
    /// Its place among those that may be open.
    pub(super) place: Permit,
    /// The places of the process.
    pub(super) process_limit: Arc<ProcessLimit>,
    /// The places at the address.
    pub(super) listener_limit: Arc<ListenerLimit>,
    /// The connections that may have to go when memory is short.
    pub(super) load_shedding: Arc<LoadShedding>,
    /// Cancelled when its listener closes.
    pub(super) closing: CancellationToken,
    /// The end of the process.
    pub(super) drain: Arc<Drain>,
    /// Where its records go.
    pub(super) log: AccessLog,
    /// Is one of those that the drain waits for.
    pub(super) client: Arc<()>,
    /// Counts it as open.
    pub(super) open: Active,
}

impl Arrival {
    /// What the PROXY protocol says of the client, if anything. `None` where the connection must
    /// not go on.
    pub(super) async fn proxied(
        &self,
        stream: &mut TcpStream,
        rule: &ForwardingRule,
    ) -> Option<Option<Proxied>> {
        if !rule.proxied.contain(self.peer.ip()) {
            return Some(None);
        }
        let mut record = Record::begin(Arc::clone(&rule.name), self.peer.into());
        let mut header = Header::default();
        let read = tokio::select! {
            biased;
            read = header.read(stream) => read,
            () = self.drain.waited_for(rule.client_timeout) => Err(LATE),
        };
        match read {
            Ok(proxied) => Some(proxied),
            Err(fault) => {
                record.bytes.request_header = header.len() as u64;
                self.refuse(record, fault, rule);
                None
            }
        }
    }

    /// A peer that leaves without a word wanted to know whether somebody listens.
    fn refuse(&self, mut record: Record, fault: Fault, rule: &ForwardingRule) {
        log::debug!("{}: {}: {fault}", rule.name, self.peer);
        let is_silent = record.bytes.request_header == 0;
        if is_silent && fault != LATE {
            return;
        }
        if is_silent {
            return rule
                .metrics
                .refuse(RefusalReason::ProxyProtocol, record.client);
        }
        record.refusal = Some(RefusalReason::ProxyProtocol);
        record.error = Some(fault.to_owned());
        rule.metrics.count(&record, None);
        let line = record.to_line(CloseReason::Refused, &self.log.style());
        self.log.write(line);
    }

    /// Counts the connection for its client, if anybody counts. `None` where it must not go on.
    pub(super) fn seat(self, client: Option<IpAddr>, rule: &ForwardingRule) -> Option<Self> {
        let Some((client, most)) = client.zip(rule.max_connections_per_client) else {
            return Some(self);
        };
        match self
            .process_limit
            .count_client(self.place, &self.listener_limit, client, most)
        {
            Ok(place) => Some(Arrival { place, ..self }),
            Err(limit) => {
                let client = Client {
                    ip: client,
                    port: None,
                };
                rule.metrics.refuse(limit.reason(), client);
                None
            }
        }
    }
}

/// Between which addresses a client came, as far as is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
    /// Whether it came over TLS to the load balancer that connected for it.
    pub(super) was_tls: bool,
    /// Whom the connection is counted for, if anybody.
    pub(super) counted: Option<IpAddr>,
}

impl Way {
    pub(super) fn of(
        peer: SocketAddr,
        proxied: Option<Proxied>,
        stream: &TcpStream,
        rule: &ForwardingRule,
    ) -> Self {
        let counted = rule.counts(peer.ip(), proxied.map(|proxied| proxied.client.ip()));
        if let Some(proxied) = proxied {
            return Way {
                client: proxied.client,
                local: proxied.local,
                was_tls: proxied.is_tls,
                counted,
            };
        }
        let local = match rule.listen.ip().is_unspecified() {
            true => stream.local_addr().map_or(rule.listen, canonical),
            false => rule.listen,
        };
        Way {
            client: peer,
            local,
            was_tls: false,
            counted,
        }
    }
}
