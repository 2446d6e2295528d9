//! Changes of one target group: by whoever makes the configuration, and by the addresses of its
//! names. Nothing else is built.

use std::collections::HashMap;
use std::sync::Arc;

use super::Serving;
use super::change::Keep;
use crate::config::fault::{Fault, Object};
use crate::config::{Config, model};
use crate::target_group::Overrides;

impl Serving {
    /// The target groups of the configuration, with a target for each address of their names;
    /// without the overrides.
    pub fn target_groups(&self) -> Arc<Vec<Arc<model::TargetGroup>>> {
        Arc::clone(&self.groups.lock())
    }

    /// The target group of this name, likewise.
    pub fn target_group(&self, name: &str) -> Option<Arc<model::TargetGroup>> {
        let groups = self.target_groups();
        groups.iter().find(|group| group.name == name).cloned()
    }

    /// Puts this target group, which has been checked like the rest of the configuration, in the
    /// place of the one of its name. What is decided over the admin address for its targets stays.
    /// Names of targets that are new are resolved, which blocks.
    ///
    /// Errors: there is no group of this name, or it cannot be used. Nothing has changed then.
    pub fn change_group(&self, group: model::TargetGroup) -> Result<(), Fault> {
        let group = Arc::new(group);
        if !group.named.is_empty() {
            self.names.learn(&with(&self.config(), &group)?);
        }
        let overrides = self.overrides.lock();
        let config = Arc::new(with(&self.config(), &group)?);
        self.take_group(&group, config, &overrides, &mut || Ok(()))
    }

    /// Puts this target group of a configuration in place, whose others are as they were.
    pub(super) fn take_group(
        &self,
        group: &Arc<model::TargetGroup>,
        config: Arc<Config>,
        overrides: &Overrides,
        keep: Keep<'_>,
    ) -> Result<(), Fault> {
        let before = self.config();
        self.put_group(&config, self.names.expand(group), overrides, keep)?;
        if counts(&before) != counts(&config) {
            self.limit(&config);
        }
        self.adopt(config);
        let had = before
            .target_groups
            .iter()
            .find(|had| had.name == group.name);
        if !group.named.is_empty() || had.is_some_and(|had| !had.named.is_empty()) {
            self.names.keep(&self.config());
        }
        Ok(())
    }

    /// Puts these groups of a configuration in place, whose others are as they were. One that
    /// cannot be used stays as it was.
    pub(super) fn take_groups(
        &self,
        groups: &[Arc<model::TargetGroup>],
        config: &Arc<Config>,
        overrides: &Overrides,
    ) -> Result<(), Vec<Fault>> {
        let before = self.config();
        let mut faults = Vec::new();
        let (mut taken, mut decided) = (Vec::new(), Vec::new());
        for group in groups {
            let group = self.names.expand(group);
            let own = overrides.applied_to(&group);
            match self.apply_group(config, &own, &mut || Ok(())) {
                Ok(()) => {
                    taken.push(group);
                    decided.push(own);
                }
                Err(fault) => faults.push(fault),
            }
        }
        if taken.is_empty() {
            return Err(faults);
        }
        self.settle_groups(config, taken, &decided);
        if counts(&before) != counts(config) {
            self.limit(config);
        }
        self.adopt(Arc::clone(config));
        match faults.is_empty() {
            true => Ok(()),
            false => Err(faults),
        }
    }

    /// Asks for the names of targets again when their records run out, and serves with what is new,
    /// until this process serves no more.
    pub async fn watch_names(&self) {
        while !self.listeners.is_closed() {
            let settings = self.config().server.resolver.clone();
            if self.names.renew(&settings).await && !self.drain.has_begun() {
                self.take_names();
            }
        }
    }

    fn take_names(&self) {
        let overrides = self.overrides.lock();
        if self.listeners.is_closed() {
            return;
        }
        let config = self.config();
        let named = config
            .target_groups
            .iter()
            .filter(|group| !group.named.is_empty());
        for group in named {
            let now = self.names.expand(group);
            let before = self.target_group(&group.name);
            if before.is_some_and(|before| has_same_targets(&before, &now)) {
                continue;
            }
            if let Err(fault) = self.put_group(&config, now, &overrides, &mut || Ok(())) {
                log::error!("{fault}");
            }
        }
    }

