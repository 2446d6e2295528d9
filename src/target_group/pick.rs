//! Which target the next request goes to: what the algorithm proposes, as far as it is fit.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pingora::lb::Backend;

use super::selection::{Key, Shares};
use super::{Held, PickContext, Target, TargetGroup, Unavailable, find};
use crate::config::model::Algorithm;

/// How many turns are looked at for one request, before the targets are.
const MOST_TURNS: usize = 64;

impl TargetGroup {
    /// The target for a request, which carries it from now on. Only the first try moves the turn:
    /// were the next request's target the one that has just failed, that one would get more than
    /// its share.
    pub fn pick(&self, context: &PickContext<'_>) -> Result<(Arc<Target>, Held), Unavailable> {
        let key = match context.tried {
            [] => Key::Take,
            _ => Key::Retry,
        };
        let held = Cell::new(None);
        let take = |target: &Target| {
            let hold = target.hold();
            let is_held = hold.is_some();
            held.set(hold);
            is_held
        };
        let target = self.choose(context, key, &take).cloned();
        target
            .zip(held.take())
            .ok_or_else(|| self.why_none(context))
    }

    /// The target that such a request would get, were it picked now. It moves no turn.
    pub fn foresee(&self, context: &PickContext<'_>) -> Result<Arc<Target>, Unavailable> {
        let target = self.choose(context, Key::Look, &|target| !target.is_full());
        target.cloned().ok_or_else(|| self.why_none(context))
    }

    /// The first that may be taken: by what the asker has, or by the algorithm.
    fn choose(
        &self,
        context: &PickContext<'_>,
        key: Key,
        take: &dyn Fn(&Target) -> bool,
    ) -> Option<&Arc<Target>> {
        let staying = || self.stay(context, take);
        let proposed = || self.propose(context, context.hash.map_or(key, Key::Hash), take);
        staying()
            .or_else(proposed)
            .or_else(|| self.substitute(context, key, take))
    }

    /// Whether a request can be sent to a target: to the one of this place, which a cookie tells,
    /// or to any.
    pub fn serves(&self, told: Option<usize>) -> bool {
        let target = told.and_then(|place| self.targets.get(place));
        let keeps = target.is_some_and(|target| !target.is_in_maintenance && target.is_available());
        keeps || self.takers().next().is_some()
    }

    /// The target that the asker comes back to; one of weight 0 is for just those.
    fn stay(
        &self,
        context: &PickContext<'_>,
        take: &dyn Fn(&Target) -> bool,
    ) -> Option<&Arc<Target>> {
        let target = self.targets.get(context.sticky?)?;
        let is_fit = !target.is_in_maintenance && !context.tried.contains(&target.address);
        (is_fit && target.is_available() && take(target)).then_some(target)
    }

    fn propose(
        &self,
        context: &PickContext<'_>,
        key: Key,
        take: &dyn Fn(&Target) -> bool,
    ) -> Option<&Arc<Target>> {
        let is_by_turns = match (key, &self.algorithm) {
            (Key::Hash(_), _) | (_, Algorithm::LeastConnection) => false,
            (Key::Take | Key::Retry | Key::Look, _) => true,
        };
        let most = if is_by_turns { MOST_TURNS } else { usize::MAX };
        let takes = |target: &Arc<Target>| {
            let is_ready = !is_by_turns || self.gets_its_turn(target);
            is_ready && target.is_fit(context.tried) && take(target)
        };
        let fit = |backend: &Backend, _| find(&self.targets, backend).is_some_and(takes);
        let proposed = self.balancer.select_with(&key.to_bytes(), most, fit)?;
        find(&self.targets, &proposed)
    }

    /// Leaves out turns of a target that is not to have all of its share yet.
    fn gets_its_turn(&self, target: &Target) -> bool {
        let factor = target.state.weight_factor();
        factor >= 1.0 || self.random.chance() < factor
    }

    /// Takes the turn of targets that are not fit: one that is, in proportion to the weights. For
    /// where so many proposals were not fit that it is quicker to look for those that are.
    fn substitute(
        &self,
        context: &PickContext<'_>,
        key: Key,
        take: &dyn Fn(&Target) -> bool,
    ) -> Option<&Arc<Target>> {
        let fit: Vec<&Arc<Target>> = self.fit(context).filter(|it| !it.is_full()).collect();
        let shares = Shares::new(fit.iter().map(|target| target.weight()));
        let turn = match key {
            Key::Look => self.substitutes.load(Relaxed),
            Key::Take | Key::Retry | Key::Hash(_) => self.substitutes.fetch_add(1, Relaxed),
        };
        let (before, from) = fit.split_at(shares.whose_turn(turn)?);
        // The one whose turn it is may have become full just now.
        let mut in_order = from.iter().chain(before);
        in_order.find(|target| take(target)).copied()
    }

    /// The targets that would take this request, were they not full.
    fn fit(&self, context: &PickContext<'_>) -> impl Iterator<Item = &Arc<Target>> {
        let is_fit = |target: &&Arc<Target>| target.is_fit(context.tried);
        self.targets.iter().filter(is_fit)
    }

    fn why_none(&self, context: &PickContext<'_>) -> Unavailable {
        match self.fit(context).next() {
            Some(_) => Unavailable::Full,
            None => Unavailable::None,
        }
    }
}
