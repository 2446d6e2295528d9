//! `LEAST_CONNECTION`: the target that would carry the least in proportion to its weight, were it
//! given one more.

use std::sync::Arc;

use super::ranking::Rank;
use crate::os::random::mix;
use crate::target_group::Target;
use crate::target_group::state::State;

/// What the targets carry, with their weights.
pub(super) struct Least(Box<[(Arc<State>, f64)]>);

impl Least {
    pub(super) fn new(targets: &[Arc<Target>]) -> Self {
        let state = |target: &Arc<Target>| (Arc::clone(&target.state), target.weight() as f64);
        Least(targets.iter().map(state).collect())
    }

    /// All targets as they are now; `chance` decides between those that carry the same.
    pub(super) fn ranks(&self, chance: u64) -> impl Iterator<Item = Rank> {
        let rank = move |(place, (state, weight)): (usize, &(Arc<State>, f64))| Rank {
            score: (state.load() + 1) as f64 / (weight * state.weight_factor()),
            tie: mix(chance ^ place as u64),
            place,
        };
        self.0.iter().enumerate().map(rank)
    }
}
