//! What a configuration has in common with the one before: it is not built again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Snapshot;
use super::objects::has_same;
use crate::config::{Config, model};
use crate::forwarding_rule::ForwardingRule;
use crate::target_group::TargetGroup;

/// What was built before, and can be used again.
pub(super) struct Reuse<'a> {
    rules: HashMap<*const model::ForwardingRule, &'a Arc<ForwardingRule>>,
    groups: HashMap<*const model::TargetGroup, &'a Arc<TargetGroup>>,
    /// The groups that can be used again.
    known: HashSet<*const TargetGroup>,
    by_name: HashMap<&'a str, &'a ForwardingRule>,
}

impl<'a> Reuse<'a> {
    /// What can be used again of what was built, for a configuration in the place of the one
    /// before.
    pub(super) fn of(built: &'a Snapshot, before: &Config, now: &Config) -> Self {
        let rules = built.rule_models.iter().zip(&built.rules);
        let has_same_certificates = has_same(&before.certificates, &now.certificates);
        let stays = |model: &model::ForwardingRule| model.tls.is_none() || has_same_certificates;
        let groups = built.group_models.iter().zip(&built.groups);
        let has_same_keys = before.server.stickiness_keys == now.server.stickiness_keys;
        let groups: HashMap<_, _> = groups
            .filter(|_| has_same_keys)
            .map(|(model, group)| (Arc::as_ptr(model), group))
            .collect();
        Reuse {
            known: groups.values().map(|group| Arc::as_ptr(group)).collect(),
            rules: rules
                .filter(|(model, _)| stays(model))
                .map(|(model, rule)| (Arc::as_ptr(model), rule))
                .collect(),
            groups,
            by_name: built
                .rules
                .iter()
                .map(|rule| (&*rule.name, &**rule))
                .collect(),
        }
    }

    /// The rule that was built from this.
    pub(super) fn rule(
        &self,
        model: &Arc<model::ForwardingRule>,
    ) -> Option<&'a Arc<ForwardingRule>> {
        self.rules.get(&Arc::as_ptr(model)).copied()
    }

    /// The rule that had this name.
    pub(super) fn rule_of_name(&self, name: &str) -> Option<&'a ForwardingRule> {
        self.by_name.get(name).copied()
    }

    /// The target group that was built from this.
    pub(super) fn group(&self, model: &Arc<model::TargetGroup>) -> Option<Arc<TargetGroup>> {
        self.groups
            .get(&Arc::as_ptr(model))
            .map(|group| Arc::clone(group))
    }

    /// Whether a target group is one that was built before.
    pub(super) fn has(&self, group: &Arc<TargetGroup>) -> bool {
        self.known.contains(&Arc::as_ptr(group))
    }
}
