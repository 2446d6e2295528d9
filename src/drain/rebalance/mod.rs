//! Lets load even out when a target has joined its group, or takes requests again: the surplus of
//! the fullest is closed, gently.
//!
//! A tunnel cannot be moved. It is closed, its client comes back, and the balance sends it where
//! there is room. For a newcomer no more tunnels are closed than the others had too many when it
//! came: where clients stay away, or come back elsewhere, that is the end of it.

#[cfg(test)]
mod simulation;
mod surplus;

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::surplus::{Scale, fullness_of_all, shed, surplus};
use super::Drain;
use super::pace::end_within;
use crate::config::model;
use crate::target_address::TargetAddress;
use crate::target_group::{Target, TargetGroup};
use crate::telemetry::CloseReason;
use crate::tunnel::{Handle, Tunnels};

const STEP: Duration = Duration::from_secs(1);
/// How many steps pass until tunnels are looked for again where none could be ended.
const REST: u32 = 10;

/// Evens out the load of the target groups that there are, until a drain begins.
pub async fn even_out(drain: &Drain, groups: impl Fn() -> Vec<Arc<TargetGroup>>) {
    let mut rebalance = Rebalance::new(Arc::clone(&drain.tunnels));
    let steps = async {
        loop {
            let end = Instant::now() + STEP;
            let ends = rebalance.step(&groups());
            end_within(&ends, end, CloseReason::Rebalanced).await;
        }
    };
    drain.began().run_until_cancelled(steps).await;
}

/// What evens out the load of all target groups.
struct Rebalance {
    tunnels: Arc<Tunnels>,
    groups: HashMap<Arc<str>, Balance>,
}

/// What is known of one group.
#[derive(Default)]
struct Balance {
    /// The targets that took requests when they were last looked at, and how often each had come
    /// back.
    takers: HashSet<(TargetAddress, u32)>,
    /// How many tunnels may still be ended.
    budget: usize,
    ended: usize,
    rest: u32,
}

impl Rebalance {
    /// Nothing is known yet, so nobody is new.
    fn new(tunnels: Arc<Tunnels>) -> Self {
        Rebalance {
            tunnels,
            groups: HashMap::new(),
        }
    }

    /// The tunnels to end in the next second.
    fn step(&mut self, groups: &[Arc<TargetGroup>]) -> Vec<Arc<Handle>> {
        let mut before = std::mem::take(&mut self.groups);
        let mut ends = Vec::new();
        for group in groups {
            let Some(settings) = group.rebalance else {
                continue;
            };
            let balance = before.remove(&group.name);
            let balance = match balance {
                Some(mut balance) => {
                    ends.extend(balance.step(group, settings, &self.tunnels));
                    balance
                }
                None => Balance::of(group),
            };
            self.groups.insert(Arc::clone(&group.name), balance);
        }
        ends
    }
}

impl Balance {
    fn of(group: &TargetGroup) -> Self {
        Balance {
            takers: takers(group).map(seen).collect(),
            ..Balance::default()
        }
    }

    fn step(
        &mut self,
        group: &TargetGroup,
        settings: model::Rebalance,
        tunnels: &Tunnels,
    ) -> Vec<Arc<Handle>> {
        let takers: Vec<&Arc<Target>> = takers(group).collect();
        let full: Vec<Scale> = takers.iter().map(|target| Scale::full(target)).collect();
        let room = room(&takers, &full);
        self.look(group, &takers, surplus(&full).min(room));
        if self.budget == 0 {
            return Vec::new();
        }
        if self.rest > 0 {
            self.rest -= 1;
            return Vec::new();
        }
        let mut present: Vec<Scale> = takers.iter().map(|target| Scale::now(target)).collect();
        let most = self.budget.min(usize::from(settings.rate));
        if shed(&present, most).iter().all(|count| *count == 0) {
            return Vec::new();
        }
        let found = Found::among(tunnels, group, &takers, settings.min_age, most);
        for (scale, ending) in present.iter_mut().zip(&found.ending) {
            scale.load = scale.load.saturating_sub(*ending);
        }
        let ends = found.take(&shed(&present, most));
        self.rest = if ends.is_empty() { REST } else { 0 };
        self.budget -= ends.len();
        self.ended += ends.len();
        ends
    }

