//! The metrics, for Prometheus.
//!
//! Their labels come from the configuration, so their number is bounded by it. A child is looked up
//! once, when what it counts is built; counting is then one atomic addition. Children exist, at 0,
//! from the start wherever the configuration knows their labels, and until nobody counts with them
//! any more: the configuration, an exchange, a tunnel. What has the same labels is in one file: its
//! families, its children, and how they are forgotten.

mod families;
mod gateway;
mod handshakes;
mod kept;
mod memory;
mod mirror;
mod open;
mod process;
mod rule;
mod target;
mod totals;
mod tunnel;

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder as _, IntCounter, Registry, TextEncoder};

use super::Refusals;
use crate::target_address::TargetAddress;
use families::Families;
pub use gateway::{Conditions, GatewayMetrics};
pub use handshakes::Handshakes;
pub use memory::MemoryMetrics;
use mirror::MirrorFamily;
pub use mirror::{MirrorMetrics, Mirrored};
use open::Elsewhere;
pub use open::Open;
pub use process::ProcessMetrics;
use rule::RuleFamilies;
pub use rule::{Active, CodeCounters, RuleMetrics};
use target::TargetFamilies;
pub use target::{ResolutionMetrics, TargetMetrics};
pub use totals::Totals;
use tunnel::TunnelFamilies;
pub use tunnel::{ActiveTunnel, CloseCounters, TunnelMetrics};

/// All families. One for the process.
pub struct Metrics {
    registry: Registry,
    rule: RuleFamilies,
    tunnel: TunnelFamilies,
    target: TargetFamilies,
    mirror: MirrorFamily,
    /// What the process shows of itself.
    pub process: ProcessMetrics,
    /// What is shown of the objects of the Gateway API.
    pub gateway: GatewayMetrics,
    /// The last refusals.
    pub refused: Arc<Refusals>,
    /// What other processes have open, to be shown with what this one has.
    elsewhere: Elsewhere,
    /// What was counted by children that were dropped.
    gone: Mutex<Totals>,
    /// Held while all is looked at, or while what is seen together changes.
    view: Mutex<()>,
}

