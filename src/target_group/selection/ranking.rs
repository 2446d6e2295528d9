//! Targets from the best to the worst. Mostly the best is taken, so the others are only put in
//! order once they are asked for.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// How good a target is: the lower, the better.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rank {
    pub(super) score: f64,
    /// Decides between equal scores.
    pub(super) tie: u64,
    pub(super) place: usize,
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = self.score.total_cmp(&other.score);
        by_score
            .then(self.tie.cmp(&other.tie))
            .then(self.place.cmp(&other.place))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rank {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Rank {}

/// How far a request is down the list.
#[derive(Default)]
pub(super) enum Ranking {
    #[default]
    Begun,
    First(usize),
    Rest(BinaryHeap<Reverse<Rank>>),
}

impl Ranking {
    /// The place of the next best, given the best and, in any order, all.
    pub(super) fn next<All: Iterator<Item = Rank>>(
        &mut self,
        best: impl FnOnce() -> Option<Rank>,
        all: impl FnOnce() -> All,
    ) -> Option<usize> {
        match self {
            Ranking::Begun => {
                let first = best()?.place;
                *self = Ranking::First(first);
                Some(first)
            }
            Ranking::First(first) => {
                let others = all().filter(|rank| rank.place != *first);
                *self = Ranking::Rest(others.map(Reverse).collect());
                self.pop()
            }
            Ranking::Rest(_) => self.pop(),
        }
    }

    fn pop(&mut self) -> Option<usize> {
        match self {
            Ranking::Rest(rest) => rest.pop().map(|Reverse(rank)| rank.place),
            Ranking::Begun | Ranking::First(_) => None,
        }
    }
}
