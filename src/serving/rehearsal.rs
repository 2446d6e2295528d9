//! What a reload would change, in words, without changing anything; and the same words for one that
//! is done.

use std::collections::HashMap;

use super::change::Changes;
use super::trial;
use super::{Serving, problems};
use crate::config::difference::{self, Tunnels};
use crate::config::objects::check;
use crate::config::problem::Problems;
use crate::config::{self, Config, Loaded};
use crate::os::reserve;
use crate::target_address::TargetAddress;

/// How many files are open at once while a configuration is read.
const FILES_OF_A_CONFIGURATION: usize = 8;
/// How many changes are told.
const MOST_CHANGES: usize = 500;

impl Serving {
    /// What a reload would change now. Errors: why it would be refused, a problem a line.
    pub fn rehearse(&self) -> Result<Changes, String> {
        let _lent = reserve::lend(FILES_OF_A_CONFIGURATION);
        let Some(path) = &self.path else {
            return Err("there is no configuration file".to_owned());
        };
        let file = path.display().to_string();
        let Loaded { config, warnings } = config::load(path).map_err(|all| all.to_string())?;
        let before = self.config();
        let (config, stays) = self.beside_the_others(&before, config);
        let mut faults = check(&config).err().unwrap_or_default();
        let control = self.control().map(|listener| listener.address());
        let control: Vec<_> = control.collect();
        let trial = trial::addresses(&config, |address| {
            let is_it =
                |one: &_| matches!(one, config::model::ListenAddress::Tcp(a) if a == address);
            self.listeners.has(address) || control.iter().any(is_it)
        });
        faults.extend(trial.faults);
        if config.access_log.path != before.access_log.path {
            faults.extend(trial::folders(&config));
        }
        if !faults.is_empty() {
            let problems = problems(faults, &config, true);
            return Err(Problems { file, problems }.to_string());
        }
        let told = warnings.iter().map(|warning| warning.as_warning(&file));
        let busy = trial
            .told
            .into_iter()
            .map(|line| format!("{file}: warning: {line}"));
        Ok(Changes {
            warnings: told.chain(busy).chain(stays).collect(),
            changes: self.changes(&before, &config),
        })
    }

    /// What is different in a configuration, with the tunnels that it is about.
    pub(super) fn changes(&self, before: &Config, now: &Config) -> Vec<String> {
        let changes = difference::between(before, now);
        let is_about_tunnels = |change: &difference::Change| change.tunnels != Tunnels::None;
        let open = changes.iter().any(is_about_tunnels).then(|| self.open());
        let told = changes.iter().take(MOST_CHANGES).map(|change| {
            let about = open.as_ref().and_then(|open| open.about(&change.tunnels));
            match about {
                Some(about) => format!("{change}; {about}"),
                None => change.to_string(),
            }
        });
        let mut told: Vec<String> = told.collect();
        if changes.len() > MOST_CHANGES {
            told.push(format!("and {} changes more", changes.len() - MOST_CHANGES));
        }
        told
    }

    fn open(&self) -> Open {
        let mut open = Open::default();
        self.drain.tunnels.for_each(
            |_| true,
            |tunnel| {
                let identity = &tunnel.identity;
                *open
                    .of
                    .entry(identity.forwarding_rule.to_string())
                    .or_default() += 1;
                let to = (identity.target_group.to_string(), identity.target.clone());
                *open.to.entry(to).or_default() += 1;
            },
        );
        open
    }
}

/// How many tunnels are open.
#[derive(Default)]
struct Open {
    of: HashMap<String, usize>,
    to: HashMap<(String, TargetAddress), usize>,
}

impl Open {
    fn about(&self, tunnels: &Tunnels) -> Option<String> {
        let told = |count: Option<&usize>, verb: &str| match count.copied() {
            None | Some(0) => None,
            Some(1) => Some(format!("1 open tunnel {verb}s")),
            Some(count) => Some(format!("{count} open tunnels {verb}")),
        };
        match tunnels {
            Tunnels::None => None,
            Tunnels::Of(rule) => told(self.of.get(rule), "stay"),
            Tunnels::To(group, target, how) => {
                let to = (group.clone(), target.clone());
                Some(format!("{}, {how}", told(self.to.get(&to), "end")?))
            }
        }
    }
}
