//! All target groups of the process: those that stay are built upon what is known of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::TargetGroup;
use super::health::monitor::Monitor;
use super::standing::{Inheritance, Standing};
use super::target::{Protocol, TargetId};
use crate::config::model;
use crate::config::secret_key::SecretKey;
use crate::target_address::TargetAddress;
use crate::telemetry::metrics::{Metrics, Open};

/// An ejection, for the process that succeeds this one.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ejection {
    target: TargetId,
    left: Duration,
    /// Which time in a row.
    count: u32,
}

/// What a target group is built with, once nothing can fail any more.
pub struct Prepared(Protocol);

/// All target groups of the process.
pub struct Fleet {
    metrics: Arc<Metrics>,
    /// Of sticky cookies, where the configuration has none.
    own_key: SecretKey,
    standings: watch::Sender<BTreeMap<String, Arc<Standing>>>,
    inherited: Mutex<Arc<Inheritance>>,
    turned: Arc<Notify>,
}

impl Fleet {
    /// Has no target groups yet. The key is for sticky cookies where the configuration has none.
    pub fn new(metrics: Arc<Metrics>, own_key: SecretKey) -> Self {
        Fleet {
            metrics,
            own_key,
            standings: watch::Sender::default(),
            inherited: Mutex::default(),
            turned: Arc::default(),
        }
    }

    /// In the first configuration the first targets count as unhealthy, until their checks pass,
    /// and all others as healthy; the second are ejected, for as long as they were to be.
    pub fn inherit(&self, unhealthy: Vec<TargetId>, ejected: Vec<Ejection>) {
        let now = Instant::now();
        let until = |one: Ejection| (one.target, (now + one.left, one.count));
        *self.inherited.lock() = Arc::new(Inheritance {
            unhealthy: unhealthy.into_iter().collect(),
            ejected: ejected.into_iter().map(until).collect(),
        });
    }

    /// The targets that are ejected.
    pub fn ejected(&self) -> Vec<Ejection> {
        let now = Instant::now();
        let found = self.collect(Monitor::ejected);
        let ejections = found.into_iter();
        let ejections = ejections.map(|(group, (address, (until, count)))| Ejection {
            target: (group, address),
            left: until.saturating_duration_since(now),
            count,
        });
        ejections.collect()
    }

    /// The targets that do not pass their health checks.
    pub fn unhealthy(&self) -> Vec<TargetId> {
        self.collect(Monitor::unhealthy)
    }

    /// The unhealthy targets whose tunnels are to be closed.
    pub fn to_be_emptied(&self) -> Vec<TargetId> {
        self.collect(Monitor::to_be_emptied)
    }

    /// What is found in each group, with the group's name.
    fn collect<T>(&self, some: impl Fn(&Monitor) -> Vec<T>) -> Vec<(String, T)> {
        let standings = self.standings.borrow();
        let of_group = |(group, standing): (&String, &Arc<Standing>)| {
            let group = group.clone();
            let found = some(&standing.monitor).into_iter();
            found.map(move |one| (group.clone(), one))
        };
        standings.iter().flat_map(of_group).collect()
    }

    /// As if a check of this target had found this.
    #[cfg(test)]
    pub(crate) fn find(&self, group: &str, target: &TargetAddress, has_passed: bool) {
        let standings = self.standings.borrow();
        standings[group].monitor.find(target, has_passed);
    }

    /// The key of its own, for the process that succeeds this one.
    pub fn own_key(&self) -> SecretKey {
        self.own_key.clone()
    }

    /// What these target groups, of a configuration, are built with. The error has the name of one
    /// that cannot be built, and why.
    pub fn prepare(
        &self,
        groups: &[Arc<model::TargetGroup>],
    ) -> Result<Vec<Prepared>, (String, String)> {
        let before = self.standings.borrow();
        let protocol = |group: &Arc<model::TargetGroup>| {
            let trust = before.get(&group.name).and_then(|known| known.trust());
            let built = Protocol::build(group, trust).map(Prepared);
            built.map_err(|why| (group.name.clone(), why))
        };
        groups.iter().map(protocol).collect()
    }