    /// Serves with a target group that is like this without the overrides.
    fn put_group(
        &self,
        config: &Config,
        group: Arc<model::TargetGroup>,
        overrides: &Overrides,
        keep: Keep<'_>,
    ) -> Result<(), Fault> {
        let decided = overrides.applied_to(&group);
        self.apply_group(config, &decided, keep)?;
        self.settle_groups(config, vec![group], &[decided]);
        self.fleet.reconsider();
        Ok(())
    }

    /// Empties the targets that are gone of groups that serve now, and keeps these: without the
    /// overrides, and as they are with them.
    fn settle_groups(
        &self,
        config: &Config,
        now: Vec<Arc<model::TargetGroup>>,
        decided: &[Arc<model::TargetGroup>],
    ) {
        let now: HashMap<String, _> = now.into_iter().map(|one| (one.name.clone(), one)).collect();
        let mut all = Vec::clone(&self.target_groups());
        let mut replaced = Vec::new();
        for known in &mut all {
            if let Some(now) = now.get(&known.name) {
                replaced.push(std::mem::replace(known, Arc::clone(now)));
            }
        }
        self.evict(config, &replaced, decided);
        *self.groups.lock() = Arc::new(all);
    }
}

/// The configuration with this in the place of the target group of its name.
fn with(config: &Config, group: &Arc<model::TargetGroup>) -> Result<Config, Fault> {
    let mut config = config.clone();
    let mut groups = config.target_groups.iter_mut();
    let place = groups.find(|known| known.name == group.name);
    let none = || {
        let object = Object::TargetGroup(group.name.clone());
        Fault::new(object, "is not in the configuration")
    };
    *place.ok_or_else(none)? = Arc::clone(group);
    Ok(config)
}

fn counts(config: &Config) -> usize {
    config
        .target_groups
        .iter()
        .map(|group| group.targets.len())
        .sum()
}

