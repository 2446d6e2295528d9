//! Active health checks: whether a TCP connection to the target can be opened.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use pingora::lb::Backend;
use pingora::lb::health_check::{HealthCheck, TcpHealthCheck};
use pingora::prelude::Result;

use super::{Target, find};
use crate::config::file;
use crate::limits::is_shortage;

/// Pingora's TCP check for the targets that want one, with our counters and words. The thresholds are the library's:
/// results in a row that turn a target's health. Its settings may change while it runs.
#[derive(Clone)]
pub(super) struct Probe {
    group: Arc<str>,
    settings: Arc<ArcSwapOption<Settings>>,
}

/// What is probed, and how.
pub(super) struct Settings {
    targets: Arc<[Arc<Target>]>,
    check: TcpHealthCheck,
    interval: Duration,
}

impl Settings {
    pub(super) fn new(group: &file::TargetGroup, targets: Arc<[Arc<Target>]>) -> Self {
        let mut check = TcpHealthCheck::default();
        check.consecutive_success = group.health_check.healthy_threshold;
        check.consecutive_failure = group.health_check.unhealthy_threshold;
        check.peer_template.options.connection_timeout = Some(group.health_check.check_timeout);
        Settings {
            targets,
            check,
            interval: group.health_check.check_interval,
        }
    }
}

impl Probe {
    /// One that probes nothing yet.
    pub(super) fn new(group: &str) -> Self {
        Probe {
            group: group.into(),
            settings: Arc::default(),
        }
    }

    pub(super) fn configure(&self, settings: Settings) {
        self.settings.store(Some(Arc::new(settings)));
    }

    /// From the end of one round to the next.
    pub(super) fn interval(&self) -> Duration {
        let settings = self.settings.load();
        settings
            .as_ref()
            .map_or(Duration::from_secs(1), |settings| settings.interval)
    }
}

#[async_trait]
impl HealthCheck for Probe {
    async fn check(&self, backend: &Backend) -> Result<()> {
        let Some(settings) = self.settings.load_full() else {
            return Ok(());
        };
        let probed = find(&settings.targets, backend).filter(|target| target.is_probed);
        let Some(target) = probed else { return Ok(()) };
        let result = settings.check.check(backend).await;
        match &result {
            Ok(()) => target.metrics.checks_passed.inc(),
            // Nothing is known of the target: it stays what it is.
            Err(error) if is_shortage(error) && target.metrics.healthy.get() == 1 => return Ok(()),
            Err(error) if is_shortage(error) => {}
            Err(_) => target.metrics.checks_failed.inc(),
        }
        result
    }

    async fn health_status_change(&self, backend: &Backend, healthy: bool) {
        let settings = self.settings.load();
        let Some(settings) = settings.as_ref() else {
            return;
        };
        if let Some(target) = find(&settings.targets, backend) {
            target.metrics.healthy.set(healthy.into());
        }
    }

    fn backend_summary(&self, backend: &Backend) -> String {
        format!("target group {}: target {}", self.group, backend.addr)
    }

    fn health_threshold(&self, success: bool) -> usize {
        let settings = self.settings.load();
        settings
            .as_ref()
            .map_or(1, |settings| settings.check.health_threshold(success))
    }
}
