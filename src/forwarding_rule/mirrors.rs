//! Where copies of a rule's requests go: target groups, each for a share of all requests.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::destinations::{Destination, Destinations};
use crate::config::model;
use crate::target_group::TargetGroup;
use crate::telemetry::metrics::MirrorMetrics;

/// Where copies of a rule's requests go.
pub struct Mirrors(Box<[Mirror]>);

/// One target group that gets copies.
pub struct Mirror {
    group: ArcSwap<TargetGroup>,
    share: f64,
    /// What becomes of them.
    pub metrics: Arc<MirrorMetrics>,
}

impl Mirrors {
    /// `None` where a target group is not there.
    pub(super) fn build(
        mirrors: &[model::Mirror],
        destinations: &Destinations<'_>,
    ) -> Option<Option<Arc<Self>>> {
        if mirrors.is_empty() {
            return Some(None);
        }
        let mirror = |mirror: &model::Mirror| {
            let destination = destinations.of(&mirror.target_group)?;
            Some(Mirror {
                group: ArcSwap::new(destination.group),
                share: f64::from(mirror.numerator) / f64::from(mirror.denominator),
                metrics: destinations.mirrored(&mirror.target_group),
            })
        };
        let mirrors: Option<_> = mirrors.iter().map(mirror).collect();
        Some(Some(Arc::new(Mirrors(mirrors?))))
    }

    /// Those that get a copy of the next request; `chance` draws a number from 0 up to, but not, 1.
    pub fn taking(&self, chance: impl Fn() -> f64) -> impl Iterator<Item = &Mirror> {
        self.0.iter().filter(move |mirror| chance() < mirror.share)
    }

    /// The names of the target groups.
    pub(super) fn names(&self) -> impl Iterator<Item = Arc<str>> {
        let groups = self.0.iter().map(|mirror| mirror.group.load());
        groups.map(|group| Arc::clone(&group.name))
    }

    /// From now on copies for the group of this name go to it as it is here.
    pub(super) fn lead_to(&self, destination: &Destination) {
        for mirror in &self.0 {
            if mirror.group.load().name == destination.group.name {
                mirror.group.store(Arc::clone(&destination.group));
            }
        }
    }
}

impl Mirror {
    /// The target group, as it is now.
    pub fn group(&self) -> Arc<TargetGroup> {
        self.group.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ForwardingRule, TargetGroups};
    use super::*;
    use crate::config::{self, secret_key::SecretKey};
    use crate::target_group::Fleet;
    use crate::telemetry::metrics::Metrics;

    const FILE: &str = "forwardingRules:
- name: edge
  protocol: HTTP
  listenerIp: 127.0.0.1
  listenerPort: 80
  httpRules:
  - {name: all, type: FORWARD, targetGroup: a, mirrors: [{targetGroup: b}]}
targetGroups:
- {name: a, algorithm: RANDOM, protocol: HTTP, targets: [{ip: 10.0.0.1, port: 80}]}
- {name: b, algorithm: RANDOM, protocol: HTTP, targets: [{ip: 10.0.0.2, port: 80}]}";

    fn groups(text: &str, metrics: &Arc<Metrics>) -> TargetGroups {
        let config = config::parse("edge.yaml", text).unwrap().config;
        let fleet = Fleet::new(Arc::clone(metrics), SecretKey::random().unwrap());
        let built = fleet.prepare_and_build(&config.target_groups, &[]).unwrap();
        let named = built
            .into_iter()
            .map(|group| (group.name.to_string(), group));
        named.collect()
    }

    #[tokio::test]
    async fn copies_go_to_a_group_as_it_is_now() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let before = groups(FILE, &metrics);
        let config = config::parse("edge.yaml", FILE).unwrap().config;
        let rule = &config.forwarding_rules[0];
        let rule = ForwardingRule::build(rule, &before, None, None, &metrics).unwrap();
        let crate::rules::Action::Forward(routes) = &rule.rules.at(0).unwrap().action else {
            panic!("it forwards");
        };
        let route = routes.only().unwrap();
        let mirrors = route.mirrors.as_ref().unwrap();
        let group = || mirrors.taking(|| 0.5).next().unwrap().group();
        assert!(Arc::ptr_eq(&group(), &before["b"]));
        let now = &groups(&FILE.replace("10.0.0.2", "10.0.0.3"), &metrics)["b"];
        rule.lead_to(now, &metrics);
        assert!(Arc::ptr_eq(&group(), now));
    }
}
