//! Which targets are emptied, and how: those that are gone, those in maintenance, and those that
//! are unhealthy.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Serving, targets};
use crate::config::{Config, model};
use crate::drain::{Cause, Eviction, TargetId};
use crate::target_address::TargetAddress;
use crate::telemetry::CloseReason;
use crate::tunnel::Handle;

impl Serving {
    /// Empties the targets of these groups that are gone, and those whose maintenance asks for it.
    /// Those of other groups, and those that have been gone for longer, are left to what is done
    /// already.
    pub(super) fn evict(
        &self,
        config: &Config,
        before: &[Arc<model::TargetGroup>],
        now: &[Arc<model::TargetGroup>],
    ) {
        let deadline = config.server.drain.deadline;
        let former = self.former_names.lock().clone();
        let groups = config.target_groups.iter();
        let taken: HashSet<&str> = groups.map(|group| group.name.as_str()).collect();
        // Tunnels may go by a name that their group had before.
        let names = |group: &model::TargetGroup| {
            let name = match taken.contains(group.name.as_str()) {
                true => &group.name,
                false => former.present(&group.name),
            };
            let mut names = former.of(name).to_vec();
            names.push(name.to_owned());
            names
        };
        let present: HashSet<(String, TargetAddress)> = targets(now)
            .flat_map(|(group, target)| ids(names(group), target))
            .collect();
        let removal = |group: &model::TargetGroup| Eviction {
            reason: CloseReason::TargetRemoved,
            delay: group.deregistration_delay,
            window: group.deregistration_delay.min(deadline),
        };
        let emptying = Eviction {
            reason: CloseReason::Drained,
            delay: Duration::ZERO,
            window: deadline,
        };
        let is_gone = |group: &model::TargetGroup, target: &model::Target| {
            !present.contains(&id(group, target))
        };
        let gone = targets(before)
            .filter(|(group, target)| is_gone(group, target))
            .flat_map(|(group, target)| {
                let ids = ids(names(group), target);
                ids.map(|id| (id, removal(group)))
            });
        let maintained = targets(now)
            .filter(|(_, target)| target.maintenance_enabled && target.maintenance_drain)
            .flat_map(|(group, target)| ids(names(group), target).map(|id| (id, emptying)));
        let wanted = gone.chain(maintained).collect();
        self.evictions
            .evict(Cause::Configuration, |id| present.contains(id), wanted);
    }

    /// Ends the tunnels of targets that are being emptied, for ever.
    pub async fn empty_targets(&self) {
        self.evictions.run(|| self.metrics.forget()).await;
    }

    /// Has groups of one name have another, as far as their tunnels are concerned.
    pub(super) fn rename(&self, names: &[(String, String)]) {
        if !names.is_empty() {
            let is_in_use = |name: &str| self.has_tunnels(name);
            self.former_names.lock().rename(names, is_in_use);
        }
    }

    /// Whether tunnels go by this name that are another group's than this one's: that group had
    /// the name before.
    pub fn is_former_name(&self, name: &str, group: Option<&str>) -> bool {
        let former = self.former_names.lock();
        let present = former.present(name);
        present != name && group != Some(present) && self.has_tunnels(name)
    }

    fn has_tunnels(&self, name: &str) -> bool {
        let mut is_found = false;
        let is_its = |tunnel: &Handle| *tunnel.identity.target_group == *name;
        self.drain.tunnels.for_each(is_its, |_| is_found = true);
        is_found
    }

    /// Whatever names the tunnels of the group of this name may go by.
    pub fn names_of(&self, group: &str) -> Vec<String> {
        let mut names = self.former_names.lock().of(group).to_vec();
        names.retain(|name| name != group);
        names.dedup();
        names.push(group.to_owned());
        names
    }

    /// Empties the targets that are unhealthy, where that is wanted, for ever.
    pub async fn evict_unhealthy(&self) {
        loop {
            self.fleet.health_turned().await;
            let config = self.config();
            let deadline = config.server.drain.deadline;
            let groups = config.target_groups.iter();
            let groups: HashMap<&str, &Arc<model::TargetGroup>> =
                groups.map(|group| (group.name.as_str(), group)).collect();
            let eviction = |(name, address): TargetId| {
                let group = groups.get(name.as_str())?;
                let eviction = Eviction {
                    reason: CloseReason::TargetUnhealthy,
                    delay: Duration::ZERO,
                    window: group.deregistration_delay.min(deadline),
                };
                Some(((name, address), eviction))
            };
            let targets = self.fleet.to_be_emptied().into_iter();
            let former = self.former_names.lock().clone();
            let named = |((name, address), eviction): (TargetId, Eviction)| {
                let names = former.of(&name).to_vec().into_iter().chain([name]);
                names.map(move |name| ((name, address.clone()), eviction))
            };
            let wanted = targets.filter_map(eviction).flat_map(named).collect();
            self.evictions.evict(Cause::Health, |_| true, wanted);
        }
    }
}

/// A target, by each of these names of its group.
fn ids(names: Vec<String>, target: &model::Target) -> impl Iterator<Item = TargetId> {
    let names = names.into_iter();
    names.map(|name| (name, target.address.clone()))
}

fn id(group: &model::TargetGroup, target: &model::Target) -> TargetId {
    (group.name.clone(), target.address.clone())
}