fn has_same_targets(one: &model::TargetGroup, other: &model::TargetGroup) -> bool {
    let addresses = |group: &model::TargetGroup| {
        let targets = group.targets.iter();
        targets
            .map(|target| target.address.clone())
            .collect::<Vec<_>>()
    };
    addresses(one) == addresses(other)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::config::model::{Action, Algorithm, Forward, HttpRule};
    use crate::forwarding_rule::Routes;
    use crate::listener::Sockets;
    use crate::rules;
    use crate::serving::{Knowledge, Secrets};
    use crate::target_group::tests::{address, described};

    fn group(name: &str, targets: usize) -> model::TargetGroup {
        let group = described(Algorithm::RoundRobin, &vec![1; targets]);
        let name = name.to_owned();
        model::TargetGroup { name, ..group }
    }

    fn leading_to(group: &str) -> HttpRule {
        HttpRule {
            name: group.to_owned(),
            conditions: Vec::new(),
            action: Action::Forward(Forward::to(group)),
        }
    }

    fn rule(groups: &[&str]) -> model::ForwardingRule {
        model::ForwardingRule {
            source: model::Source::File,
            name: "edge".into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            v6_only: true,
            client_timeout: Duration::from_secs(50),
            proxy_protocol_from: Vec::new(),
            trusted_proxies: Vec::new(),
            underscores_in_headers: false,
            max_connections: None,
            max_connections_per_client: None,
            rates: model::Rates::default(),
            bounds: model::Bounds {
                header_bytes: 65536,
                headers: 100,
                body_bytes: None,
                minimum_rate: 0,
            },
            tls: None,
            h2c: false,
            max_concurrent_streams: 100,
            http2_web_sockets: true,
            tunnel: model::Tunnel::default(),
            http_rules: groups
                .iter()
                .map(|group| Arc::new(leading_to(group)))
                .collect(),
            in_order: false,
        }
    }

    /// A configuration that no text has been for: rules to the groups `a` and `b`.
    fn made_by_code(admin: PathBuf) -> Config {
        Config {
            server: model::Server {
                name: "fra-1".into(),
                log_level: None,
                threads: 1,
                drain: model::Drain::default(),
                upgrade: model::Upgrade::default(),
                upgrade_socket: None,
                pid_file: None,
                session_ticket_keys: None,
                stickiness_keys: Vec::new(),
                max_connections: None,
                memory: model::Memory::default(),
                tunnel_records: model::TunnelRecords::default(),
                resolver: model::Resolver {
                    name_servers: Vec::new(),
                    timeout: Duration::from_secs(2),
                },
            },
            admin: model::Admin {
                listen: model::ListenAddress::Unix(admin),
                mode: 0o600,
                token: None,
                read_only: false,
                host_names: Vec::new(),
            },
            api: None,
            gateway: None,
            access_log: model::AccessLog {
                path: None,
                format: model::LogFormat::Json,
                redact_query_keys: Vec::new(),
                sample: 1.0,
                open_records: false,
                journal: None,
                headers: model::LoggedHeaders::default(),
            },
            tracing: model::Tracing::default(),
            certificates: Vec::new(),
            forwarding_rules: vec![Arc::new(rule(&["a", "b"]))],
            target_groups: vec![Arc::new(group("a", 1)), Arc::new(group("b", 2))],
            parts: model::Parts::default(),
        }
    }

    fn serving(folder: &tempfile::TempDir) -> Serving {
        let config = made_by_code(folder.path().join("admin"));
        let (secrets, known) = (Secrets::default(), Knowledge::default());
        Serving::build(None, config, &mut Sockets::default(), secrets, known).unwrap()
    }

    /// How many targets each HTTP rule leads to.
    fn led_to(serving: &Serving) -> Vec<usize> {
        let rules = serving.snapshot().rules;
        let targets = |rule: &rules::Rule<Routes>| match &rule.action {
            rules::Action::Forward(routes) => routes.only().unwrap().group.targets().count(),
            rules::Action::Respond(_) => 0,
        };
        rules[0].rules.iter().map(targets).collect()
    }

    #[test]
    fn a_configuration_that_code_made_is_served_and_one_group_of_it_changes_alone() {
        let folder = tempfile::tempdir().unwrap();
        let serving = serving(&folder);
        assert_eq!(led_to(&serving), [1, 2]);
        let before = serving.snapshot();
        let state = |serving: &Serving| {
            let groups = serving.snapshot().groups;
            let target = groups[0].target(&address(0)).unwrap();
            target.metrics.ejections.inc();
            target.metrics.ejections.get()
        };
        assert_eq!(state(&serving), 1);

        serving.change_group(group("a", 3)).unwrap();

        assert_eq!(led_to(&serving), [3, 2]);
        let now = serving.snapshot();
        assert!(Arc::ptr_eq(&before.rules[0], &now.rules[0]));
        assert!(Arc::ptr_eq(&before.groups[1], &now.groups[1]));
        assert_eq!(before.groups[0].targets().count(), 1);
        assert_eq!(serving.config().target_groups[0].targets.len(), 3);
        assert_eq!(state(&serving), 2);
    }

    #[test]
    fn what_cannot_be_changed_is_told_by_its_name_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let serving = serving(&folder);
        let told = serving.change_group(group("nobody", 1)).unwrap_err();
        let expected = "target group nobody: is not in the configuration";
        assert_eq!(told.to_string(), expected);
        assert_eq!(led_to(&serving), [1, 2]);
        let config = made_by_code("/nonexistent/admin".into());
        let (secrets, known) = (Secrets::default(), Knowledge::default());
        let refused = Serving::build(None, config, &mut Sockets::default(), secrets, known);
        let problems = refused.err().unwrap();
        assert!(
            problems[0]
                .to_string()
                .starts_with("admin.listen: cannot listen on unix:")
        );
    }
}
