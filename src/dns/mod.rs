//! Targets that are known by name: what the names resolve to, and when they are asked for again.
//!
//! A target group is built from addresses, so the groups of a configuration are expanded here: a
//! name becomes a target for each of its addresses. A name that cannot be resolved keeps the
//! addresses that it had.

mod lookup;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout_at;

use crate::config::{Config, model};
use crate::target_address::TargetAddress;
use crate::telemetry::metrics::{Metrics, ResolutionMetrics};
use lookup::{Answer, look_up};

/// A name is asked for again when its records have run out, but neither sooner nor later than this.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(5 * 60);
/// When a name is asked for again that could not be resolved.
const AGAIN: Duration = Duration::from_secs(2);
/// How often it is told that a name cannot be resolved.
const TOLD: Duration = Duration::from_secs(60);
/// How many addresses of a name become targets: each has its own series in the metrics.
const MOST_ADDRESSES: usize = 64;

/// The names in the configuration.
pub struct Names {
    metrics: Arc<Metrics>,
    known: Mutex<BTreeMap<String, Known>>,
    changed: Notify,
}

/// What is known of a name.
#[derive(Default)]
struct Known {
    addresses: Vec<IpAddr>,
    /// When it is asked for again; `None` if it never was.
    due: Option<Instant>,
    /// When it was last told that it cannot be resolved, if it cannot.
    told: Option<Instant>,
    counters: Vec<Arc<ResolutionMetrics>>,
}

impl Names {
    /// Knows no names yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Names {
            metrics,
            known: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// What each name resolves to, for the process that succeeds this one.
    pub fn addresses(&self) -> BTreeMap<String, Vec<IpAddr>> {
        let known = self.known.lock();
        let found = known.iter().map(|(host, known)| (host, &known.addresses));
        found
            .map(|(host, addresses)| (host.clone(), addresses.clone()))
            .collect()
    }

    /// Takes what the process before knew of the names in this configuration, as long as nothing
    /// better is known.
    pub fn inherit(&self, mut addresses: BTreeMap<String, Vec<IpAddr>>, config: &Config) {
        let mut known = self.known.lock();
        for (_, named) in named(config) {
            if let Some(addresses) = addresses.remove(&*named.host) {
                known.entry(named.host.to_string()).or_default().addresses = addresses;
            }
        }
    }

    /// Resolves the names in a configuration that were never asked for, for as long as the resolver
    /// may take; this blocks.
    pub fn learn(&self, config: &Config) {
        self.count_for(config);
        let new = self.new_names();
        if new.is_empty() {
            return;
        }
        // The caller may be in a runtime of its own.
        thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                match runtime {
                    Ok(runtime) => _ = runtime.block_on(self.resolve(new, &config.server.resolver)),
                    Err(error) => log::error!("names of targets: {error}"),
                }
            });
        });
    }

    fn new_names(&self) -> Vec<String> {
        let known = self.known.lock();
        let new = known.iter().filter(|(_, known)| known.due.is_none());
        new.map(|(host, _)| host.clone()).collect()
    }

    /// Knows the names in this configuration from now on, and no others.
    pub fn keep(&self, config: &Config) {
        let named: BTreeSet<&str> = named(config).map(|(_, named)| &*named.host).collect();
        self.known
            .lock()
            .retain(|host, _| named.contains(host.as_str()));
        self.count_for(config);
        self.changed.notify_one();
    }

    /// Has whoever waits for names look whether they are still wanted.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    fn count_for(&self, config: &Config) {
        let mut known = self.known.lock();
        for known in known.values_mut() {
            known.counters.clear();
        }
        for (group, named) in named(config) {
            let counters = self.metrics.resolutions(&group.name, &named.host);
            let known = known.entry(named.host.to_string()).or_default();
            if !known
                .counters
                .iter()
                .any(|have| Arc::ptr_eq(have, &counters))
            {
                known.counters.push(counters);
            }
        }
    }

    /// Target groups with a target for each address of their names.
    pub fn expand_all(&self, groups: &[Arc<model::TargetGroup>]) -> Vec<Arc<model::TargetGroup>> {
        groups.iter().map(|group| self.expand(group)).collect()
    }

    /// A target group with a target for each address of its names. What is there by address already
    /// stays what it is.
    pub fn expand(&self, group: &Arc<model::TargetGroup>) -> Arc<model::TargetGroup> {
        if group.named.is_empty() {
            return Arc::clone(group);
        }
        let known = self.known.lock();
        let mut expanded = model::TargetGroup::clone(group);
        let targets = &mut expanded.targets;
        let mut taken: BTreeSet<TargetAddress> = targets
            .iter()
            .map(|target| target.address.clone())
            .collect();
        for named in &group.named {
            let addresses = known.get(&*named.host).map(|known| &known.addresses);
            for address in addresses.into_iter().flatten() {
                let address = SocketAddr::new(*address, named.port);
                let address = TargetAddress::from(address);
                if taken.insert(address.clone()) {
                    targets.push(model::Target {
                        address,
                        ..named.target.clone()
                    });
                }
            }
        }
        Arc::new(expanded)
    }

    /// Waits until names are due, and resolves them; whether there are other addresses now.
    pub async fn renew(&self, settings: &model::Resolver) -> bool {
        let due = self
            .known
            .lock()
            .values()
            .filter_map(|known| known.due)
            .min();
        let other = self.changed.notified();
        // Either the configuration changes first, or it is time.
        let is_time = match due {
            Some(due) => timeout_at(due.into(), other).await.is_err(),
            None => {
                other.await;
                false
            }
        };
        if !is_time {
            return false;
        }
        self.resolve(self.due(), settings).await
    }

    fn due(&self) -> Vec<String> {
        let now = Instant::now();
        let is_due = |known: &Known| known.due.is_some_and(|due| due <= now);
        let known = self.known.lock();
        let due = known.iter().filter(|(_, known)| is_due(known));
        due.map(|(host, _)| host.clone()).collect()
    }

    async fn resolve(&self, hosts: Vec<String>, settings: &model::Resolver) -> bool {
        let asking = hosts.into_iter().map(async |host| {
            let last = self
                .known
                .lock()
                .get(&host)
                .map(|known| known.addresses.clone());
            let answer = look_up(&host, settings, &last.unwrap_or_default()).await;
            let mut known = self.known.lock();
            let known = known.get_mut(&host);
            known.is_some_and(|known| known.take(&host, answer))
        });
        join_all(asking).await.contains(&true)
    }
}

