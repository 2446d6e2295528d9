//! The target groups that a forwarding rule leads to: for its build, and for a change of one of
//! them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::{ForwardingRule, Routes, TargetGroups};
use crate::rules::{Action, Rules};
use crate::target_group::TargetGroup;
use crate::telemetry::metrics::{Metrics, TunnelMetrics};

/// A target group as one forwarding rule leads to it.
#[derive(Clone)]
pub(super) struct Destination {
    pub(super) group: Arc<TargetGroup>,
    /// What the tunnels from there count, by the group's targets.
    pub(super) tunnels: Arc<TunnelMetrics>,
}

impl Destination {
    fn new(forwarding_rule: &str, group: &Arc<TargetGroup>, metrics: &Metrics) -> Self {
        let targets = group.targets().map(|target| &target.address);
        let tunnels = metrics.tunnels(forwarding_rule, &group.name, targets);
        Destination {
            group: Arc::clone(group),
            tunnels: Arc::new(tunnels),
        }
    }
}

/// Those of a rule that is built: one for each group, however many HTTP rules lead there.
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

/// By the name of a target group: the places of the HTTP rules that lead there.
pub(super) fn places(rules: &Rules<Routes>) -> HashMap<Arc<str>, Vec<usize>> {
    let mut places: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
    for rule in rules.iter() {
        let Action::Forward(routes) = &rule.action else {
            continue;
        };
        for (route, _) in routes.iter() {
            let there = places.entry(Arc::clone(&route.group.name)).or_default();
            there.push(rule.index);
        }
    }
    places
}

impl ForwardingRule {
    /// From now on requests for the target group of this name go to it as it is here. Those under
    /// way keep what they have.
    pub fn lead_to(&self, group: &Arc<TargetGroup>, metrics: &Metrics) {
        let Some(places) = self.leading_to.get(&group.name) else {
            return;
        };
        let destination = Destination::new(&self.name, group, metrics);
        for place in places {
            if let Some(Action::Forward(routes)) = self.rules.at(*place).map(|rule| &rule.action) {
                routes.lead_to(&destination);
            }
        }
    }
}
