//! Which targets are emptied, and how: those that are gone, those in maintenance, and those that are unhealthy.

use std::collections::HashMap;
use std::time::Duration;

use super::{Serving, targets};
use crate::config::{Config, model};
use crate::drain::{Eviction, TargetId};
use crate::telemetry::CloseReason;

impl Serving {
    /// Empties the targets that are gone, and those whose maintenance asks for it.
    pub(super) fn evict(
        &self,
        config: &Config,
        before: &[model::TargetGroup],
        now: &[model::TargetGroup],
    ) {
        let deadline = config.server.drain.deadline;
        let mut wanted: HashMap<TargetId, Eviction> =
            self.evictions.removed().into_iter().collect();
        for (group, target) in targets(before) {
            let removal = Eviction {
                reason: CloseReason::TargetRemoved,
                delay: group.deregistration_delay,
                window: group.deregistration_delay.min(deadline),
            };
            wanted.entry(id(group, target)).or_insert(removal);
        }
        for (group, target) in targets(now) {
            let id = id(group, target);
            wanted.remove(&id);
            if target.maintenance_enabled && target.maintenance_drain {
                let emptying = Eviction {
                    reason: CloseReason::Drained,
                    delay: Duration::ZERO,
                    window: deadline,
                };
                wanted.insert(id, emptying);
            }
        }
        self.evictions.evict(wanted);
    }

    /// Empties the targets that are unhealthy, where that is wanted, for ever.
    pub async fn evict_unhealthy(&self) {
        loop {
            self.fleet.health_turned().await;
            let config = self.config();
            let deadline = config.server.drain.deadline;
            let eviction = |(name, address): TargetId| {
                let group = config
                    .target_groups
                    .iter()
                    .find(|group| group.name == name)?;
                let eviction = Eviction {
                    reason: CloseReason::TargetUnhealthy,
                    delay: Duration::ZERO,
                    window: group.deregistration_delay.min(deadline),
                };
                Some(((name, address), eviction))
            };
            let targets = self.fleet.to_be_emptied().into_iter();
            self.unhealthy.evict(targets.filter_map(eviction).collect());
        }
    }
}

fn id(group: &model::TargetGroup, target: &model::Target) -> TargetId {
    (group.name.clone(), target.address.clone())
}
