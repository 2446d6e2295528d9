//! Turns in proportion to weights, spread evenly.
//!
//! In a cycle of as many turns as the weights are together each target has as many as its weight
//! says. The turns of a target lie next to each other on a circle, and the next turn is always one
//! step of about the golden section further on it: that goes all round before it comes back, and
//! spreads each arc of the circle evenly. No list of turns is kept, and no lock.

/// Who has how many turns of a cycle.
pub(in crate::target_group) struct Shares {
    /// Where each one's turns on the circle end.
    ends: Box<[u64]>,
    step: u64,
}

impl Shares {
    /// By weights, each more than 0.
    pub(in crate::target_group) fn new(weights: impl Iterator<Item = u64> + Clone) -> Self {
        let divisor = weights.clone().fold(0, greatest_common_divisor).max(1);
        let mut total = 0;
        let end = |weight| {
            total += weight / divisor;
            total
        };
        let ends: Box<[u64]> = weights.map(end).collect();
        let step = step(ends.last().copied().unwrap_or(0));
        Shares { ends, step }
    }

    /// How many turns a cycle has.
    pub(super) fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whose turn this is; `None` where nobody has one.
    pub(in crate::target_group) fn whose_turn(&self, turn: u64) -> Option<usize> {
        let turn = turn.checked_rem(self.total())?;
        self.owner(turn * self.step % self.total())
    }

    /// Whose this place on the circle is.
    pub(super) fn owner(&self, at: u64) -> Option<usize> {
        let place = self.ends.partition_point(|end| *end <= at);
        (place < self.ends.len()).then_some(place)
    }
}

/// The step around a circle of this size: of those near the golden section that go all round, one
/// whose multiples lie most evenly (whose continued fraction has no large part).
fn step(total: u64) -> u64 {
    const NEAR: u64 = 16;
    let golden = (total as f64 * 0.618_033_988_749_895).round() as u64;
    let near = golden.saturating_sub(NEAR)..=golden + NEAR;
    let steps = near.filter(|step| (1..total).contains(step));
    let fit =
        steps.filter_map(|step| Some((largest_part(step, total)?, step.abs_diff(golden), step)));
    fit.min().map_or(1, |(_, _, step)| step)
}

/// The largest part of the continued fraction of `step / total`; `None` if they have a common
/// divisor.
fn largest_part(step: u64, total: u64) -> Option<u64> {
    let (mut large, mut small, mut largest) = (total, step, 0);
    while small > 0 {
        largest = largest.max(large / small);
        (large, small) = (small, large % small);
    }
    (large == 1).then_some(largest)
}

fn greatest_common_divisor(one: u64, other: u64) -> u64 {
    match other {
        0 => one,
        other => greatest_common_divisor(other, one % other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(weights: &[u64], count: usize) -> Vec<usize> {
        let shares = Shares::new(weights.iter().copied());
        let turns = 0..count as u64;
        turns.map(|turn| shares.whose_turn(turn).unwrap()).collect()
    }

    fn longest_run(turns: &[usize]) -> usize {
        let runs = turns.chunk_by(|one, next| one == next);
        runs.map(<[usize]>::len).max().unwrap()
    }

    #[test]
    fn a_heavy_target_does_not_get_all_its_turns_in_a_row() {
        assert_eq!(longest_run(&turns(&[5, 1, 1], 700)), 3);
        assert_eq!(longest_run(&turns(&[20, 10, 10], 700)), 2);
        assert_eq!(longest_run(&turns(&[7, 7], 700)), 1);
        assert_eq!(longest_run(&turns(&[256, 256, 256], 700)), 1);
        assert_eq!(turns(&[9], 3), [0, 0, 0]);
    }

    #[test]
    fn at_any_moment_each_target_has_had_about_its_share() {
        for weights in [
            &[1, 2, 7][..],
            &[256, 1, 3, 77, 130, 9],
            &[255, 254, 253, 1],
            &[100, 1],
        ] {
            let total: u64 = weights.iter().sum();
            let mut had = vec![0.0; weights.len()];
            for (turn, place) in turns(weights, total as usize).into_iter().enumerate() {
                had[place] += 1.0;
                for (had, weight) in had.iter().zip(weights) {
                    let share = (turn + 1) as f64 * *weight as f64 / total as f64;
                    assert!((had - share).abs() < 3.0, "{weights:?}: {had} of {share}");
                }
            }
            let exactly: Vec<f64> = weights.iter().map(|weight| *weight as f64).collect();
            assert_eq!(had, exactly);
        }
    }

    #[test]
    fn nobody_has_a_turn_where_there_is_nobody() {
        assert_eq!(Shares::new([].into_iter()).whose_turn(7), None);
    }
}
