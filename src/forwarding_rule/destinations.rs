//! The target groups that a forwarding rule leads to: for its build, and for a change of one of
//! them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use crate::target_group::TargetGroup;
use crate::telemetry::metrics::{Metrics, MirrorMetrics, TunnelMetrics};

/// The target groups of a configuration, by name: for the build only.
pub type TargetGroups = HashMap<String, Arc<TargetGroup>>;

/// A target group as one forwarding rule leads to it.
#[derive(Clone)]
pub(super) struct Destination {
    pub(super) group: Arc<TargetGroup>,
    /// What the tunnels from there count, by the group's targets.
    pub(super) tunnels: Arc<TunnelMetrics>,
}

impl Destination {
    pub(super) fn new(forwarding_rule: &str, group: &Arc<TargetGroup>, metrics: &Metrics) -> Self {
        let targets = group.targets().map(|target| &target.address);
        let tunnels = metrics.tunnels(forwarding_rule, &group.name, targets);
        Destination {
            group: Arc::clone(group),
            tunnels: Arc::new(tunnels),
        }
    }
}

/// The destinations of a rule that is built: one for each group, however many HTTP rules lead
/// there.
pub(super) struct Destinations<'a> {
    forwarding_rule: &'a str,
    groups: &'a TargetGroups,
    metrics: &'a Metrics,
    known: RefCell<HashMap<String, Destination>>,
}

impl<'a> Destinations<'a> {
    pub(super) fn new(rule: &'a str, groups: &'a TargetGroups, metrics: &'a Metrics) -> Self {
        Destinations {
            forwarding_rule: rule,
            groups,
            metrics,
            known: RefCell::default(),
        }
    }

    /// What the copies of requests count that go to this group.
    pub(super) fn mirrored(&self, group: &str) -> Arc<MirrorMetrics> {
        self.metrics.mirror(self.forwarding_rule, group)
    }

    /// `None` where there is no such group.
    pub(super) fn of(&self, group: &str) -> Option<Destination> {
        if let Some(known) = self.known.borrow().get(group) {
            return Some(known.clone());
        }
        let built = self.groups.get(group)?;
        let destination = Destination::new(self.forwarding_rule, built, self.metrics);
        let known = (group.to_owned(), destination.clone());
        self.known.borrow_mut().extend([known]);
        Some(destination)
    }
}