impl Known {
    /// Takes an answer; whether the addresses are others now.
    fn take(&mut self, host: &str, answer: Result<Answer, String>) -> bool {
        let now = Instant::now();
        for counters in &self.counters {
            counters.count(answer.is_ok());
        }
        match answer {
            Ok(answer) => {
                if self.told.take().is_some() {
                    log::info!("{host} can be resolved again");
                }
                self.due = Some(now + answer.ttl.clamp(SOONEST, LATEST));
                self.change(host, answer.addresses)
            }
            Err(why) => {
                self.due = Some(now + AGAIN);
                if self.told.is_none_or(|told| told.elapsed() >= TOLD) {
                    self.told = Some(now);
                    let kept = self.addresses.len();
                    log::warn!("{host} cannot be resolved: {why}; it keeps {kept} addresses");
                }
                false
            }
        }
    }

    fn change(&mut self, host: &str, mut addresses: Vec<IpAddr>) -> bool {
        let count = addresses.len();
        addresses.truncate(MOST_ADDRESSES);
        if addresses == self.addresses {
            return false;
        }
        if count > MOST_ADDRESSES {
            log::warn!("{host} has {count} addresses; only {MOST_ADDRESSES} of them are targets");
        }
        let words: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        log::info!("{host} is {}", words.join(", "));
        self.addresses = addresses;
        true
    }
}

fn named(config: &Config) -> impl Iterator<Item = (&model::TargetGroup, &model::NamedTarget)> {
    let groups = config.target_groups.iter().map(Arc::as_ref);
    groups.flat_map(|group| group.named.iter().map(move |named| (group, named)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(count: u8, seconds: u64) -> Result<Answer, String> {
        Ok(Answer {
            addresses: (0..count)
                .map(|n| IpAddr::from([10, 0, 0, n + 1]))
                .collect(),
            ttl: Duration::from_secs(seconds),
        })
    }

    #[test]
    fn a_name_keeps_its_addresses_and_is_asked_for_again_within_bounds() {
        let mut known = Known::default();
        let failed = || Err("no answer in time".to_owned());
        for (answer, changes, addresses, seconds) in [
            (failed(), false, 0, 2),
            (answer(2, 30), true, 2, 30),
            (answer(2, 0), false, 2, 1),
            (answer(2, 86400), false, 2, 300),
            (failed(), false, 2, 2),
            (failed(), false, 2, 2),
            (answer(100, 60), true, 64, 60),
            (answer(65, 60), false, 64, 60),
            (answer(1, 60), true, 1, 60),
        ] {
            let what = format!("{answer:?}");
            let asked = Instant::now();
            assert_eq!(known.take("chat.internal", answer), changes, "{what}");
            assert_eq!(known.addresses.len(), addresses, "{what}");
            let wait = known.due.unwrap().duration_since(asked);
            let least = Duration::from_secs(seconds);
            assert!(
                wait >= least && wait < least + Duration::from_secs(1),
                "{what}: {wait:?}"
            );
        }
    }
}