    /// Notes who takes requests now, and by how much the fullest are above their shares.
    fn look(&mut self, group: &TargetGroup, takers: &[&Arc<Target>], surplus: usize) {
        let now: HashSet<(TargetAddress, u32)> = takers.iter().copied().map(seen).collect();
        let is_new = now.difference(&self.takers).next().is_some();
        self.takers = now;
        let had = self.budget;
        self.budget = if is_new { surplus } else { had.min(surplus) };
        if is_new && surplus > 0 {
            let name = &group.name;
            log::info!(
                "target group {name}: a target has joined: up to {surplus} tunnels are ended to \
                 even out the load"
            );
        }
        if self.budget == 0 && self.ended > 0 {
            let (name, ended) = (&group.name, std::mem::take(&mut self.ended));
            log::info!("target group {name}: {ended} tunnels were ended to even out the load");
        }
    }
}

/// The targets that take requests, and of which it is known that they can.
fn takers(group: &TargetGroup) -> impl Iterator<Item = &Arc<Target>> {
    group.takers().filter(|target| target.is_proven())
}

/// For how many tunnels there is room on targets that are below their shares.
fn room(takers: &[&Arc<Target>], scales: &[Scale]) -> usize {
    let even = fullness_of_all(scales);
    let of_one = |(target, scale): (&&Arc<Target>, &Scale)| target.room().min(scale.below(even));
    let rooms = takers.iter().zip(scales).map(of_one);
    rooms.fold(0, usize::saturating_add)
}

/// A target as it is known again. One that was gone only for a moment is new, too.
fn seen(target: &Arc<Target>) -> (TargetAddress, u32) {
    (target.address.clone(), target.returns())
}

/// The tunnels of a group's targets, in the order of the targets.
struct Found {
    /// How many have been told to end, and have not yet.
    ending: Vec<usize>,
    /// The idlest that are old enough.
    idlest: Vec<BinaryHeap<Reverse<Idle>>>,
}

impl Found {
    /// The tunnels of this group; of each target's idlest not more than `most`.
    fn among(
        tunnels: &Tunnels,
        group: &TargetGroup,
        takers: &[&Arc<Target>],
        min_age: Duration,
        most: usize,
    ) -> Self {
        let places: HashMap<&TargetAddress, usize> = takers
            .iter()
            .enumerate()
            .map(|(place, target)| (&target.address, place))
            .collect();
        let mut found = Found {
            ending: vec![0; takers.len()],
            idlest: takers.iter().map(|_| BinaryHeap::new()).collect(),
        };
        let is_its = |tunnel: &Handle| tunnel.identity.target_group == group.name;
        tunnels.for_each(is_its, |tunnel| {
            let Some(&place) = places.get(&tunnel.identity.target) else {
                return;
            };
            if tunnel.is_ending() {
                found.ending[place] += 1;
            } else if tunnel.opened.elapsed() >= min_age {
                let idlest = &mut found.idlest[place];
                idlest.push(Reverse(Idle(tunnel.idle(), Arc::clone(tunnel))));
                if idlest.len() > most {
                    idlest.pop();
                }
            }
        });
        found
    }

    /// As many of each as these counts say, if there are as many; the idlest first.
    fn take(self, counts: &[usize]) -> Vec<Arc<Handle>> {
        let take = |(idlest, count): (BinaryHeap<Reverse<Idle>>, &usize)| {
            let idlest = idlest.into_sorted_vec().into_iter().take(*count);
            idlest.map(|Reverse(Idle(_, tunnel))| tunnel)
        };
        self.idlest.into_iter().zip(counts).flat_map(take).collect()
    }
}

/// A tunnel in the order of how long nothing has moved in it.
struct Idle(Duration, Arc<Handle>);

impl Ord for Idle {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Idle {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Idle {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Idle {}
