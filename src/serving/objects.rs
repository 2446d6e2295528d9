//! Target groups and forwarding rules that the API has, put beside the file's.

use std::sync::Arc;

use super::Serving;
use super::change::{Keep, Replacement};
use crate::config::fault::Fault;
use crate::config::objects::{beside, check};
use crate::config::{Config, model};

/// All that the API has.
#[derive(Debug, Default)]
pub struct Objects {
    /// Its target groups.
    pub target_groups: Vec<Arc<model::TargetGroup>>,
    /// Its forwarding rules, which may lead to groups of the file, too.
    pub forwarding_rules: Vec<Arc<model::ForwardingRule>>,
    /// The target groups that have another name than before: that, and the present one.
    pub renamed: Vec<(String, String)>,
}

/// How much of a configuration another changes.
enum Depth {
    /// Nothing.
    Nothing,
    /// One target group.
    Group(Arc<model::TargetGroup>),
    /// More.
    Whole,
}

impl Serving {
    /// Serves with these objects, and no others from the API, beside those of the file. What is
    /// decided over the admin address stays.
    ///
    /// Errors: they cannot be used, or `keep` fails. Nothing has changed then.
    pub fn put_objects(&self, objects: Objects, keep: Keep<'_>) -> Result<(), Vec<Fault>> {
        let Objects {
            target_groups,
            forwarding_rules,
            renamed,
        } = objects;
        let has_names = target_groups.iter().any(|group| !group.named.is_empty());
        if has_names {
            // Names that are new are resolved, which takes its time.
            let (groups, rules) = (target_groups.clone(), forwarding_rules.clone());
            self.names.learn(&beside(&self.config(), groups, rules));
        }
        let mut overrides = self.overrides.lock();
        let before = self.config();
        let config = Arc::new(beside(&before, target_groups, forwarding_rules));
        let put = check(&config).and_then(|()| match depth(&before, &config) {
            Depth::Nothing => keep().map_err(|fault| vec![fault]),
            Depth::Group(group) => self
                .take_group(&group, Arc::clone(&config), &overrides, keep)
                .map_err(|fault| vec![fault]),
            Depth::Whole => {
                let replacement = Replacement {
                    before: &before,
                    config: &config,
                    renamed: &renamed,
                    ends_overrides: false,
                };
                self.replace(replacement, &mut overrides, keep)
            }
        });
        if has_names {
            // What came of it or not, no other names are kept than those that serve.
            self.names.keep(&self.config());
        }
        put
    }
}

/// What the API has in a configuration.
pub(super) fn groups_of_api(config: &Config) -> Vec<Arc<model::TargetGroup>> {
    let groups = config.target_groups.iter();
    let of_api = groups.filter(|group| group.source != model::Source::File);
    of_api.cloned().collect()
}

/// What the API has in a configuration.
pub(super) fn rules_of_api(config: &Config) -> Vec<Arc<model::ForwardingRule>> {
    let rules = config.forwarding_rules.iter();
    let of_api = rules.filter(|rule| rule.source != model::Source::File);
    of_api.cloned().collect()
}

/// How deep the difference of two configurations is that have all but their objects in common.
fn depth(before: &Config, now: &Config) -> Depth {
    let rules = before.forwarding_rules.iter().zip(&now.forwarding_rules);
    let groups = || before.target_groups.iter().zip(&now.target_groups);
    let has_others = before.forwarding_rules.len() != now.forwarding_rules.len()
        || before.target_groups.len() != now.target_groups.len()
        || groups().any(|(before, now)| before.name != now.name);
    if has_others
        || rules
            .into_iter()
            .any(|(before, now)| !Arc::ptr_eq(before, now))
    {
        return Depth::Whole;
    }
    let mut changed = groups().filter(|(before, now)| !Arc::ptr_eq(before, now));
    match (changed.next(), changed.next()) {
        (None, _) => Depth::Nothing,
        (Some((_, group)), None) => Depth::Group(Arc::clone(group)),
        (Some(_), Some(_)) => Depth::Whole,
    }
}
