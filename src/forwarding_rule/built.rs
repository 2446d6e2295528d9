//! What was built of HTTP rules: one that stays the same object is not built again.

use std::collections::HashMap;
use std::ptr;
use std::sync::Arc;

use super::route::Routes;
use crate::config::model::{self, HttpRule};
use crate::rules::{Action, Response, Rule, Rules};
use crate::telemetry::metrics::{CodeCounters, Metrics};

/// What belongs to an HTTP rule at its place in the order of evaluation.
pub(super) struct Built {
    /// Of what it was built: as long as this is there, nothing else has its address.
    model: Arc<HttpRule>,
    pub(super) counters: Arc<CodeCounters>,
}

/// What was built before, if anything was.
#[derive(Default)]
pub(super) struct Known<'a> {
    before: Option<(&'a Rules<Routes>, &'a [Built])>,
    /// The places of HTTP rules.
    places: HashMap<*const (), usize>,
}

impl<'a> Known<'a> {
    /// What a forwarding rule has that is to be replaced by one of the same name.
    pub(super) fn of(rules: &'a Rules<Routes>, built: &'a [Built]) -> Self {
        let places = built.iter().enumerate();
        let places = places.map(|(place, built)| (address(&built.model), place));
        Known {
            before: Some((rules, built)),
            places: places.collect(),
        }
    }

    /// The ways that were built of this.
    pub(super) fn routes(&self, forward: &model::Forward) -> Option<Routes> {
        let place = self.places.get(&ptr::from_ref(forward).cast())?;
        match &self.before?.0.at(*place)?.action {
            Action::Forward(routes) => Some(routes.clone()),
            Action::Respond(_) => None,
        }
    }

    /// What belongs to these HTTP rules, which were built of these models, of the forwarding rule
    /// of this name.
    pub(super) fn built(
        &self,
        name: &str,
        models: Vec<Arc<HttpRule>>,
        rules: &Rules<Routes>,
        metrics: &Metrics,
    ) -> Vec<Built> {
        let mut new = 0;
        let pairs = models.into_iter().zip(rules.iter());
        let built = pairs.map(|(model, rule)| {
            let known = self.counters(&model);
            new += u64::from(known.is_none());
            let counters = known.unwrap_or_else(|| counters(name, rule, metrics));
            Built { model, counters }
        });
        let built = built.collect();
        metrics.built_http_rules(new);
        built
    }

    fn counters(&self, model: &HttpRule) -> Option<Arc<CodeCounters>> {
        let place = self.places.get(&address(model))?;
        let built = self.before?.1.get(*place)?;
        Some(Arc::clone(&built.counters))
    }
}

/// Where a rule is, or where it says to which groups it leads.
fn address(rule: &HttpRule) -> *const () {
    match &rule.action {
        model::Action::Forward(forward) => ptr::from_ref(forward).cast(),
        model::Action::Redirect(_) | model::Action::Static { .. } => ptr::from_ref(rule).cast(),
    }
}

fn counters(name: &str, rule: &Rule<Routes>, metrics: &Metrics) -> Arc<CodeCounters> {
    let counters = metrics.http_rule(name, &rule.name);
    if let Some(status) = known_status(&rule.action) {
        counters.expect(status);
    }
    counters
}