    /// From now on what is known of a target group by its name before is known by the other.
    pub fn rename(&self, names: &[(String, String)]) {
        if names.is_empty() {
            return;
        }
        self.standings.send_modify(|standings| {
            let known = names.iter().map(|(before, now)| {
                let standing = standings.remove(before);
                standing.map(|standing| (now.clone(), standing))
            });
            let known: Vec<_> = known.collect();
            standings.extend(known.into_iter().flatten());
        });
    }

    /// Builds the target groups of a configuration, with its keys of sticky cookies, upon what is
    /// known of them, but for those that are there already. Those that are not in it are forgotten.
    pub fn build(
        &self,
        groups: &[Arc<model::TargetGroup>],
        prepared: &[Prepared],
        keys: &[SecretKey],
        is_there: impl Fn(&Arc<model::TargetGroup>) -> Option<Arc<TargetGroup>>,
    ) -> Vec<Arc<TargetGroup>> {
        let before = self.standings.borrow().clone();
        let inherited = std::mem::take(&mut *self.inherited.lock());
        let standing = |name: &String| {
            let known = before.get(name).cloned();
            known.unwrap_or_else(|| {
                let turned = Arc::clone(&self.turned);
                Arc::new(Standing::begin(name, Arc::clone(&inherited), turned))
            })
        };
        let mut standings = BTreeMap::new();
        let mut built = Vec::new();
        for (group, Prepared(protocol)) in groups.iter().zip(prepared) {
            let standing = standing(&group.name);
            let new = || self.build_upon(&standing, group, protocol, keys);
            built.push(is_there(group).unwrap_or_else(new));
            standings.insert(group.name.clone(), standing);
        }
        self.standings.send_replace(standings);
        built
    }

    /// Prepares target groups, and builds them.
    pub fn prepare_and_build(
        &self,
        groups: &[Arc<model::TargetGroup>],
        keys: &[SecretKey],
    ) -> Result<Vec<Arc<TargetGroup>>, (String, String)> {
        let prepared = self.prepare(groups)?;
        Ok(self.build(groups, &prepared, keys, |_| None))
    }

    /// Builds one of these target groups anew, upon what is known of it; the others stay as they
    /// are. `None` where it is none of those that serve.
    pub fn rebuild(
        &self,
        group: &model::TargetGroup,
        Prepared(protocol): &Prepared,
        keys: &[SecretKey],
    ) -> Option<Arc<TargetGroup>> {
        let standing = self.standings.borrow().get(&group.name).cloned()?;
        Some(self.build_upon(&standing, group, protocol, keys))
    }

    fn build_upon(
        &self,
        standing: &Standing,
        group: &model::TargetGroup,
        protocol: &Protocol,
        keys: &[SecretKey],
    ) -> Arc<TargetGroup> {
        let keys = match keys {
            [] => std::slice::from_ref(&self.own_key),
            keys => keys,
        };
        standing.trusts(protocol);
        let built = TargetGroup::build(group, protocol, standing, keys, &self.metrics);
        Arc::new(built)
    }

    /// Takes what old processes have open as what their targets carry, too.
    pub fn count_elsewhere(&self, open: &[Open]) {
        let mut loads: HashMap<&str, HashMap<TargetAddress, usize>> = HashMap::new();
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

    /// What follows from the health of targets may be something else now.
    pub fn reconsider(&self) {
        self.turned.notify_one();
    }

    /// Returns when the health of a target, or what follows from it, may have changed since the
    /// last time.
    pub async fn health_turned(&self) {
        self.turned.notified().await;
    }

    /// Checks the health of all targets, for ever.
    pub async fn check_health(&self) {
        let mut changes = self.standings.subscribe();
        let mut tasks = JoinSet::new();
        let mut checked: Vec<(Arc<Standing>, AbortHandle)> = Vec::new();
        loop {
            let standings = changes.borrow_and_update().clone();
            let there: HashSet<usize> = standings.values().map(place).collect();
            checked.retain(|(standing, task)| {
                let stays = there.contains(&place(standing));
                if !stays {
                    task.abort();
                }
                stays
            });
            let known: HashSet<usize> = checked.iter().map(|(one, _)| place(one)).collect();
            for standing in standings.into_values() {
                if !known.contains(&place(&standing)) {
                    let task = tasks.spawn(Arc::clone(&standing.monitor).watch());
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

/// Where it is in memory: as long as it is there, nothing else is.
fn place(standing: &Arc<Standing>) -> usize {
    Arc::as_ptr(standing).addr()
}
