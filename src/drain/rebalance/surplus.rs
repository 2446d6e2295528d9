//! How much each target is to give: what it carries, beside what it should carry of all in
//! proportion to the others.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::target_group::Target;

/// By what part of its share a target may be above it, or below.
const TOLERANCE: f64 = 0.01;

/// What a target carries, and what it should carry of all in proportion to the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) load: usize,
    weight: f64,
}

impl Scale {
    /// By the weight that the target will have in the end.
    pub(super) fn full(target: &Target) -> Self {
        Scale {
            load: target.load(),
            weight: target.weight() as f64,
        }
    }

    /// By the weight that the balance goes by now.
    pub(super) fn now(target: &Target) -> Self {
        Scale {
            load: target.load(),
            weight: target.effective_weight(),
        }
    }

    fn fullness(&self) -> f64 {
        self.load as f64 / self.weight
    }

    /// How many tunnels it has above its share.
    fn above(&self, even: f64) -> usize {
        (self.load as f64 - even * self.weight).max(0.0) as usize
    }

    /// How many tunnels it lacks; a part of one counts.
    pub(super) fn below(&self, even: f64) -> usize {
        (even * self.weight - self.load as f64).max(0.0).ceil() as usize
    }

    /// Whether it has about its share.
    fn is_near(&self, even: f64) -> bool {
        let share = even * self.weight;
        (self.load as f64 - share).abs() <= (share * TOLERANCE).max(1.0)
    }
}

/// The load of each target if it were even.
pub(super) fn fullness_of_all(scales: &[Scale]) -> f64 {
    let load: usize = scales.iter().map(|scale| scale.load).sum();
    let weight: f64 = scales.iter().map(|scale| scale.weight).sum();
    load as f64 / weight
}

/// How many tunnels are above the shares of their targets.
pub(super) fn surplus(scales: &[Scale]) -> usize {
    let even = fullness_of_all(scales);
    scales.iter().map(|scale| scale.above(even)).sum()
}

/// How many tunnels each target is to give, `most` in all: always from the fullest, and none that
/// would bring one below its share. None where all are even enough.
pub(super) fn shed(scales: &[Scale], most: usize) -> Vec<usize> {
    let even = fullness_of_all(scales);
    let mut counts = vec![0; scales.len()];
    if scales.iter().all(|scale| scale.is_near(even)) {
        return counts;
    }
    let fullest = |(place, scale): (usize, &Scale)| {
        let above = scale.above(even);
        (above > 0).then_some(Fullest(*scale, place, above))
    };
    let mut heap: BinaryHeap<Fullest> = scales.iter().enumerate().filter_map(fullest).collect();
    for _ in 0..most {
        let Some(Fullest(mut scale, place, above)) = heap.pop() else {
            break;
        };
        counts[place] += 1;
        scale.load -= 1;
        if above > 1 {
            heap.push(Fullest(scale, place, above - 1));
        }
    }
    counts
}

/// A target in the order of fullness, its place, and how much it may give.
struct Fullest(Scale, usize, usize);

impl Ord for Fullest {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.fullness().total_cmp(&other.0.fullness())
    }
}

impl PartialOrd for Fullest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Fullest {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Fullest {}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales(of: &[(usize, f64)]) -> Vec<Scale> {
        of.iter()
            .map(|&(load, weight)| Scale { load, weight })
            .collect()
    }

    #[test]
    fn the_fullest_give_what_is_above_their_shares_and_no_more() {
        for (loads, most, above, expected) in [
            (
                &[(100, 1.0), (100, 1.0), (0, 1.0)][..],
                1000,
                66,
                &[33, 33, 0][..],
            ),
            (&[(100, 1.0), (100, 1.0), (0, 1.0)], 10, 66, &[5, 5, 0]),
            (&[(100, 1.0), (60, 1.0), (20, 1.0)], 30, 40, &[30, 0, 0]),
            (&[(100, 1.0), (90, 1.0), (20, 1.0)], 30, 50, &[20, 10, 0]),
            (&[(300, 3.0), (100, 1.0)], 10, 0, &[0, 0]),
            (
                &[(300, 3.0), (100, 1.0), (0, 4.0)],
                1000,
                200,
                &[150, 50, 0],
            ),
            // Within what is tolerated.
            (&[(1005, 1.0), (995, 1.0)], 10, 5, &[0, 0]),
            // None is far above, but one is far below.
            (
                &[(101, 1.0), (101, 1.0), (101, 1.0), (97, 1.0)],
                10,
                3,
                &[1, 1, 1, 0],
            ),
            (&[(2, 1.0), (1, 1.0)], 10, 0, &[0, 0]),
            (&[(10, 1.0), (0, 0.0)], 10, 0, &[0, 0]),
            (&[(0, 1.0), (0, 1.0)], 10, 0, &[0, 0]),
            (&[], 10, 0, &[]),
        ] {
            let scales = scales(loads);
            assert_eq!(surplus(&scales), above, "{loads:?}");
            let counts = shed(&scales, most);
            assert_eq!(counts, expected, "{loads:?}, at most {most}");
        }
    }
}
