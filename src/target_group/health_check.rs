//! Active health checks: whether a TCP connection to the target can be opened.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::lb::Backend;
use pingora::lb::health_check::{HealthCheck, TcpHealthCheck};
use pingora::prelude::Result;

use super::{Target, find};
use crate::config::file;

/// Pingora's TCP check for the targets that want one, with our counters and words. The thresholds are the library's:
/// results in a row that turn a target's health.
pub(super) struct TcpProbe {
    group: String,
    targets: Arc<[Arc<Target>]>,
    check: TcpHealthCheck,
}

impl TcpProbe {
    pub(super) fn new(group: &file::TargetGroup, targets: Arc<[Arc<Target>]>) -> Self {
        let mut check = TcpHealthCheck::default();
        check.consecutive_success = group.health_check.healthy_threshold;
        check.consecutive_failure = group.health_check.unhealthy_threshold;
        check.peer_template.options.connection_timeout = Some(group.health_check.check_timeout);
        TcpProbe {
            group: group.name.clone(),
            targets,
            check,
        }
    }
}

#[async_trait]
impl HealthCheck for TcpProbe {
    async fn check(&self, backend: &Backend) -> Result<()> {
        let probed = find(&self.targets, backend).filter(|target| target.is_probed);
        let Some(target) = probed else { return Ok(()) };
        let result = self.check.check(backend).await;
        match result {
            Ok(()) => target.metrics.checks_passed.inc(),
            Err(_) => target.metrics.checks_failed.inc(),
        }
        result
    }

    async fn health_status_change(&self, backend: &Backend, healthy: bool) {
        if let Some(target) = find(&self.targets, backend) {
            target.metrics.healthy.set(healthy.into());
        }
    }

    fn backend_summary(&self, backend: &Backend) -> String {
        format!("target group {}: target {}", self.group, backend.addr)
    }

    fn health_threshold(&self, success: bool) -> usize {
        self.check.health_threshold(success)
    }
}
