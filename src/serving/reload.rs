//! A reload: the configuration is read again, and the whole of it put in place, or nothing.

use std::sync::Arc;
use std::time::SystemTime;

use super::change::{Changes, Keep, New, Replacement};
use super::shared_keys::stay_shared;
use super::sockets::{NewSockets, Present};
use super::style::style;
use super::{Reload, Serving, both, output, problems};
use crate::config::fault::{Fault, Object};
use crate::config::objects::{check, with_others_of};
use crate::config::problem::Problem;
use crate::config::{self, Config, Loaded, model};
use crate::listener::Sockets;
use crate::target_group::Overrides;
use crate::telemetry::diagnostics;

/// How many changes the diagnostics have of one reload.
const LOGGED_CHANGES: usize = 20;
const UNTIL_ANOTHER: &str = "stays as it is until a new process takes over";

impl Serving {
    /// Reads the configuration again and applies it, or says in the diagnostics, and in the error,
    /// why not.
    pub fn reload(&self) -> Result<(), String> {
        let result = self.try_reload();
        self.metrics.process.reloaded(result.is_ok());
        let problems = result.as_ref().err().map_or("", String::as_str);
        *self.last_reload.lock() = Some(Reload {
            at: SystemTime::now(),
            problems: problems.lines().map(str::to_owned).collect(),
            changes: result.as_ref().ok().cloned().unwrap_or_default(),
        });
        match &result {
            Ok(Changes { changes, .. }) => {
                for line in changes.iter().take(LOGGED_CHANGES) {
                    log::info!("reload: {line}");
                }
                if changes.len() > LOGGED_CHANGES {
                    let more = changes.len() - LOGGED_CHANGES;
                    log::info!("reload: and {more} changes more");
                }
                log::info!("reload: the configuration is applied");
            }
            Err(problems) => {
                for line in problems.lines() {
                    log::error!("reload: {line}");
                }
                log::error!("reload: the configuration is rejected, nothing has changed");
            }
        }
        result.map(drop)
    }

    fn try_reload(&self) -> Result<Changes, String> {
        let Some(path) = &self.path else {
            return Err("there is no configuration file".to_owned());
        };
        let name = path.display().to_string();
        let Loaded {
            mut config,
            warnings,
        } = config::load(path).map_err(|all| all.to_string())?;
        for warning in &warnings {
            log::warn!("reload: {}", warning.as_warning(&name));
        }
        let before = self.config();
        for fault in config::renewal::keep_unexpired(&before, &mut config) {
            log::error!("reload: {fault}");
        }
        self.names.learn(&config);
        let applied = self.take_file(config);
        self.names.keep(&self.config());
        let mut changes =
            applied.map_err(|problems| config::located(path, problems).to_string())?;
        let warnings = warnings.iter().map(|warning| warning.as_warning(&name));
        changes.warnings.splice(0..0, warnings);
        Ok(changes)
    }

    /// What the file says, beside what the API and the cluster have; and what stays all the same,
    /// in words.
    pub(super) fn beside_the_others(
        &self,
        before: &Config,
        mut file: Config,
    ) -> (Config, Vec<String>) {
        let api = stay_with_api(before, &mut file);
        let cluster = stay_with_cluster(before, &mut file);
        stay_shared(before, &mut file);
        let mut config = with_others_of(before, file);
        config::renewal::show_to_targets(&mut config);
        let mut stays: Vec<String> = api.into_iter().chain(cluster).collect();
        stays.extend(self.what_stays(before, &config));
        (config, stays)
    }

    /// Puts what the file says in place, beside what the API has.
    fn take_file(&self, file: Config) -> Result<Changes, Vec<Problem>> {
        let mut overrides = self.overrides.lock();
        let before = self.config();
        let (config, warnings) = self.beside_the_others(&before, file);
        check(&config).map_err(|faults| problems(faults, &config, true))?;
        let config = Arc::new(config);
        let changes = self.changes(&before, &config);
        let replacement = Replacement {
            before: &before,
            config: &config,
            renamed: &[],
            ends_overrides: true,
        };
        let replaced = self.replace(replacement, &mut overrides, &mut || Ok(()));
        replaced.map_err(|faults| problems(faults, &config, true))?;
        for line in &warnings {
            log::warn!("reload: {line}");
        }
        Ok(Changes { warnings, changes })
    }

