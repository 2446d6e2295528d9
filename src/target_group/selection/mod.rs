//! Which targets are proposed, and in what order: the algorithms, behind Pingora's
//! `BackendSelection`.
//!
//! Proposals are drawn until one is fit; what is fit is the group's business. Targets without a
//! weight are never proposed. Turns and chance never end, so whoever draws must; by load and by
//! hash each target comes once.

mod least_connection;
mod ranking;
mod rendezvous;
mod round_robin;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pingora::lb::Backend;
use pingora::lb::selection::{BackendIter, BackendSelection};

use super::Target;
use crate::config::model::{self, Algorithm};
use crate::os::random::{self, Random};
use least_connection::Least;
use ranking::Ranking;
use rendezvous::Rendezvous;
pub(super) use rendezvous::hash;
pub(super) use round_robin::Shares;

/// What a selection is built from.
pub(super) struct Plan {
    pub(super) algorithm: Algorithm,
    /// Of the whole group, in the order of their addresses.
    pub(super) targets: Arc<[Arc<Target>]>,
    /// Where chance begins.
    pub(super) seed: u64,
}

impl Plan {
    pub(super) fn of(group: &model::TargetGroup, targets: &Arc<[Arc<Target>]>) -> Self {
        Plan {
            algorithm: group.algorithm.clone(),
            targets: Arc::clone(targets),
            seed: random::seed(),
        }
    }
}

/// What of a request matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// It takes a turn.
    Take,
    /// It takes one of the turns that are kept for those whose first target has failed.
    Retry,
    /// It looks whose turn it is.
    Look,
    /// It has this hash, which decides.
    Hash(u64),
}

impl Key {
    /// As the library passes it on.
    pub(super) fn to_bytes(self) -> [u8; 9] {
        let (kind, hash) = match self {
            Key::Take => (0, 0),
            Key::Retry => (1, 0),
            Key::Look => (2, 0),
            Key::Hash(hash) => (3, hash),
        };
        let mut bytes = [kind; 9];
        bytes[1..].copy_from_slice(&hash.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        match bytes.split_first() {
            Some((1, _)) => Key::Retry,
            Some((2, _)) => Key::Look,
            Some((3, hash)) => hash
                .first_chunk()
                .map_or(Key::Take, |hash| Key::Hash(u64::from_le_bytes(*hash))),
            _ => Key::Take,
        }
    }
}

/// The targets of a group that have a weight, and how the next one is found.
pub(super) struct Selection {
    targets: Box<[Arc<Target>]>,
    algorithm: Algorithm,
    shares: Shares,
    least: Least,
    rendezvous: Rendezvous,
    turns: AtomicU64,
    retries: AtomicU64,
    random: Random,
}

impl BackendSelection for Selection {
    type Iter = Proposals;
    type Config = Plan;

    fn build_with_config(_: &BTreeSet<Backend>, plan: &Plan) -> Self {
        let weighted = plan.targets.iter().filter(|target| target.weight() > 0);
        let targets: Box<[Arc<Target>]> = weighted.cloned().collect();
        Selection {
            shares: Shares::new(targets.iter().map(|target| target.weight())),
            least: Least::new(&targets),
            rendezvous: Rendezvous::new(&targets),
            targets,
            algorithm: plan.algorithm.clone(),
            // Anywhere: configurations may follow each other, and nodes start together.
            turns: AtomicU64::new(plan.seed >> 1),
            retries: AtomicU64::new(plan.seed >> 1),
            random: Random::new(plan.seed),
        }
    }

    /// Without a plan there is nothing to propose.
    fn build(backends: &BTreeSet<Backend>) -> Self {
        let plan = Plan {
            algorithm: Algorithm::RoundRobin,
            targets: Arc::new([]),
            seed: 0,
        };
        Self::build_with_config(backends, &plan)
    }

