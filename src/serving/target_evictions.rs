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
        let present: HashSet<(&str, &TargetAddress)> = targets(now)
            .map(|(group, target)| (group.name.as_str(), &target.address))
            .collect();
        let is_present = |(group, address): &TargetId| present.contains(&(group.as_str(), address));
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
            !present.contains(&(group.name.as_str(), &target.address))
        };
        let gone = targets(before)
            .filter(|(group, target)| is_gone(group, target))
            .map(|(group, target)| (id(group, target), removal(group)));
        let maintained = targets(now)
            .filter(|(_, target)| target.maintenance_enabled && target.maintenance_drain)
            .map(|(group, target)| (id(group, target), emptying));
        let wanted = gone.chain(maintained).collect();
        self.evictions
            .evict(Cause::Configuration, is_present, wanted);
    }

    /// Ends the tunnels of targets that are being emptied, for ever.
    pub async fn empty_targets(&self) {
        self.evictions.run(|| self.metrics.forget()).await;
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
            let wanted = targets.filter_map(eviction).collect();
            self.evictions.evict(Cause::Health, |_| true, wanted);
        }
    }
}

fn id(group: &model::TargetGroup, target: &model::Target) -> TargetId {
    (group.name.clone(), target.address.clone())
}
