//! Watches over the health of a group's targets: checks each by a clock of its own, brings back
//! those that were ejected, and says what has changed.
//!
//! It outlives configurations; what it goes by is replaced with each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::Thresholds;
use super::check::{Failure, HealthCheck};
use crate::config::model::{self, OnUnhealthy, OutlierDetection};
use crate::os::random::chance;
use crate::target_address::TargetAddress;
use crate::target_group::Target;

/// How many targets of a group are checked at the same time.
const AT_A_TIME: usize = 64;
/// By what fraction an interval is longer or shorter.
const JITTER: f64 = 0.1;

/// Watches over the targets of a group.
pub(in crate::target_group) struct Monitor {
    settings: watch::Sender<Arc<Settings>>,
    /// Whether all targets get requests because none is healthy.
    pub(in crate::target_group) is_open: Arc<AtomicBool>,
    /// Told when a target's health turns, or what follows from it.
    turned: Arc<Notify>,
    room: Semaphore,
    /// Held while it is decided what depends on several targets.
    deciding: Mutex<()>,
}

/// What a monitor goes by.
pub(in crate::target_group) struct Settings {
    /// The group's name.
    group: Arc<str>,
    /// In the order of their addresses.
    targets: Arc<[Arc<Target>]>,
    /// `None` before the first configuration.
    check: Option<HealthCheck>,
    interval: Duration,
    thresholds: Thresholds,
    slow_start: Duration,
    fail_open: bool,
    on_unhealthy: OnUnhealthy,
}

impl Settings {
    pub(in crate::target_group) fn new(
        group: &model::TargetGroup,
        targets: Arc<[Arc<Target>]>,
    ) -> Self {
        let check = &group.health_check;
        Settings {
            group: group.name.as_str().into(),
            targets,
            check: Some(HealthCheck::new(check)),
            interval: check.check_interval,
            thresholds: Thresholds {
                healthy: check.healthy_threshold,
                unhealthy: check.unhealthy_threshold,
            },
            slow_start: group.slow_start,
            fail_open: group.fail_open,
            on_unhealthy: group.on_unhealthy,
        }
    }

    fn none() -> Self {
        Settings {
            group: "".into(),
            targets: Arc::default(),
            check: None,
            interval: Duration::from_secs(1),
            thresholds: Thresholds {
                healthy: 1,
                unhealthy: 1,
            },
            slow_start: Duration::ZERO,
            fail_open: false,
            on_unhealthy: OnUnhealthy::Keep,
        }
    }

    fn target(&self, address: &TargetAddress) -> Option<&Arc<Target>> {
        let place = |target: &Arc<Target>| target.address.cmp(address);
        let place = self.targets.binary_search_by(place).ok()?;
        self.targets.get(place)
    }
}

impl Monitor {
    /// A monitor that watches over no targets yet.
    pub(in crate::target_group) fn new(turned: Arc<Notify>) -> Self {
        Monitor {
            settings: watch::Sender::new(Arc::new(Settings::none())),
            is_open: Arc::default(),
            turned,
            room: Semaphore::new(AT_A_TIME),
            deciding: Mutex::default(),
        }
    }

    /// What it goes by from now on.
    pub(in crate::target_group) fn configure(&self, settings: Settings) {
        let settings = Arc::new(settings);
        // First, so that no check of before is entered any more where there are none now.
        self.settings.send_replace(Arc::clone(&settings));
        for target in settings.targets.iter() {
            let health = &target.state.health;
            if !target.is_probed {
                health.trust();
            }
            target.metrics.healthy.set(health.is_healthy().into());
            target.metrics.ejected.set(health.is_ejected().into());
        }
        self.decide_on_opening();
    }

    /// Whether there was a configuration before.
    pub(in crate::target_group) fn is_configured(&self) -> bool {
        self.settings.borrow().check.is_some()
    }