fn known_status<G>(action: &Action<G>) -> Option<u16> {
    match action {
        Action::Forward(_) => None,
        Action::Respond(Response::Redirect(redirect)) => Some(redirect.status.as_u16()),
        Action::Respond(Response::Static(answer)) => Some(answer.status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::config::{self, secret_key::SecretKey};
    use crate::forwarding_rule::{ForwardingRule, TargetGroups};
    use crate::target_group::Fleet;

    const FILE: &str = "forwardingRules:
- name: edge
  protocol: HTTP
  listenerIp: 127.0.0.1
  listenerPort: 80
  httpRules:
  - {name: a, type: FORWARD, targetGroup: a}
  - {name: b, type: FORWARD, targetGroup: b, mirrors: [{targetGroup: a}]}
  - {name: both, type: FORWARD, targetGroups: [{name: a, weight: 1}, {name: b, weight: 2}]}
  - {name: gone, type: STATIC, statusCode: 410, responseMessage: gone}
  - {name: away, type: REDIRECT, location: 'https://example.com/'}
targetGroups:
- {name: a, algorithm: RANDOM, protocol: HTTP, targets: [{ip: 10.0.0.1, port: 80}]}
- {name: b, algorithm: RANDOM, protocol: HTTP, targets: [{ip: 10.0.0.1, port: 80}]}";

    /// A step: which HTTP rules there are, which of them are new objects, whether they are in
    /// order, and how many targets the groups have.
    type Step = (Vec<(usize, bool)>, bool, [u8; 2]);

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let rules = vec((0..5_usize, any::<bool>()), 0..6);
        vec((rules, any::<bool>(), [1..3_u8, 1..3]), 1..8)
    }

    fn groups(metrics: &Arc<Metrics>, counts: [u8; 2]) -> TargetGroups {
        let config = config::parse("edge.yaml", FILE).unwrap().config;
        let fleet = Fleet::new(Arc::clone(metrics), SecretKey::random().unwrap());
        let models = config
            .target_groups
            .iter()
            .zip(counts)
            .map(|(group, count)| {
                let mut group = model::TargetGroup::clone(group);
                let target = group.targets.remove(0);
                group.targets = (0..count)
                    .map(|last| {
                        let mut target = target.clone();
                        target.address =
                            SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), 80)).into();
                        target
                    })
                    .collect();
                Arc::new(group)
            });
        let built = fleet
            .prepare_and_build(&models.collect::<Vec<_>>(), &[])
            .unwrap();
        let named = built.into_iter().map(|one| (one.name.to_string(), one));
        named.collect()
    }

    /// All that can be told of where its HTTP rules lead.
    fn told(rule: &ForwardingRule, metrics: &Metrics) -> Vec<String> {
        let one = |built: &Rule<Routes>| {
            let led_to = match &built.action {
                Action::Respond(answer) => format!("{answer:?}"),
                Action::Forward(routes) => {
                    let ways = routes.iter().map(|(route, weight)| {
                        let group = &route.group;
                        let mirrors = route.mirrors.as_ref().map(|mirrors| {
                            let mut taking = mirrors.taking(|| 0.0);
                            taking.next().map(|one| one.group().targets().count())
                        });
                        format!(
                            "{} {} {weight} {mirrors:?}",
                            group.name,
                            group.targets().count()
                        )
                    });
                    ways.collect::<Vec<_>>().join(", ")
                }
            };
            let counters = metrics.http_rule("edge", &built.name);
            let counts = Arc::ptr_eq(rule.http_rule(built.index).unwrap(), &counters);
            format!("{} {} {led_to} {counts}", built.index, built.name)
        };
        rule.rules.iter().map(one).collect()
    }

    proptest! {
        #[test]
        fn a_rule_built_upon_another_is_like_one_built_at_once(steps in steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _guard = runtime.enter();
            let metrics = Arc::new(Metrics::new().unwrap());
            let config = config::parse("edge.yaml", FILE).unwrap().config;
            let mut models = config.forwarding_rules[0].http_rules.clone();
            let mut before: Option<ForwardingRule> = None;
            for (places, in_order, counts) in steps {
                let groups = groups(&metrics, counts);
                let mut rule = model::ForwardingRule::clone(&config.forwarding_rules[0]);
                rule.in_order = in_order;
                rule.http_rules.clear();
                for (place, is_new) in places {
                    if is_new {
                        models[place] = Arc::new(HttpRule::clone(&models[place]));
                    }
                    if !rule.http_rules.iter().any(|one| one.name == models[place].name) {
                        rule.http_rules.push(Arc::clone(&models[place]));
                    }
                }
                let build = |before: Option<&ForwardingRule>| {
                    ForwardingRule::build(&rule, &groups, None, before, &metrics).unwrap()
                };
                let upon = build(before.as_ref());
                groups.values().for_each(|group| upon.lead_to(group, &metrics));
                prop_assert_eq!(told(&upon, &metrics), told(&build(None), &metrics));
                before = Some(upon);
            }
        }
    }
}
