//! What of a target group outlives a configuration: the health of its targets, and the task that checks it.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::lb::{Backend, HealthRegistry};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::TargetGroup;
use super::health_check::{Probe, Settings};
use super::state::States;
use super::target::Protocol;
use crate::config::file;
use crate::config::secret_key::SecretKey;
use crate::telemetry::metrics::{Metrics, Open};

/// How soon another interval applies.
const LOOK: Duration = Duration::from_secs(1);

/// All target groups of the process.
pub struct Fleet {
    metrics: Arc<Metrics>,
    /// Of sticky cookies, where the configuration has none.
    own_key: SecretKey,
    standings: watch::Sender<BTreeMap<String, Arc<Standing>>>,
}

/// A target group beyond its present configuration.
pub(super) struct Standing {
    /// The health of its targets, by their address: a target that gets another weight is still the same.
    pub(super) health: Arc<HealthRegistry>,
    /// What they carry.
    pub(super) states: States,
    probe: Probe,
}

impl Fleet {
    /// None yet. The key is for sticky cookies where the configuration has none.
    pub fn new(metrics: Arc<Metrics>, own_key: SecretKey) -> Self {
        Fleet {
            metrics,
            own_key,
            standings: watch::Sender::default(),
        }
    }

    /// The key of its own, for the process that succeeds this one.
    pub fn own_key(&self) -> SecretKey {
        self.own_key.clone()
    }

    /// Builds the target groups of a configuration, with its keys of sticky cookies, upon what is known of them. Those that are not
    /// in it are forgotten. Where one cannot be built, nothing has changed; the error has its place and why.
    pub fn build(
        &self,
        groups: &[file::TargetGroup],
        keys: &[SecretKey],
    ) -> Result<Vec<Arc<TargetGroup>>, (usize, String)> {
        let protocol = |(place, group)| Protocol::build(group).map_err(|why| (place, why));
        let protocols = groups.iter().enumerate().map(protocol);
        let protocols: Vec<Protocol> = protocols.collect::<Result<_, _>>()?;
        let keys = match keys {
            [] => std::slice::from_ref(&self.own_key),
            keys => keys,
        };
        let before = self.standings.borrow().clone();
        let mut standings = BTreeMap::new();
        let mut built = Vec::new();
        for (group, protocol) in groups.iter().zip(&protocols) {
            let known = before.get(&group.name).cloned();
            let standing = known.unwrap_or_else(|| Arc::new(Standing::new(&group.name)));
            built.push(Arc::new(TargetGroup::build(
                group,
                protocol,
                &standing,
                keys,
                &self.metrics,
            )));
            standings.insert(group.name.clone(), standing);
        }
        self.standings.send_replace(standings);
        Ok(built)
    }

    /// Takes what old generations of the process have open as what their targets carry, too.
    pub fn count_elsewhere(&self, open: &[Open]) {
        let mut loads: HashMap<&str, HashMap<SocketAddr, usize>> = HashMap::new();
        for open in open {
            if let Ok(target) = open.target.parse() {
                let group = loads.entry(&open.target_group).or_default();
                let tunnels = usize::try_from(open.tunnels).unwrap_or(0);
                *group.entry(target).or_default() += tunnels;
            }
        }
        let nothing = HashMap::new();
        for (name, standing) in self.standings.borrow().iter() {
            let loads = loads.get(name.as_str()).unwrap_or(&nothing);
            standing.states.count_elsewhere(loads);
        }
    }

    /// Knows of no target any more.
    pub fn forget(&self) {
        self.standings.send_replace(BTreeMap::new());
    }

    /// Checks the health of all targets, for ever.
    pub async fn check_health(&self) {
        let mut changes = self.standings.subscribe();
        let mut tasks = JoinSet::new();
        let mut checked: Vec<(Arc<Standing>, AbortHandle)> = Vec::new();
        loop {
            let standings = changes.borrow_and_update().clone();
            checked.retain(|(standing, task)| {
                let stays = standings.values().any(|other| Arc::ptr_eq(other, standing));
                if !stays {
                    task.abort();
                }
                stays
            });
            for standing in standings.into_values() {
                if !checked
                    .iter()
                    .any(|(known, _)| Arc::ptr_eq(known, &standing))
                {
                    let task = tasks.spawn(Arc::clone(&standing).check_health());
                    checked.push((standing, task));
                }
            }
            while tasks.try_join_next().is_some() {}
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Standing {
    pub(super) fn new(name: &str) -> Self {
        let probe = Probe::new(name);
        let health = HealthRegistry::with_equivalence(address_key);
        health.set_health_check(Box::new(probe.clone()));
        Standing {
            health: Arc::new(health),
            states: States::default(),
            probe,
        }
    }

    /// How targets are checked from now on.
    pub(super) fn configure(&self, settings: Settings) {
        self.probe.configure(settings);
    }

    async fn check_health(self: Arc<Self>) {
        loop {
            self.health.run_health_check(true).await;
            let checked = Instant::now();
            while checked.elapsed() < self.probe.interval() {
                let next = sleep_until(checked + self.probe.interval());
                // Other settings may ask for another interval.
                timeout(LOOK, next).await.ok();
            }
        }
    }
}

fn address_key(backend: &Backend) -> u64 {
    let mut hasher = DefaultHasher::new();
    backend.addr.hash(&mut hasher);
    hasher.finish()
}