    fn iter(self: &Arc<Self>, key: &[u8]) -> Proposals {
        let order = match (Key::from_bytes(key), &self.algorithm) {
            (Key::Hash(hash), _) => Order::ByHash(hash, Ranking::default()),
            (_, Algorithm::Random) => Order::Chance,
            (_, Algorithm::LeastConnection) => {
                Order::ByLoad(self.random.next(), Ranking::default())
            }
            (Key::Take, _) => Order::Turns,
            (Key::Retry, _) => Order::Retries,
            (Key::Look, _) => Order::Look(self.turns.load(Relaxed)),
        };
        Proposals {
            selection: Arc::clone(self),
            order,
        }
    }
}

/// The proposals to one request.
pub(super) struct Proposals {
    selection: Arc<Selection>,
    order: Order,
}

enum Order {
    Turns,
    Retries,
    /// From this turn on.
    Look(u64),
    Chance,
    /// With this number for ties.
    ByLoad(u64, Ranking),
    ByHash(u64, Ranking),
}

impl BackendIter for Proposals {
    fn next(&mut self) -> Option<&Backend> {
        let selection = &*self.selection;
        let shares = &selection.shares;
        let place = match &mut self.order {
            Order::Turns => shares.whose_turn(selection.turns.fetch_add(1, Relaxed)),
            Order::Retries => shares.whose_turn(selection.retries.fetch_add(1, Relaxed)),
            Order::Look(turn) => {
                *turn += 1;
                shares.whose_turn(*turn - 1)
            }
            Order::Chance => shares.owner(selection.random.below(shares.total())),
            Order::ByLoad(chance, ranking) => {
                let all = || selection.least.ranks(*chance);
                ranking.next(|| all().min(), all)
            }
            Order::ByHash(hash, ranking) => {
                let first = || selection.rendezvous.first(*hash);
                ranking.next(first, || selection.rendezvous.ranks(*hash))
            }
        };
        selection.targets.get(place?).map(|target| &target.backend)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{address, built, built_upon, described};
    use super::super::{Held, PickContext, TargetGroup, Unavailable};
    use super::*;
    use crate::target_group::standing::Standing;

    /// A selection with a seed of its own.
    fn selection(algorithm: Algorithm, weights: &[u16]) -> Arc<Selection> {
        let group = built(&described(algorithm.clone(), weights));
        let plan = Plan {
            algorithm,
            targets: Arc::clone(&group.targets),
            seed: 42,
        };
        Arc::new(Selection::build_with_config(&BTreeSet::new(), &plan))
    }

    fn first(selection: &Arc<Selection>, key: Key) -> usize {
        let mut proposals = selection.iter(&key.to_bytes());
        let port = proposals.next().unwrap().addr.as_inet().unwrap().port();
        usize::from(port) - 8000
    }

    /// Asserts that counts go with weights: chi-square is below its 99.9 % bound, by Wilson and
    /// Hilferty.
    fn assert_goes_with(counts: &[usize], weights: &[u16]) {
        let total: usize = counts.iter().sum();
        let weight: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let share = |weight: u16, of: f64| total as f64 * f64::from(weight) / of;
        let terms = counts.iter().zip(weights).map(|(count, one)| {
            let expected = share(*one, weight);
            (*count as f64 - expected).powi(2) / expected
        });
        let chi_square: f64 = terms.sum();
        let freedom = counts.len() as f64 - 1.0;
        let part = 2.0 / (9.0 * freedom);
        let bound = freedom * (1.0 - part + 3.09 * part.sqrt()).powi(3);
        assert!(chi_square < bound, "{chi_square} > {bound}: {counts:?}");
    }

    fn counts(places: impl Iterator<Item = usize>, targets: usize) -> Vec<usize> {
        let mut counts = vec![0; targets];
        places.for_each(|place| counts[place] += 1);
        counts
    }

    const WEIGHTS: [u16; 5] = [1, 2, 4, 8, 100];

    #[test]
    fn chance_goes_with_the_weights() {
        let selection = selection(Algorithm::Random, &WEIGHTS);
        let places = (0..50_000).map(|_| first(&selection, Key::Take));
        assert_goes_with(&counts(places, 5), &WEIGHTS);
    }

    #[test]
    fn hashes_of_addresses_go_with_the_weights() {
        for weights in [&WEIGHTS[..], &[1; 20], &[7, 7, 256, 9]] {
            let selection = selection(Algorithm::SourceIp, weights);
            let ip = |number: u32| hash(&number.to_be_bytes());
            let places = (0..50_000).map(|number| first(&selection, Key::Hash(ip(number))));
            assert_goes_with(&counts(places, weights.len()), weights);
        }
    }

    #[test]
    fn the_least_loaded_goes_with_the_weights_and_ties_are_drawn_fairly() {
        let group = built(&described(Algorithm::LeastConnection, &WEIGHTS));
        let held: Vec<_> = (0..1150)
            .map(|_| group.pick(&PickContext::default()).unwrap())
            .collect();
        let places = held.iter().map(|(target, _)| target.place);
        assert_eq!(counts(places, 5), [10, 20, 40, 80, 1000]);
        drop(held);

        let selection = selection(Algorithm::LeastConnection, &[3; 10]);
        let places = (0..20_000).map(|_| first(&selection, Key::Take));
        assert_goes_with(&counts(places, 10), &[1; 10]);
    }

    #[test]
    fn eight_threads_that_hold_what_they_pick_load_all_targets_alike() {
        const EACH: usize = 2000;
        let group = &built(&described(Algorithm::LeastConnection, &[1, 1, 2, 4]));
        let held: Vec<(Arc<Target>, Held)> = std::thread::scope(|scope| {
            let pick = |_| group.pick(&PickContext::default()).unwrap();
            let thread = move || (0..EACH).map(pick).collect::<Vec<_>>();
            let threads = [(); 8].map(|()| scope.spawn(thread));
            let picked = threads.map(|thread| thread.join().unwrap());
            picked.into_iter().flatten().collect()
        });
        let counts = counts(held.iter().map(|(target, _)| target.place), 4);
        for (count, expected) in counts.iter().zip([2000, 2000, 4000, 8000]) {
            // As many as there are threads may have seen the same.
            assert!(count.abs_diff(expected) <= 8, "{counts:?}");
        }
    }

    #[test]
    fn what_targets_carry_survives_a_reload_and_what_failed_is_given_back() {
        let description = described(Algorithm::LeastConnection, &[1, 1]);
        let standing = Standing::new("chat");
        let before = built_upon(&description, &standing);
        let (carrying, _held) = before.pick(&PickContext::default()).unwrap();
        let now = built_upon(&description, &standing);
        for _ in 0..20 {
            // Dropping it gives it back.
            let (target, _) = now.pick(&PickContext::default()).unwrap();
            assert_ne!(target.address, carrying.address);
        }
    }

    /// Where a key goes among so many targets of weights that differ, by its first three choices.
    fn choices(weights: &[u16], key: &str) -> Vec<usize> {
        let selection = selection(Algorithm::SourceIp, weights);
        let mut proposals = selection.iter(&Key::Hash(hash(key.as_bytes())).to_bytes());
        let mut places = Vec::new();
        while let Some(backend) = proposals.next() {
            places.push(usize::from(backend.addr.as_inet().unwrap().port()) - 8000);
        }
        places
    }

    #[test]
    fn hashing_never_changes() {
        assert_eq!(hash(b""), 0xF52A_15E9_A9B5_E89B);
        let weights = [1, 1, 1, 5, 10, 1];
        let found = ["", "alice", "bob", "carol"].map(|key| choices(&weights, key));
        let expected = [
            [4, 1, 5, 3, 2, 0],
            [4, 3, 1, 2, 0, 5],
            [0, 4, 2, 5, 3, 1],
            [4, 3, 2, 0, 1, 5],
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_target_that_goes_moves_only_its_own_share() {
        let (all, fewer) = ([1, 2, 3, 4], [1, 2, 0, 4]);
        let (before, after) = (
            selection(Algorithm::SourceIp, &all),
            selection(Algorithm::SourceIp, &fewer),
        );
        for number in 0..5_000_u32 {
            let key = Key::Hash(hash(&number.to_be_bytes()));
            let (was, is) = (first(&before, key), first(&after, key));
            if was != 2 {
                assert_eq!(was, is);
            }
            let mut proposals = before.iter(&key.to_bytes());
            let ports = [(); 2].map(|()| proposals.next().unwrap().addr.clone());
            let next = if was == 2 { 1 } else { 0 };
            assert_eq!(ports[next], address(is).in_pingoras_words());
        }
    }

    fn most(group: &mut crate::config::model::TargetGroup, most: &[usize]) {
        for (target, most) in group.targets.iter_mut().zip(most) {
            target.max_connections = Some(*most);
        }
    }

    fn refused(group: &TargetGroup, context: &PickContext<'_>) -> Option<Unavailable> {
        group.pick(context).err()
    }

    #[test]
    fn turns_stay_even_and_go_with_the_weights_while_a_target_drops_out() {
        for (weights, longest, expected) in [
            (&[1, 1, 1][..], 1, &[0, 300, 300][..]),
            (&[1, 5, 1], 6, &[0, 500, 100]),
            (&[3, 2, 2, 2], 2, &[0, 200, 200, 200]),
        ] {
            let mut description = described(Algorithm::RoundRobin, weights);
            most(&mut description, &[1]);
            let group = built(&description);
            let _full = group.targets[0].hold().unwrap();
            let pick = |_| group.pick(&PickContext::default()).unwrap().0.place;
            let places: Vec<usize> = (0..600).map(pick).collect();
            let runs = places.chunk_by(|one, next| one == next).map(<[_]>::len);
            assert!(runs.max() <= Some(longest), "{weights:?}: {places:?}");
            assert_eq!(counts(places.into_iter(), weights.len()), expected);
        }
    }

    #[test]
    fn full_targets_are_passed_over_until_all_are_full_whatever_the_algorithm() {
        for algorithm in [
            Algorithm::RoundRobin,
            Algorithm::LeastConnection,
            Algorithm::Random,
            Algorithm::SourceIp,
        ] {
            let mut description = described(algorithm.clone(), &[256, 1, 7]);
            most(&mut description, &[3, 5, 2]);
            let group = built(&description);
            let context = PickContext {
                hash: (algorithm == Algorithm::SourceIp).then_some(7),
                ..PickContext::default()
            };
            let mut held: Vec<_> = (0..10).map(|_| group.pick(&context).unwrap()).collect();
            let places = held.iter().map(|(target, _)| target.place);
            assert_eq!(counts(places, 3), [3, 5, 2], "{algorithm:?}");
            assert_eq!(refused(&group, &context), Some(Unavailable::Full));
            assert!(group.foresee(&context).is_err());
            let (freed, _) = held.swap_remove(0);
            assert_eq!(group.foresee(&context).unwrap().place, freed.place);
            assert_eq!(group.pick(&context).unwrap().0.place, freed.place);
            let all = [0, 1, 2].map(address);
            let tried = PickContext {
                tried: &all,
                ..context
            };
            assert_eq!(refused(&group, &tried), Some(Unavailable::None));
        }
    }
}
