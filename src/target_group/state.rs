//! What of a target outlives a configuration: its health, and how much it carries now, here and for
//! old generations of the process.
//!
//! A reload that keeps a target's address keeps its state. Whoever holds a target for a request or
//! a tunnel keeps it, too.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::health::Health;
use crate::target_address::TargetAddress;

/// A target beyond the present configuration.
pub(super) struct State {
    load: AtomicUsize,
    /// What old processes have it carry.
    elsewhere: AtomicUsize,
    pub(super) health: Health,
}

/// A request or a tunnel that its target carries for as long as this is kept.
pub struct Held(Arc<State>);

/// The states of a group's targets, by address.
#[derive(Default)]
pub(super) struct States(Mutex<HashMap<TargetAddress, Weak<State>>>);

impl State {
    /// The state of a target of which no more is known.
    pub(super) fn new(is_healthy: bool) -> Self {
        State {
            load: AtomicUsize::new(0),
            elsewhere: AtomicUsize::new(0),
            health: Health::new(is_healthy),
        }
    }

    /// The share of its weight that counts now, above 0 and up to 1.
    pub(super) fn weight_factor(&self) -> f64 {
        self.health.weight_factor(Instant::now)
    }

    /// How many tunnels and requests it carries, here and for old processes.
    pub(super) fn load(&self) -> usize {
        let elsewhere = self.elsewhere.load(Relaxed);
        self.load.load(Relaxed).saturating_add(elsewhere)
    }

    /// Of that, what it carries for this process.
    pub(super) fn load_here(&self) -> usize {
        self.load.load(Relaxed)
    }

    /// Has it carry one more, if that is not more than `most`.
    pub(super) fn hold(self: &Arc<Self>, most: usize) -> Option<Held> {
        let here = most.saturating_sub(self.elsewhere.load(Relaxed));
        let one_more = |load| (load < here).then_some(load + 1);
        let held = self.load.fetch_update(Relaxed, Relaxed, one_more);
        held.is_ok().then(|| Held(Arc::clone(self)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Relaxed);
    }
}

impl States {
    /// Takes what old processes have targets carry; nothing where nothing is said.
    pub(super) fn count_elsewhere(&self, loads: &HashMap<TargetAddress, usize>) {
        let states = self.0.lock();
        for (address, state) in states.iter() {
            if let Some(state) = state.upgrade() {
                let load = loads.get(address).copied().unwrap_or(0);
                state.elsewhere.store(load, Relaxed);
            }
        }
    }

    /// The state of a target: that which is known, or one that begins. Those that nobody has any
    /// more are forgotten.
    pub(super) fn of<'a>(
        &self,
        addresses: impl Iterator<Item = &'a TargetAddress>,
        begin: impl Fn(&TargetAddress) -> State,
    ) -> Vec<Arc<State>> {
        let mut states = self.0.lock();
        let known = |states: &mut HashMap<TargetAddress, Weak<State>>, address: &TargetAddress| {
            let state = states.get(address).and_then(Weak::upgrade);
            let state = state.unwrap_or_else(|| Arc::new(begin(address)));
            states.insert(address.clone(), Arc::downgrade(&state));
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
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn a_target_that_stays_keeps_what_it_carries_and_one_that_is_gone_is_forgotten() {
        let address = |port| TargetAddress::from(SocketAddr::from(([192, 0, 2, 1], port)));
        let states = States::default();
        let begin = |_: &_| State::new(true);
        let before = states.of([address(1), address(2)].iter(), begin);
        let held = (before[0].hold(2), before[0].hold(2));
        assert!(before[0].hold(2).is_none());
        drop(before);
        let now = states.of([address(3), address(1)].iter(), begin);
        let loads: Vec<_> = now.iter().map(|state| state.load()).collect();
        assert_eq!(loads, [0, 2]);
        drop(held);
        assert_eq!(now[1].load(), 0);
        assert_eq!(states.0.lock().len(), 2);
    }

    #[test]
    fn what_old_generations_carry_counts_until_they_say_something_else() {
        let address = TargetAddress::from(SocketAddr::from(([192, 0, 2, 1], 1)));
        let states = States::default();
        let state = states
            .of([&address].into_iter(), |_| State::new(true))
            .remove(0);
        let _held = state.hold(usize::MAX).unwrap();
        states.count_elsewhere(&HashMap::from([(address, 4)]));
        assert_eq!(state.load(), 5);
        assert!(state.hold(5).is_none());
        assert!(state.hold(6).is_some());
        states.count_elsewhere(&HashMap::new());
        assert_eq!(state.load(), 1);
    }
}
