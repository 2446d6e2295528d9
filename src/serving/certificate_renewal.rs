//! Certificates, keys of session tickets and blocks of addresses: put in use with a configuration,
//! and when their files change on disk.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use super::apply::unusable_rule;
use super::change::New;
use super::{Serving, problems};
use crate::config::fault::Fault;
use crate::config::model::{Config, ForwardingRule};
use crate::config::renewal::{self, Renewal};
use crate::target_group::Overrides;
use crate::tls::Tls;

impl Serving {
    /// Reads the files of certificates and keys again; what can be used is used for those who come
    /// from now on. What cannot is told, once.
    pub fn renew(&self) {
        // Nothing else changes meanwhile.
        let overrides = self.overrides.lock();
        let Renewal {
            config,
            changes,
            warnings,
            faults,
            has_other_values,
        } = renewal::renew(&self.config());
        self.tell(faults);
        if changes.is_empty() {
            return;
        }
        for warning in warnings {
            log::warn!("{warning}");
        }
        let used = match has_other_values || shows_another(&self.config(), &config) {
            true => self.renew_all(&config, &overrides),
            false => self.all_tls(&config).map(|all| {
                self.renew_listeners(&config, all);
                self.use_files(&config);
            }),
        };
        match used {
            Ok(()) => {
                self.adopt(Arc::new(config));
                for change in changes {
                    log::info!("{change}");
                }
            }
            Err(faults) => {
                for problem in problems(faults, &config, self.path.is_some()) {
                    log::error!("{problem}");
                }
            }
        }
    }

    fn tell(&self, faults: Vec<String>) {
        let told = mem::replace(&mut *self.faults.lock(), faults.clone());
        for fault in faults.iter().filter(|fault| !told.contains(fault)) {
            log::error!("{fault}");
        }
    }

    fn renew_listeners(&self, config: &Config, all: Vec<Option<Tls>>) {
        for (rule, new) in config.forwarding_rules.iter().zip(all) {
            let now = self.listeners.rule(&rule.listen);
            let tls = now.as_ref().and_then(|now| now.tls.as_ref());
            if let Some((tls, new)) = tls.zip(new) {
                tls.renew(&new);
            }
        }
    }

    /// Puts the target groups in place with what they show now, and the rules with what they have.
    fn renew_all(&self, config: &Config, overrides: &Overrides) -> Result<(), Vec<Fault>> {
        let groups = self.names.expand_all(&config.target_groups);
        let new = New {
            config,
            groups: &overrides.applied_to_all(&groups),
            renamed: &[],
            sockets: HashMap::new(),
        };
        self.apply(new, &mut || Ok(()))?;
        *self.groups.lock() = Arc::new(groups);
        Ok(())
    }

    /// What each forwarding rule offers.
    fn all_tls(&self, config: &Config) -> Result<Vec<Option<Tls>>, Vec<Fault>> {
        self.tls_of(config, |_| true)
    }

    /// What each forwarding rule offers that is wanted; nothing for the others.
    pub(super) fn tls_of(
        &self,
        config: &Config,
        is_wanted: impl Fn(&Arc<ForwardingRule>) -> bool,
    ) -> Result<Vec<Option<Tls>>, Vec<Fault>> {
        let build = |rule: &Arc<ForwardingRule>| {
            let tls = rule.tls.as_ref().filter(|_| is_wanted(rule));
            tls.map(|tls| Tls::build(tls, &config.certificates, &self.tickets, &self.challenges))
                .transpose()
                .map_err(|word| vec![unusable_rule(rule, word)])
        };
        config.forwarding_rules.iter().map(build).collect()
    }

    /// Takes the keys of session tickets, and shows when the certificates expire.
    pub(super) fn use_files(&self, config: &Config) {
        let keys = config.server.session_ticket_keys.as_ref();
        self.tickets.take(keys.map_or(&[], |found| &found.keys));
        self.challenges.follow(config);
        let certificates = config.certificates.iter();
        let ends: Vec<_> = certificates
            .map(|one| (one.name.as_str(), one.not_after))
            .collect();
        self.metrics.process.show_certificates(&ends);
    }
}

/// Whether a target group shows another certificate now. Both are of the same configuration.
fn shows_another(before: &Config, now: &Config) -> bool {
    let groups = before.target_groups.iter().zip(&now.target_groups);
    let mut tls = groups.filter_map(|(before, now)| before.tls.as_ref().zip(now.tls.as_ref()));
    tls.any(|(before, now)| {
        let own = before
            .client_certificate
            .as_ref()
            .zip(now.client_certificate.as_ref());
        own.is_some_and(|(before, now)| !Arc::ptr_eq(&before.key, &now.key))
    })
}
