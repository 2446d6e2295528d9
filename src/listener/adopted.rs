//! The place of a client whose connection was accepted by another process: it is taken without
//! asking whether there is one left.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::permits::Permit;
use super::{Listener, Listeners};
use crate::drain::Drain;
use crate::telemetry::CloseReason;
use crate::telemetry::metrics::{Active, RuleMetrics};
use crate::tunnel::Place;

/// What a connection takes up that was accepted by another process.
struct Adopted {
    counted: Option<IpAddr>,
    drain: Arc<Drain>,
    /// Is one of those that the drain counts.
    _client: Arc<()>,
    /// Counts it as open.
    _open: Active,
    _place: Permit,
}

impl Place for Adopted {
    fn cut_off(&self) -> CloseReason {
        self.drain.reason()
    }

    fn counted(&self) -> Option<IpAddr> {
        self.counted
    }
}

impl Listeners {
    /// Where connections are served.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// A place for a connection that another process has accepted for the forwarding rule of this
    /// name, which may be gone, and has counted for this client.
    pub fn place_anyway(
        &self,
        rule: &str,
        metrics: &Arc<RuleMetrics>,
        counted: Option<IpAddr>,
    ) -> Arc<dyn Place> {
        let open = self.open.lock();
        let is_its = |listener: &&Listener| *listener.rule.load().name == *rule;
        let listener = open.values().find(is_its);
        let limit = listener.map(|listener| Arc::clone(&listener.listener_limit));
        let client = counted.filter(|_| {
            listener.is_some_and(|one| one.rule.load().max_connections_per_client.is_some())
        });
        drop(open);
        let place = self
            .process_limit
            .admit_anyway(&limit.unwrap_or_default(), client);
        Arc::new(Adopted {
            counted,
            drain: Arc::clone(&self.drain),
            _client: self.drain.client(),
            _open: metrics.connection(),
            _place: place,
        })
    }
}
