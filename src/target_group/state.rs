//! What of a target outlives a configuration: how much it carries now.
//!
//! A reload that keeps a target's address keeps its state. Whoever holds a target for a request or a tunnel keeps it, too.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A target beyond the present configuration.
#[derive(Default)]
pub(super) struct State {
    load: AtomicUsize,
}

/// A request or a tunnel that its target carries for as long as this is kept.
pub struct Held(Arc<State>);

/// The states of a group's targets, by address.
#[derive(Default)]
pub(super) struct States(Mutex<HashMap<SocketAddr, Weak<State>>>);

impl State {
    /// How many tunnels and requests it carries.
    pub(super) fn load(&self) -> usize {
        self.load.load(Relaxed)
    }

    /// Has it carry one more.
    pub(super) fn hold(self: &Arc<Self>) -> Held {
        self.load.fetch_add(1, Relaxed);
        Held(Arc::clone(self))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Relaxed);
    }
}

impl States {
    /// The state of a target: that which is known, or a new one. Those that nobody has any more are forgotten.
    pub(super) fn of(&self, addresses: impl Iterator<Item = SocketAddr>) -> Vec<Arc<State>> {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |states: &mut HashMap<SocketAddr, Weak<State>>, address| {
            let state = states.get(&address).and_then(Weak::upgrade);
            let state = state.unwrap_or_default();
            states.insert(address, Arc::downgrade(&state));
            state
        };
        let found = addresses
            .map(|address| known(&mut states, address))
            .collect();
        states.retain(|_, state| state.strong_count() > 0);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_stays_keeps_what_it_carries_and_one_that_is_gone_is_forgotten() {
        let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let states = States::default();
        let before = states.of([address(1), address(2)].into_iter());
        let held = (before[0].hold(), before[0].hold());
        drop(before);
        let now = states.of([address(3), address(1)].into_iter());
        let loads: Vec<_> = now.iter().map(|state| state.load()).collect();
        assert_eq!(loads, [0, 2]);
        drop(held);
        assert_eq!(now[1].load(), 0);
        assert_eq!(states.0.lock().unwrap().len(), 2);
    }
}
