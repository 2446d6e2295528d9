//! Puts a configuration in place, at its own depth: the whole of it, or one target group.
//!
//! What may fail comes first: after it everything changes, or nothing has. Forwarding rules, target
//! groups and targets that stay keep what is known of them.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::{Serving, Snapshot};
use crate::config::fault::{Fault, Object};
use crate::config::{Config, model};
use crate::forwarding_rule::{ForwardingRule, TargetGroups};
use crate::listener::Plan;

impl Serving {
    /// Puts the rules and the target groups of a configuration in place. The groups are as they are
    /// with the addresses of names and the overrides.
    pub(super) fn apply(
        &self,
        config: &Config,
        groups: &[Arc<model::TargetGroup>],
        mut sockets: HashMap<SocketAddr, TcpListener>,
    ) -> Result<(), Vec<Fault>> {
        let tls = self.all_tls(config)?;
        let groups = self.fleet.build(groups, &config.server.stickiness_keys);
        let groups =
            groups.map_err(|(name, why)| vec![unusable(Object::TargetGroup(name), why)])?;
        let by_name: TargetGroups = groups
            .iter()
            .map(|group| (group.name.to_string(), Arc::clone(group)))
            .collect();
        let before = self.snapshot().rules;
        let before: HashMap<&str, &ForwardingRule> =
            before.iter().map(|rule| (&*rule.name, &**rule)).collect();
        let mut plan = Plan::new();
        for (rule, tls) in config.forwarding_rules.iter().zip(tls) {
            let before = before.get(rule.name.as_str()).copied();
            let built = ForwardingRule::build(rule, &by_name, tls, before, &self.metrics);
            let built = built.map_err(|word| vec![unusable_rule(rule, word)])?;
            plan.push((Arc::new(built), sockets.remove(&rule.listen)));
        }
        let rules = plan.iter().map(|(rule, _)| Arc::clone(rule)).collect();
        *self.snapshot.lock() = Snapshot { rules, groups };
        self.limit(config);
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
        group: &model::TargetGroup,
    ) -> Result<(), Fault> {
        let built = self.fleet.rebuild(group, &config.server.stickiness_keys);
        let built = built.map_err(|why| unusable(Object::TargetGroup(group.name.clone()), why))?;
        let mut snapshot = self.snapshot.lock();
        for rule in &snapshot.rules {
            rule.lead_to(&built, &self.metrics);
        }
        let mut groups = snapshot.groups.iter_mut();
        if let Some(place) = groups.find(|known| known.name == built.name) {
            *place = built;
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
