//! Objects that the API has, or those of the Gateway API, put beside the file's.

use std::sync::Arc;

use super::Serving;
use super::change::{Keep, Replacement};
use crate::config::fault::Fault;
use crate::config::model::{Certificate, Origin};
use crate::config::objects::{Others, check, check_groups, with};
use crate::config::{Config, model};

/// All that there is of an origin.
#[derive(Debug, Default)]
pub struct Objects {
    /// They may refer to those of the file, too.
    pub others: Others,
    /// The target groups that have another name than before: that, and the present one.
    pub renamed: Vec<(String, String)>,
}

/// How much of a configuration another changes.
enum Depth {
    /// Nothing.
    Nothing,
    /// These target groups.
    Groups(Vec<Arc<model::TargetGroup>>),
    /// More.
    Whole,
}

impl Serving {
    /// Serves with these objects, and no others of their origin, beside those of the file. What is
    /// decided over the admin address stays.
    ///
    /// Errors: they cannot be used, or `keep` fails. Nothing has changed then.
    pub fn put_objects(
        &self,
        origin: Origin,
        objects: Objects,
        keep: Keep<'_>,
    ) -> Result<(), Vec<Fault>> {
        let Objects { others, renamed } = objects;
        let has_names = others
            .target_groups
            .iter()
            .any(|group| !group.named.is_empty());
        if has_names {
            // Names that are new are resolved, which takes its time.
            self.names
                .learn(&with(&self.config(), origin, others.clone()));
        }
        let mut overrides = self.overrides.lock();
        let before = self.config();
        let config = Arc::new(with(&before, origin, others));
        let depth = depth(&before, &config);
        let checked = match &depth {
            // What is the same has been checked.
            Depth::Nothing => Ok(()),
            Depth::Groups(groups) => check_groups(&config, groups),
            Depth::Whole => check(&config),
        };
        let put = checked.and_then(|()| match depth {
            Depth::Nothing => keep().map_err(|fault| vec![fault]),
            Depth::Groups(groups) if groups.len() == 1 => self
                .take_group(&groups[0], Arc::clone(&config), &overrides, keep)
                .map_err(|fault| vec![fault]),
            // Endpoints of a cluster change together, and nobody keeps them.
            Depth::Groups(groups) if origin == Origin::Gateway => {
                self.take_groups(&groups, &config, &overrides)
            }
            Depth::Groups(_) | Depth::Whole => {
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

/// How deep the difference of two configurations is that have all but their objects in common.
fn depth(before: &Config, now: &Config) -> Depth {
    let rules = before.forwarding_rules.iter().zip(&now.forwarding_rules);
    let groups = || before.target_groups.iter().zip(&now.target_groups);
    let has_others = !has_same(&before.certificates, &now.certificates)
        || before.forwarding_rules.len() != now.forwarding_rules.len()
        || before.target_groups.len() != now.target_groups.len()
        || groups().any(|(before, now)| before.name != now.name);
    if has_others
        || rules
            .into_iter()
            .any(|(before, now)| !Arc::ptr_eq(before, now))
    {
        return Depth::Whole;
    }
    let changed = groups().filter(|(before, now)| !Arc::ptr_eq(before, now));
    let changed: Vec<_> = changed.map(|(_, now)| Arc::clone(now)).collect();
    match changed.is_empty() {
        true => Depth::Nothing,
        false => Depth::Groups(changed),
    }
}

/// Whether these are the same certificates, shown for the same names.
pub(super) fn has_same(before: &[Certificate], now: &[Certificate]) -> bool {
    let is_same = |before: &Certificate, now: &Certificate| {
        before.name == now.name && Arc::ptr_eq(&before.key, &now.key) && before.names == now.names
    };
    let mut pairs = before.iter().zip(now);
    before.len() == now.len() && pairs.all(|(before, now)| is_same(before, now))
}