    /// The targets that do not pass their checks.
    pub(in crate::target_group) fn unhealthy(&self) -> Vec<TargetAddress> {
        let settings = self.settings.borrow();
        let targets = settings.targets.iter();
        let unhealthy = targets.filter(|target| !target.state.health.is_healthy());
        unhealthy.map(|target| target.address.clone()).collect()
    }

    /// The targets that are ejected: until when, and which time in a row that is.
    pub(in crate::target_group) fn ejected(&self) -> Vec<(TargetAddress, (Instant, u32))> {
        let settings = self.settings.borrow();
        let ejection = |target: &Arc<Target>| {
            let ejection = target.state.health.ejection()?;
            Some((target.address.clone(), ejection))
        };
        settings.targets.iter().filter_map(ejection).collect()
    }

    /// The unhealthy targets whose tunnels are to be closed.
    pub(in crate::target_group) fn to_be_emptied(&self) -> Vec<TargetAddress> {
        let is_wanted = self.settings.borrow().on_unhealthy == OnUnhealthy::Close
            && !self.is_open.load(Relaxed);
        match is_wanted {
            true => self.unhealthy(),
            false => Vec::new(),
        }
    }

    /// Watches, for ever.
    pub(in crate::target_group) async fn watch(self: Arc<Self>) {
        let mut changes = self.settings.subscribe();
        let mut tasks = JoinSet::new();
        let mut watched: HashMap<TargetAddress, AbortHandle> = HashMap::new();
        loop {
            let settings = Arc::clone(&changes.borrow_and_update());
            watched.retain(|address, task| {
                let stays = settings.target(address).is_some();
                if !stays {
                    task.abort();
                }
                stays
            });
            for target in settings.targets.iter() {
                let address = target.address.clone();
                watched.entry(address).or_insert_with_key(|address| {
                    let watching = Arc::clone(&self).watch_target(address.clone());
                    tasks.spawn(watching)
                });
            }
            drop(settings);
            while tasks.try_join_next().is_some() {}
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn watch_target(self: Arc<Self>, address: TargetAddress) {
        tokio::join!(self.check_target(&address), self.readmit_target(&address));
    }

    async fn check_target(&self, address: &TargetAddress) {
        let mut changes = self.settings.subscribe();
        loop {
            let settings = Arc::clone(&changes.borrow_and_update());
            let target = settings.target(address).filter(|target| target.is_probed);
            let (Some(target), Some(check)) = (target, &settings.check) else {
                drop(settings);
                // It has no clock as long as there is nothing to be done by one.
                if changes.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let place = self.room.acquire().await;
            // Boxed, so that its size is only there while it runs.
            let result = Box::pin(check.run(target)).await;
            drop(place);
            self.enter(&settings, target, result);
            drop(settings);
            wait(&mut changes).await;
        }
    }

    /// As if a check had found this.
    #[cfg(test)]
    pub(in crate::target_group) fn find(&self, address: &TargetAddress, has_passed: bool) {
        let settings = Arc::clone(&self.settings.borrow());
        let why = || Failure::Because("a test".to_owned());
        let result = has_passed.then_some(()).ok_or_else(why);
        let target = settings.target(address).expect("a target of the group");
        self.enter(&settings, target, result);
    }

    fn enter(&self, settings: &Settings, target: &Target, result: Result<(), Failure>) {
        let result = match result {
            Ok(()) => Ok(()),
            // Nothing is known of the target: it stays what it is.
            Err(Failure::Shortage) => return,
            Err(Failure::Because(reason)) => Err(reason),
        };
        let (metrics, health) = (&target.metrics, &target.state.health);
        let present = self.settings.borrow();
        let target_now = present.target(&target.address);
        if !target_now.is_some_and(|target| target.is_probed) {
            return;
        }
        match result {
            Ok(()) => metrics.checks_passed.inc(),
            Err(_) => metrics.checks_failed.inc(),
        }
        if result.is_ok() && !health.is_healthy() {
            // Before anybody picks it.
            health.start_slowly(Instant::now(), settings.slow_start);
        }
        let turned = health.enter(result.clone(), settings.thresholds);
        metrics.healthy.set(health.is_healthy().into());
        drop(present);
        let Some(count) = turned else { return };
        let (group, address) = (&settings.group, &target.address);
        let checks = if count == 1 { "check" } else { "checks" };
        match result {
            Ok(()) => log::info!(
                "target group {group}: target {address} is healthy: {count} {checks} passed"
            ),
            Err(reason) => log::warn!(
                "target group {group}: target {address} is unhealthy: {count} {checks} failed, \
                 the last: {reason}"
            ),
        }
        self.decide_on_opening();
        self.turned.notify_one();
    }

    /// Ejects a target that has failed requests, unless too many are.
    pub(in crate::target_group) fn eject(&self, target: &Target, detection: &OutlierDetection) {
        let deciding = self.deciding.lock();
        let settings = Arc::clone(&self.settings.borrow());
        let is_out = |target: &&Arc<Target>| !target.state.health.is_available();
        let out = settings.targets.iter().filter(is_out).count();
        let most = settings.targets.len() * detection.max_ejected_percent / 100;
        if out >= most || settings.target(&target.address).is_none() {
            return;
        }
        let Some(time) = target.state.health.eject(Instant::now(), detection) else {
            return;
        };
        drop(deciding);
        target.metrics.ejections.inc();
        target.metrics.ejected.set(1);
        log::warn!(
            "target group {}: target {} is ejected for {time:?}: {} requests failed in a row",
            settings.group,
            target.address,
            detection.consecutive_failures
        );
        self.decide_on_opening();
    }

    async fn readmit_target(&self, address: &TargetAddress) {
        let state = |settings: &Arc<Settings>| {
            let target = settings.target(address)?;
            Some(Arc::clone(&target.state))
        };
        let mut changes = self.settings.subscribe();
        loop {
            let found = state(&changes.borrow_and_update());
            let Some(state) = found else {
                // It is about to end.
                changes.changed().await.ok();
                continue;
            };
            state.health.ejection_over().await;
            let settings = Arc::clone(&self.settings.borrow());
            let now = Instant::now();
            state.health.start_slowly(now, settings.slow_start);
            state.health.readmit(now);
            if let Some(target) = settings.target(address) {
                target.metrics.ejected.set(0);
            }
            log::info!(
                "target group {}: target {address} is no longer ejected",
                settings.group
            );
            self.decide_on_opening();
        }
    }

    /// Whether all targets get requests, because of those that should get some none is healthy.
    fn decide_on_opening(&self) {
        let _deciding = self.deciding.lock();
        let settings = Arc::clone(&self.settings.borrow());
        let mut wanted = settings.targets.iter().filter(|target| target.weight() > 0);
        let is_open = settings.fail_open
            && wanted.clone().next().is_some()
            && wanted.all(|target| !target.state.health.is_available());
        if self.is_open.swap(is_open, Relaxed) == is_open {
            return;
        }
        self.turned.notify_one();
        match is_open {
            true => log::warn!(
                "target group {}: no target is healthy: all get requests",
                settings.group
            ),
            false => log::info!(
                "target group {}: only healthy targets get requests",
                settings.group
            ),
        }
    }
}

/// Waits for the next check. Other settings may ask for another interval meanwhile.
async fn wait(changes: &mut watch::Receiver<Arc<Settings>>) {
    let began = Instant::now();
    let jitter = 1.0 + JITTER * (2.0 * chance() - 1.0);
    loop {
        let interval = changes.borrow_and_update().interval;
        let next = began + interval.mul_f64(jitter);
        tokio::select! {
            () = sleep_until(next) => return,
            changed = changes.changed() => if changed.is_err() {
                return;
            }
        }
    }
}
