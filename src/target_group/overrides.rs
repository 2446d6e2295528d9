//! What an operator has decided about single targets, over the configuration: until the next one is
//! applied.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::config::model;
use crate::target_address::TargetAddress;

/// What differs from the configuration.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// Whether the target takes nothing new.
    pub maintenance: Option<bool>,
    /// Whether its tunnels are ended, too; it takes nothing new then.
    pub drain: Option<bool>,
    /// Its weight.
    pub weight: Option<u16>,
}

/// What to change of an override: `Some(None)` goes back to the configuration.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// See [`Override::maintenance`]. `false` ends the drain, too.
    pub maintenance: Option<Option<bool>>,
    /// See [`Override::drain`].
    pub drain: Option<Option<bool>>,
    /// See [`Override::weight`].
    pub weight: Option<Option<u16>>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = self.weight.map(|weight| weight.map(u64::from));
        let yes_or_no = |value: Option<Option<bool>>| value.map(|value| value.map(u64::from));
        let all = [
            ("maintenance", yes_or_no(self.maintenance)),
            ("drain", yes_or_no(self.drain)),
            ("weight", weight),
        ];
        let mut words = all
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        words.try_for_each(|(name, value)| match value {
            Some(value) => write!(f, "{name} {value} "),
            None => write!(f, "{name} as configured "),
        })
    }
}

/// The overrides of all targets, by group and address. No group is without one.
#[derive(Debug, Default, Clone)]
pub struct Overrides(BTreeMap<String, BTreeMap<TargetAddress, Override>>);

impl Overrides {
    /// How many targets are not as the configuration says.
    pub fn count(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// The override of a target, if there is one.
    pub fn of(&self, group: &str, target: &TargetAddress) -> Option<Override> {
        self.0.get(group)?.get(target).copied()
    }

    /// Changes what is decided about a target.
    pub fn change(&mut self, group: &str, target: &TargetAddress, change: Change) {
        let decided = self.0.entry(group.to_owned()).or_default();
        let mut now = decided.remove(target).unwrap_or_default();
        now.maintenance = change.maintenance.unwrap_or(now.maintenance);
        now.drain = change.drain.unwrap_or(now.drain);
        now.weight = change.weight.unwrap_or(now.weight);
        if change.maintenance == Some(Some(false)) && change.drain.is_none() {
            now.drain = Some(false);
        }
        if now != Override::default() {
            decided.insert(target.clone(), now);
        }
        if decided.is_empty() {
            self.0.remove(group);
        }
    }

    /// From now on what is decided about the targets of a group of one name is for the other.
    pub fn rename(&mut self, names: &[(String, String)]) {
        let taken = names.iter().map(|(before, now)| {
            let decided = self.0.remove(before);
            decided.map(|decided| (now.clone(), decided))
        });
        let taken: Vec<_> = taken.collect();
        self.0.extend(taken.into_iter().flatten());
    }

    /// Forgets what is decided about targets that these groups do not have.
    pub fn retain(&mut self, groups: &[Arc<model::TargetGroup>]) {
        self.0.retain(|name, decided| {
            let Some(group) = groups.iter().find(|group| group.name == *name) else {
                return false;
            };
            let has = |address: &TargetAddress| {
                group
                    .targets
                    .iter()
                    .any(|target| target.address == *address)
            };
            decided.retain(|address, _| has(address));
            !decided.is_empty()
        });
    }

    /// The target groups of a configuration as they are with the overrides.
    pub fn applied_to_all(
        &self,
        groups: &[Arc<model::TargetGroup>],
    ) -> Vec<Arc<model::TargetGroup>> {
        groups.iter().map(|group| self.applied_to(group)).collect()
    }

    /// A target group as it is with the overrides.
    pub fn applied_to(&self, group: &Arc<model::TargetGroup>) -> Arc<model::TargetGroup> {
        let Some(decided) = self.0.get(&group.name) else {
            return Arc::clone(group);
        };
        let mut group = model::TargetGroup::clone(group);
        for target in &mut group.targets {
            if let Some(decided) = decided.get(&target.address) {
                decided.apply_to(target);
            }
        }
        Arc::new(group)
    }
}

impl Override {
    fn apply_to(self, target: &mut model::Target) {
        target.weight = self.weight.unwrap_or(target.weight);
        target.maintenance_drain = self.drain.unwrap_or(target.maintenance_drain);
        target.maintenance_enabled = self.maintenance.unwrap_or(target.maintenance_enabled);
        target.maintenance_enabled |= self.drain == Some(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YES: Option<Option<bool>> = Some(Some(true));
    const NO: Option<Option<bool>> = Some(Some(false));

    /// Maintenance, drain and weight of a target with these in the configuration, after the
    /// changes.
    fn after(configured: (bool, bool, u16), changes: &[Change]) -> (bool, bool, u16) {
        let address: TargetAddress = "192.0.2.1:80".parse().unwrap();
        let mut overrides = Overrides::default();
        for change in changes {
            overrides.change("g", &address, *change);
        }
        let mut target = model::Target {
            address: address.clone(),
            weight: configured.2,
            health_check_enabled: true,
            maintenance_enabled: configured.0,
            maintenance_drain: configured.1,
            proxy_protocol: None,

            max_connections: None,
            host: None,

            health_check_port: None,
        };
        if let Some(decided) = overrides.of("g", &address) {
            decided.apply_to(&mut target);
        }
        (
            target.maintenance_enabled,
            target.maintenance_drain,
            target.weight,
        )
    }

    fn change(maintenance: Option<Option<bool>>, drain: Option<Option<bool>>) -> Change {
        let weight = None;
        Change {
            maintenance,
            drain,
            weight,
        }
    }

    #[test]
    fn changes_add_up_and_null_goes_back_to_the_configuration() {
        let weight = |weight| Change {
            weight: Some(weight),
            ..Change::default()
        };
        let back = Some(None);
        let plain = (false, false, 1);
        for (configured, changes, expected) in [
            (plain, &[change(YES, None)][..], (true, false, 1)),
            (plain, &[change(None, YES)], (true, true, 1)),
            (
                plain,
                &[change(YES, None), weight(Some(7))],
                (true, false, 7),
            ),
            (
                plain,
                &[change(None, YES), change(NO, None)],
                (false, false, 1),
            ),
            (plain, &[change(None, YES), change(None, back)], plain),
            (plain, &[weight(Some(7)), weight(None)], plain),
            ((true, true, 3), &[change(NO, None)], (false, false, 3)),
            ((true, true, 3), &[change(None, NO)], (true, false, 3)),
        ] {
            assert_eq!(after(configured, changes), expected, "{changes:?}");
        }
    }
}
