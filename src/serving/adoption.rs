//! Tunnels that come from another process: each is accounted by what has its names here. Those
//! whose target is gone, or is being emptied, are evicted as after a reload.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Serving, Snapshot};
use crate::config::model;
use crate::drain::{Cause, Eviction, TargetId};
use crate::target_address::TargetAddress;
use crate::target_group::TargetGroup;
use crate::telemetry::{CloseReason, Record};
use crate::tunnel::{Account, Arrived, Frozen};

/// How long the tunnels of a group are left alone of which nothing is known.
const UNKNOWN_DELAY: Duration = Duration::from_secs(300);

/// What another process knows of the target groups of its tunnels.
#[derive(Debug, Default)]
pub struct Former {
    /// What groups were called before, by what they are called now.
    pub names: HashMap<String, Vec<String>>,
    /// Their `deregistrationDelay`.
    pub delays: BTreeMap<String, Duration>,
}

impl Serving {
    /// What another process has to know to go on with the tunnels of this one.
    pub fn former(&self) -> Former {
        let config = self.config();
        let groups = config.target_groups.iter();
        let delay =
            |group: &Arc<model::TargetGroup>| (group.name.clone(), group.deregistration_delay);
        Former {
            names: self.former_names.lock().all(),
            delays: groups.map(delay).collect(),
        }
    }

    /// Goes on with tunnels of another process. `has_left` is called when they are counted here,
    /// and are not to be counted there any more; nobody sees anything between.
    pub fn adopt_tunnels(&self, arrived: Vec<Arrived>, former: &Former, has_left: impl FnOnce()) {
        self.former_names.lock().learn(&former.names);
        let groups: HashSet<TargetId> = arrived.iter().map(id).collect();
        let view = self.metrics.hold_view();
        let snapshot = self.snapshot();
        let adopt = |one| self.adopt_one(one, &snapshot);
        let frozen: Vec<Frozen> = arrived.into_iter().map(adopt).collect();
        has_left();
        drop(view);
        for frozen in frozen {
            self.drain.tunnels.thaw(frozen, self.listeners.runtime());
        }
        self.evict_adopted(&groups, &former.delays);
    }

    fn adopt_one(&self, arrived: Arrived, snapshot: &Snapshot) -> Frozen {
        let identity = arrived.identity();
        let (rule, name) = (&*identity.forwarding_rule, &*identity.target_group);
        let rule_metrics = self.metrics.forwarding_rule(rule);
        let target = [&identity.target].into_iter();
        let tunnels = self.metrics.tunnels(rule, name, target);
        let held = self.built(name, snapshot).and_then(|group| {
            let target = group.target(&identity.target)?;
            target.hold_anyway()
        });
        let place = self
            .listeners
            .place_anyway(rule, &rule_metrics, arrived.counted());
        let http_rule = self.metrics.http_rule(rule, arrived.http_rule());
        let active = tunnels.adopt(0).map(|active| (active, tunnels.closes));
        let log = self.log.clone();
        self.drain.tunnels.note_carried_before(arrived.carried());
        arrived.adopt(&self.drain.tunnels, |record: Record| Account {
            record,
            log,
            rule: rule_metrics,
            http_rule: Some(http_rule),
            held,
            active,
            place,
        })
    }

    /// The group that has, or had, this name.
    fn built(&self, name: &str, snapshot: &Snapshot) -> Option<Arc<TargetGroup>> {
        let of = |name: &str| snapshot.groups.iter().find(|group| *group.name == *name);
        let former = self.former_names.lock();
        of(name).or_else(|| of(former.present(name))).cloned()
    }

    /// What the group that has, or had, this name is built from.
    fn model(&self, name: &str) -> Option<Arc<model::TargetGroup>> {
        let groups = self.target_groups();
        let of = |name: &str| groups.iter().find(|group| group.name == name);
        let former = self.former_names.lock();
        of(name).or_else(|| of(former.present(name))).cloned()
    }

    /// Empties those of these targets that a reload would empty.
    fn evict_adopted(&self, adopted: &HashSet<TargetId>, delays: &BTreeMap<String, Duration>) {
        let deadline = self.config().server.drain.deadline;
        let unhealthy: HashSet<TargetId> = self.fleet.to_be_emptied().into_iter().collect();
        let (mut configured, mut by_health) = (HashMap::new(), HashMap::new());
        for id in adopted {
            let group = self.model(&id.0);
            let delay = group.as_ref().map(|group| group.deregistration_delay);
            let delay = delay.or_else(|| delays.get(&id.0).copied());
            let delay = delay.unwrap_or(UNKNOWN_DELAY);
            let eviction = eviction(group.as_ref(), &id.1, delay, deadline);
            configured.extend(eviction.map(|eviction| (id.clone(), eviction)));
            let is_unhealthy = |name: &str| unhealthy.contains(&(name.to_owned(), id.1.clone()));
            if group.is_some_and(|group| is_unhealthy(&group.name)) {
                let eviction = Eviction {
                    reason: CloseReason::TargetUnhealthy,
                    delay: Duration::ZERO,
                    window: delay.min(deadline),
                };
                by_health.insert(id.clone(), eviction);
            }
        }
        let nobody = |_: &TargetId| false;
        self.evictions
            .evict(Cause::Configuration, nobody, configured);
        self.evictions.evict(Cause::Health, nobody, by_health);
    }
}

/// How a target is emptied that is gone from its group, or gone with it, or in maintenance.
fn eviction(
    group: Option<&Arc<model::TargetGroup>>,
    address: &TargetAddress,
    delay: Duration,
    deadline: Duration,
) -> Option<Eviction> {
    let mut found = group.into_iter().flat_map(|group| &group.targets);
    match found.find(|target| target.address == *address) {
        None => Some(Eviction {
            reason: CloseReason::TargetRemoved,
            delay,
            window: delay.min(deadline),
        }),
        Some(target) if target.maintenance_enabled && target.maintenance_drain => Some(Eviction {
            reason: CloseReason::Drained,
            delay: Duration::ZERO,
            window: deadline,
        }),
        Some(_) => None,
    }
}

fn id(arrived: &Arrived) -> TargetId {
    let identity = arrived.identity();
    (identity.target_group.to_string(), identity.target.clone())
}
