//! Puts a configuration in place, at its own depth: the whole of it, or one target group.
//!
//! What may fail comes first: after it everything changes, or nothing has. Forwarding rules, target
//! groups and targets that stay keep what is known of them.

use std::sync::Arc;

use super::change::{Keep, New};
use super::reuse::Reuse;
use super::{Serving, Snapshot};
use crate::config::fault::{Fault, Object};
use crate::config::{Config, model};
use crate::forwarding_rule::{ForwardingRule, TargetGroups};
use crate::listener::Plan;

impl Serving {
    /// Puts the rules and the target groups of a configuration in place.
    pub(super) fn apply(&self, new: New<'_>, keep: Keep<'_>) -> Result<(), Vec<Fault>> {
        let New {
            config,
            groups,
            renamed,
            mut sockets,
        } = new;
        let (before, snapshot) = (self.config(), self.snapshot());
        let reuse = Reuse::of(&snapshot, &before, config);
        let tls = self.tls_of(config, |rule| reuse.rule(rule).is_none())?;
        let prepared = self.fleet.prepare(groups);
        let prepared =
            prepared.map_err(|(name, why)| vec![unusable(Object::TargetGroup(name), why)])?;
        keep().map_err(|fault| vec![fault])?;
        self.fleet.rename(renamed);
        let keys = &config.server.stickiness_keys;
        let group_models = groups.to_vec();
        let groups = self
            .fleet
            .build(groups, &prepared, keys, |group| reuse.group(group));
        let new_groups: Vec<_> = groups.iter().filter(|group| !reuse.has(group)).collect();
        let by_name: TargetGroups = groups
            .iter()
            .map(|group| (group.name.to_string(), Arc::clone(group)))
            .collect();
        let mut plan = Plan::new();
        for (rule, tls) in config.forwarding_rules.iter().zip(tls) {
            if let Some(built) = reuse.rule(rule) {
                for group in &new_groups {
                    built.lead_to(group, &self.metrics);
                }
                plan.push((Arc::clone(built), None));
                continue;
            }
            let before = reuse.rule_of_name(&rule.name);
            let built = ForwardingRule::build(rule, &by_name, tls, before, &self.metrics);
            let built = built.map_err(|word| vec![unusable_rule(rule, word)])?;
            let built = built.answering(&self.challenges);
            for group in &new_groups {
                built.lead_to(group, &self.metrics);
            }
            plan.push((Arc::new(built), sockets.remove(&rule.listen)));
        }
        *self.snapshot.lock() = Snapshot {
            rules: plan.iter().map(|(rule, _)| Arc::clone(rule)).collect(),
            groups,
            rule_models: config.forwarding_rules.clone(),
            group_models,
        };
        self.limit(config);
        self.metrics.process.show_node(&config.server.name);
        self.listeners.change(plan);
        self.use_files(config);
        self.metrics.forget();
        Ok(())
    }

    /// Puts one target group in place, as it is with the addresses of names and the overrides;
    /// whatever else there is stays as it is. Who forgets the metrics of targets that left is who
    /// empties them.
    pub(super) fn apply_group(
        &self,
        config: &Config,
        group: &Arc<model::TargetGroup>,
        keep: Keep<'_>,
    ) -> Result<(), Fault> {
        let object = || Object::TargetGroup(group.name.clone());
        let prepared = self.fleet.prepare(std::slice::from_ref(group));
        let prepared = prepared.map_err(|(_, why)| unusable(object(), why))?;
        keep()?;
        let keys = &config.server.stickiness_keys;
        let built = prepared
            .first()
            .and_then(|prepared| self.fleet.rebuild(group, prepared, keys));
        let built = built.ok_or_else(|| Fault::new(object(), "is none of those that serve"))?;
        let mut snapshot = self.snapshot.lock();
        for rule in &snapshot.rules {
            rule.lead_to(&built, &self.metrics);
        }
        let mut groups = snapshot.groups.iter();
        if let Some(place) = groups.position(|known| known.name == built.name) {
            snapshot.groups[place] = built;
            snapshot.group_models[place] = Arc::clone(group);
        }
        Ok(())
    }
}

fn unusable(object: Object, why: impl std::fmt::Display) -> Fault {
    Fault::new(object, format!("cannot be used: {why}"))
}

/// A forwarding rule that a word of stands in the way.
pub(super) fn unusable_rule(rule: &model::ForwardingRule, word: String) -> Fault {
    unusable(Object::ForwardingRule(rule.name.clone()), word)
}