    /// Puts another configuration in the place of the present one, whichever source made it.
    pub(super) fn replace(
        &self,
        replacement: Replacement<'_>,
        overrides: &mut Overrides,
        keep: Keep<'_>,
    ) -> Result<(), Vec<Fault>> {
        let Replacement {
            before,
            config,
            renamed,
            ends_overrides,
        } = replacement;
        let present = Present {
            admin: &self.admin,
            api: self.api.as_ref(),
            listeners: &self.listeners,
        };
        let new = NewSockets::listen(config, Some(present), &mut Sockets::default());
        let moves = config.access_log.path != before.access_log.path;
        let output = moves.then(|| output(config)).transpose();
        let (new, output) = both(new, output)?;
        let groups = self.names.expand_all(&config.target_groups);
        let mut decided = Overrides::default();
        if !ends_overrides {
            decided.clone_from(overrides);
            decided.rename(renamed);
            decided.retain(&groups);
        }
        let with_overrides = decided.applied_to_all(&groups);
        let applied = New {
            config,
            groups: &with_overrides,
            renamed,
            sockets: new.listeners,
        };
        self.apply(applied, keep)?;
        self.rename(renamed);
        self.move_control(config, new.admin, new.api);
        if let Some(output) = output {
            self.log.switch(output);
        }
        self.log.restyle(style(config));
        if ends_overrides || config.server.log_level != before.server.log_level {
            diagnostics::set_level(config.server.log_level);
        }
        self.evict(config, &self.target_groups(), &with_overrides);
        if ends_overrides && overrides.count() > 0 {
            let count = overrides.count();
            log::info!("reload: what was set over the admin address for {count} targets is over");
        }
        *overrides = decided;
        *self.groups.lock() = Arc::new(groups);
        self.adopt(Arc::clone(config));
        Ok(())
    }

    pub(super) fn adopt(&self, config: Arc<Config>) {
        *self.config.lock() = config;
        self.fleet.reconsider();
    }

    /// What only a new process can change, a line each.
    fn what_stays(&self, before: &Config, now: &Config) -> Vec<String> {
        let mut stays = Vec::new();
        let rules = &before.forwarding_rules;
        for rule in &now.forwarding_rules {
            let is_turned = |old: &Arc<model::ForwardingRule>| {
                old.listen == rule.listen && old.v6_only != rule.v6_only
            };
            if rules.iter().any(is_turned) {
                let path = self.called(&Object::ForwardingRule(rule.name.clone()), now);
                stays.push(format!(
                    "{path}.v6only stays as it is for as long as the socket is there"
                ));
            }
        }
        let is_other = before.access_log.journal != now.access_log.journal;
        let (before, now) = (&before.server, &now.server);
        for (key, is_other) in [
            ("accessLog.journal", is_other),
            ("server.threads", before.threads != now.threads),
            (
                "server.upgradeSocket",
                before.upgrade_socket != now.upgrade_socket,
            ),
            ("server.pidFile", before.pid_file != now.pid_file),
        ] {
            if is_other {
                stays.push(format!("{key} {UNTIL_ANOTHER}"));
            }
        }
        stays
    }
}

/// Whether objects are of a cluster, and of which, only a new process changes.
fn stay_with_cluster(before: &Config, now: &mut Config) -> Option<String> {
    let parts = |gateway: &Option<model::Gateway>| {
        let gateway = gateway
            .as_ref()
            .filter(|gateway| gateway.kubernetes.is_some())?;
        let model::Gateway {
            kubernetes,
            cache,
            controller_name,
            ..
        } = gateway.clone();
        Some((kubernetes, cache, controller_name))
    };
    if parts(&before.gateway) == parts(&now.gateway) {
        return None;
    }
    let addresses = now.gateway.take().map(|gateway| gateway.addresses);
    now.gateway.clone_from(&before.gateway);
    if let (Some(gateway), Some(addresses)) = (&mut now.gateway, addresses) {
        gateway.addresses = addresses;
    }
    Some(format!("gateway.kubernetes {UNTIL_ANOTHER}"))
}

/// Whether there is an API, and where it keeps what it is told, only a new process changes.
fn stay_with_api(before: &Config, now: &mut Config) -> Option<String> {
    let store = |config: &Config| config.api.as_ref().map(|api| api.store.clone());
    let is_other = store(before) != store(now);
    match (&before.api, &mut now.api) {
        (Some(before), Some(now)) => now.store = before.store.clone(),
        (before, now) => now.clone_from(before),
    }
    is_other.then(|| format!("api.store {UNTIL_ANOTHER}"))
}
