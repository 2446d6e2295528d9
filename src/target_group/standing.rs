//! What of a target group outlives a configuration: the states of its targets, the monitor of their
//! health, and what its connections rest on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::health::monitor::Monitor;
use super::state::{State, States};
use super::target::{Protocol, TargetId};
use super::tls::Trust;
use crate::target_address::TargetAddress;

/// What is known of the targets from the process before.
#[derive(Debug, Default)]
pub(super) struct Inheritance {
    pub(super) unhealthy: HashSet<TargetId>,
    /// Until when each is ejected, and which time in a row that is.
    pub(super) ejected: HashMap<TargetId, (Instant, u32)>,
}

impl Inheritance {
    /// What is known of a target.
    fn state(&self, target: &TargetId) -> State {
        let state = State::new(!self.unhealthy.contains(target));
        if let Some((until, count)) = self.ejected.get(target) {
            state.health.stay_ejected(*until, *count);
        }
        state
    }
}

/// A target group beyond its present configuration.
pub(super) struct Standing {
    /// What its targets carry, and can do.
    pub(super) states: States,
    pub(super) monitor: Arc<Monitor>,
    /// What connections to its targets rest on, with the sessions of TLS that can be resumed.
    trust: Mutex<Option<Arc<Trust>>>,
    group: String,
    inherited: Arc<Inheritance>,
}

impl Standing {
    #[cfg(test)]
    pub(super) fn new(name: &str) -> Self {
        Standing::begin(name, Arc::default(), Arc::default())
    }

    pub(super) fn begin(name: &str, inherited: Arc<Inheritance>, turned: Arc<Notify>) -> Self {
        Standing {
            states: States::default(),
            monitor: Arc::new(Monitor::new(turned)),
            trust: Mutex::default(),
            group: name.to_owned(),
            inherited,
        }
    }

    /// What its connections rested on last.
    pub(super) fn trust(&self) -> Option<Arc<Trust>> {
        self.trust.lock().clone()
    }

    pub(super) fn trusts(&self, protocol: &Protocol) {
        self.trust.lock().clone_from(&protocol.trust);
    }

    /// The states of these targets. One that joins a group that serves starts slowly.
    pub(super) fn states<'a>(
        &self,
        addresses: impl Iterator<Item = &'a TargetAddress>,
        slow_start: Duration,
    ) -> Vec<Arc<State>> {
        let joins = self.monitor.is_configured();
        let begin = |address: &TargetAddress| {
            if !joins {
                return self.inherited.state(&(self.group.clone(), address.clone()));
            }
            let state = State::new(true);
            state.health.start_slowly(Instant::now(), slow_start);
            state.health.has_to_prove();
            state
        };
        self.states.of(addresses, begin)
    }
}
