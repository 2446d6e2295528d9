//! One target: where it is, what the configuration says of it, and what is counted of it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pingora::lb::{Backend, Extensions};
use pingora::prelude::HttpPeer;

use super::sources::Sources;
use super::state::{Held, State};
use super::tls::{Tls, Trust};
use crate::config::model::{self, HttpVersion, ProxyProtocol};
use crate::target_address::TargetAddress;
use crate::telemetry::metrics::TargetMetrics;

/// A target, by its group and its address.
pub type TargetId = (String, TargetAddress);

/// For how long a target is not offered HTTP/2 that has chosen HTTP/1.1.
const HTTP1_ONLY: Duration = Duration::from_secs(600);

/// What Pingora's peer begins with.
const NOWHERE: (Ipv4Addr, u16) = (Ipv4Addr::UNSPECIFIED, 0);

/// How the targets of a group are spoken to.
pub(super) struct Protocol {
    /// `None` is plain text.
    pub(super) trust: Option<Arc<Trust>>,
    http_version: HttpVersion,
    sources: Arc<Sources>,
}

impl Protocol {
    /// What the configuration says; what is the same as before is kept. Fails only where rustls
    /// does.
    pub(super) fn build(
        group: &model::TargetGroup,
        before: Option<Arc<Trust>>,
    ) -> Result<Self, String> {
        let trust = |tls| {
            let same = before.filter(|before| before.rests_on(tls));
            same.map_or_else(|| Trust::build(tls).map(Arc::new), Ok)
        };
        Ok(Protocol {
            trust: group.tls.as_ref().map(trust).transpose()?,
            http_version: group.http_version,
            sources: Arc::new(Sources::new(&group.source_addresses)),
        })
    }
}

/// A target of a group.
pub struct Target {
    /// Its place in the group, by which what belongs to it is found.
    pub place: usize,
    /// Where it is.
    pub address: TargetAddress,
    /// How connections to it begin; health checks say nothing.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// `None` where it is spoken to in plain text.
    pub tls: Option<Tls>,
    /// The name that its address comes from.
    pub host: Option<Arc<str>>,
    /// Where connections to it leave from.
    pub sources: Arc<Sources>,
    /// What is counted of it.
    pub metrics: Arc<TargetMetrics>,
    http_version: HttpVersion,
    /// Until when it has HTTP/1.1 only, in milliseconds since it was built.
    http1_until: AtomicU64,
    since: Instant,
    pub(super) state: Arc<State>,
    most: usize,
    pub(super) is_in_maintenance: bool,
    /// Where it is checked, if not where the group says.
    pub(super) check_port: Option<u16>,
    /// Whether it gets requests though it is not healthy.
    is_open: Arc<AtomicBool>,
    /// Whether probes decide on its health; it counts as healthy without them.
    pub(super) is_probed: bool,
    /// The same target in the library's words; one in maintenance has no weight.
    pub(super) backend: Backend,
}

impl Target {
    pub(super) fn build(
        target: &model::Target,
        place: usize,
        protocol: &Protocol,
        state: Arc<State>,
        metrics: Arc<TargetMetrics>,
        is_open: &Arc<AtomicBool>,
    ) -> Self {
        let trust = protocol.trust.as_ref();
        Target {
            place,
            address: target.address.clone(),
            host: target.host.clone(),
            proxy_protocol: target.proxy_protocol,
            tls: trust.map(|trust| Tls::build(trust, target)),
            http_version: protocol.http_version,
            http1_until: AtomicU64::new(0),
            since: Instant::now(),
            sources: Arc::clone(&protocol.sources),
            state,
            most: target.max_connections.unwrap_or(usize::MAX),
            is_in_maintenance: target.maintenance_enabled,
            metrics,
            check_port: target.health_check_port,
            is_open: Arc::clone(is_open),
            is_probed: target.health_check_enabled,
            backend: Backend {
                addr: target.address.in_pingoras_words(),
                weight: if target.maintenance_enabled {
                    0
                } else {
                    target.weight.into()
                },
                ext: Extensions::new(),
            },
        }
    }

    /// Whom Pingora connects to. What else there is to a connection is below what it sees.
    pub fn peer(&self) -> HttpPeer {
        let mut peer = HttpPeer::new(NOWHERE, false, String::new());
        peer._address.clone_from(&self.backend.addr);
        if let Some(tls) = &self.tls {
            tls.tell_apart(&mut peer);
        }
        peer
    }

    /// Whether a plain request may go in HTTP/2. Over TLS a connection that carries one request has
    /// nothing of it.
    pub fn may_speak_http2(&self) -> bool {
        let is_shared = self.proxy_protocol.is_none();
        let is_wanted = self.http_version == HttpVersion::Http2;
        is_wanted && (self.tls.is_none() || is_shared) && !self.has_only_http1()
    }

    /// Notes that it chose HTTP/1.1 where it was offered HTTP/2: for a while it is not offered
    /// that.
    pub fn chose_http1(&self) {
        let until = self.since.elapsed() + HTTP1_ONLY;
        let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.http1_until.store(until, Relaxed);
    }

    fn has_only_http1(&self) -> bool {
        let until = self.http1_until.load(Relaxed);
        until > 0 && self.since.elapsed().as_millis() < u128::from(until)
    }

    /// How many tunnels and requests it carries.
    pub fn load(&self) -> usize {
        self.state.load()
    }

    /// Whether a check has said something of it, unless it was there from the start or is not
    /// checked.
    pub fn is_proven(&self) -> bool {
        self.state.health.is_proven()
    }

    /// How many more tunnels and requests it may carry.
    pub fn room(&self) -> usize {
        self.most.saturating_sub(self.load())
    }

    /// How often it has come back, healthy again or from an ejection.
    pub fn returns(&self) -> u32 {
        self.state.health.returns()
    }

    /// The weight that the balance goes by now: that of the configuration, or less while it starts
    /// slowly.
    pub fn effective_weight(&self) -> f64 {
        self.weight() as f64 * self.state.weight_factor()
    }

    /// Has it carry one more, unless it is full.
    pub fn hold(&self) -> Option<Held> {
        self.state.hold(self.most)
    }

    /// Has it carry one more that it carries already.
    pub fn hold_anyway(&self) -> Option<Held> {
        self.state.hold(usize::MAX)
    }

    /// Whether it carries as much as it may.
    pub(super) fn is_full(&self) -> bool {
        self.load() >= self.most
    }

    /// Its share of what is new; none in maintenance.
    pub fn weight(&self) -> u64 {
        self.backend.weight as u64
    }

    /// Whether it may take a request that was sent to `tried` before. Whether it is full is another
    /// question.
    pub(super) fn is_fit(&self, tried: &[TargetAddress]) -> bool {
        self.weight() > 0 && self.is_available() && !tried.contains(&self.address)
    }

    /// Whether its health lets it take requests: its checks pass, and it is not ejected; or all get
    /// some, for none does.
    pub(super) fn is_available(&self) -> bool {
        self.state.health.is_available() || self.is_open.load(Relaxed)
    }
}