impl Metrics {
    /// The families, with those children that need no configuration. Fails only on a name that
    /// Prometheus refuses.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let families = Families(&registry);
        let refused = Arc::default();
        Ok(Metrics {
            rule: RuleFamilies::new(&families, Arc::clone(&refused))?,
            refused,
            tunnel: TunnelFamilies::new(&families)?,
            target: TargetFamilies::new(&families)?,
            mirror: MirrorFamily::new(&families)?,
            process: ProcessMetrics::new(&families)?,
            gateway: GatewayMetrics::new(&families)?,
            elsewhere: Elsewhere::default(),
            gone: Mutex::default(),
            view: Mutex::default(),
            registry,
        })
    }

    /// All metrics in Prometheus' text format.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        self.forget();
        let mut text = Vec::new();
        let view = self.view.lock();
        let mut families = self.registry.gather();
        self.elsewhere.add_to(&self.tunnel.active, &mut families);
        drop(view);
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Has [`Metrics::text`] wait while this is kept: it shows all of what changes meanwhile, or
    /// nothing.
    pub fn hold_view(&self) -> MutexGuard<'_, ()> {
        self.view.lock()
    }

    /// Drops the children of rules, groups and targets that left the configuration, once their last
    /// exchange is over.
    pub fn forget(&self) {
        let mut gone = self.gone.lock();
        self.rule.forget(&mut gone);
        self.tunnel.forget(&mut gone);
        self.target.forget();
        self.mirror.forget();
    }

    /// What a forwarding rule counts.
    pub fn forwarding_rule(&self, name: &str) -> Arc<RuleMetrics> {
        self.rule.rule(name)
    }

    /// What an HTTP rule counts; the empty name stands for no rule.
    pub fn http_rule(&self, forwarding_rule: &str, http_rule: &str) -> Arc<CodeCounters> {
        self.rule.http_rule(forwarding_rule, http_rule)
    }

    /// Notes that so many HTTP rules were built.
    pub fn built_http_rules(&self, count: u64) {
        self.rule.built.inc_by(count);
    }

    /// What the tunnels from a forwarding rule to a target group count.
    pub fn tunnels<'a>(
        &self,
        forwarding_rule: &str,
        target_group: &str,
        targets: impl Iterator<Item = &'a TargetAddress>,
    ) -> TunnelMetrics {
        self.tunnel.tunnels(forwarding_rule, target_group, targets)
    }

    /// What the copies of requests from a forwarding rule to a target group count.
    pub fn mirror(&self, forwarding_rule: &str, target_group: &str) -> Arc<MirrorMetrics> {
        self.mirror.mirror(forwarding_rule, target_group)
    }

    /// What a target counts.
    pub fn target(&self, target_group: &str, target: &TargetAddress) -> Arc<TargetMetrics> {
        self.target.target(target_group, target)
    }

    /// The connects for a target group for which no port was left.
    pub fn source_ports_exhausted(&self, target_group: &str) -> Arc<IntCounter> {
        self.target.ports_exhausted(target_group)
    }

    /// What the look-ups of a name for a target group count.
    pub fn resolutions(&self, target_group: &str, host: &str) -> Arc<ResolutionMetrics> {
        self.target.resolutions(target_group, host)
    }

    /// What was counted in all.
    pub fn totals(&self) -> Totals {
        let gone = self.gone.lock();
        let mut totals = gone.clone();
        totals.add(&self.tunnel.closed, &self.rule.bytes);
        self.rule.add_refused(&mut totals.refused);
        totals
    }

    /// How long the handshakes took that led to a tunnel.
    pub fn handshakes(&self) -> Handshakes {
        self.rule.handshakes()
    }

    /// What is open here.
    pub fn open_tunnels(&self) -> Vec<Open> {
        Open::all(&self.tunnel.active)
    }

    /// How many of it are to this target, from all forwarding rules: without a look at the others.
    pub fn open_tunnels_to(&self, target_group: &str, target: &TargetAddress) -> i64 {
        let target = target.to_string();
        let open = |[rule]: [String; 1]| self.tunnel.open([&rule, target_group, &target]);
        self.rule.names().into_iter().map(open).sum()
    }

    /// How many tunnels old processes have open, as far as they have told.
    pub fn old_generation_tunnels(&self) -> i64 {
        self.process.old_generation_tunnels.get()
    }

    /// Shows how many old processes there are, and their tunnels.
    pub fn show_generations(&self, processes: usize, open: Vec<Open>) {
        let tunnels = open.iter().map(|open| open.tunnels).sum();
        self.process.show_old_generations(processes, tunnels);
        self.elsewhere.replace(open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_that_the_configuration_knows_start_at_zero() {
        let metrics = Metrics::new().unwrap();
        let address = &"192.0.2.1:80".parse().unwrap();
        let http_rule = metrics.http_rule("edge", "hello");
        http_rule.expect(200);
        let _rule = metrics.forwarding_rule("edge");
        let _target = metrics.target("chat", address);
        let _tunnels = metrics.tunnels("edge", "chat", [address].into_iter());

        let text = metrics.text().unwrap();

        for line in [
            r#"culvert_requests_total{code="200",forwarding_rule="edge",http_rule="hello"} 0"#,
            r#"culvert_refusals_total{forwarding_rule="edge",reason="no_target"} 0"#,
            r#"culvert_tunnels_active{forwarding_rule="edge",target="192.0.2.1:80",target_group="chat"} 0"#,
            r#"culvert_tunnels_closed_total{forwarding_rule="edge",reason="client_closed",target_group="chat"} 0"#,
            r#"culvert_health_checks_total{result="failed",target="192.0.2.1:80",target_group="chat"} 0"#,
            r#"culvert_bytes_total{direction="in",forwarding_rule="edge"} 0"#,
            r#"culvert_draining 0"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_child_is_dropped_when_nobody_counts_with_it_any_more() {
        let metrics = Metrics::new().unwrap();
        let address = &"192.0.2.1:80".parse().unwrap();
        let rule = metrics.forwarding_rule("edge");
        let http_rule = metrics.http_rule("edge", "hello");
        http_rule.expect(200);
        rule.unmatched.expect(404);
        let target = metrics.target("chat", address);
        let tunnels = metrics.tunnels("edge", "chat", [address].into_iter());
        let (connection, tunnel) = (rule.connection(), tunnels.open(0).unwrap());
        let named = |name: &str| {
            let text = metrics.text().unwrap();
            let lines = text.lines().filter(|line| line.contains(name));
            lines.count()
        };
        assert_eq!(named("http_rule=\"hello\""), 1);
        drop(http_rule);
        assert_eq!(named("http_rule=\"hello\""), 0);
        assert_eq!(named("target=\"192.0.2.1:80\""), 9);
        drop((target, tunnels));
        assert_eq!(named("target=\"192.0.2.1:80\""), 3);
        assert_eq!(named("reason=\"killed\""), 0);
        drop(tunnel);
        assert_eq!(named("chat"), 0);
        drop(rule);
        assert!(named("edge") > 0, "a connection is still open");
        drop(connection);
        assert_eq!(named("edge"), 0);
    }

    #[test]
    fn what_is_still_counted_with_is_not_made_twice() {
        let metrics = Metrics::new().unwrap();
        let first = metrics.forwarding_rule("edge");
        let open = first.connection();
        metrics.forget();
        let second = metrics.forwarding_rule("edge");
        assert!(Arc::ptr_eq(&first, &second));
        drop((first, open));
        metrics.forget();
        let third = metrics.forwarding_rule("edge");
        assert!(Arc::ptr_eq(&second, &third));
    }
}
