//! A target group: its targets, and which of them the next request goes to.
//!
//! Pingora's `LoadBalancer` holds the targets and proposes them by the group's algorithm; this room
//! decides which proposal is fit. A target that is unhealthy, ejected, full, in maintenance or of
//! weight 0 gets nothing new, and a request is sent to each target once. Health is found out by a
//! `monitor` for each group. Of the configuration only `model` is known here.

mod anchored;
mod fleet;
mod health;
mod overrides;
mod pick;
mod pick_context;
mod selection;
mod sources;
mod standing;
mod state;
mod status;
mod stickiness;
mod subject_names;
mod target;
mod tls;
pub mod unix_socket;
mod unverified;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue};
use pingora::lb::discovery::Static;
use pingora::lb::{Backend, Backends, LoadBalancer};
use prometheus::IntCounter;

use crate::config::model::{self, Algorithm, HashKey, OutlierDetection};
use crate::config::secret_key::SecretKey;
use crate::os::random::Random;
use crate::target_address::TargetAddress;
use crate::telemetry::metrics::Metrics;
pub use fleet::{Ejection, Fleet, Prepared};
use health::monitor::{Monitor, Settings};
pub use overrides::{Change, Override, Overrides};
pub use pick_context::{PickContext, Unavailable};
use selection::{Plan, Selection};
pub use sources::Sources;
use standing::Standing;
pub use state::Held;
pub use status::{Ejected, LastCheck, TargetStatus};
pub use stickiness::Carrier;
use stickiness::Tokens;
use target::Protocol;
pub use target::{Target, TargetId};
pub use tls::Tls;

/// A target group as requests see it.
pub struct TargetGroup {
    /// Its name.
    pub name: Arc<str>,
    /// How long a connection to a target may take, with its TLS.
    pub connect_timeout: Duration,
    /// How long a target may be silent before and within its answer.
    pub response_timeout: Duration,
    /// How often a request whose connection fails or breaks is tried again.
    pub retries: usize,
    /// Whether load is evened out when a target joins.
    pub rebalance: Option<model::Rebalance>,
    /// Counts connects for which no port was left to leave from.
    pub ports_exhausted: Arc<IntCounter>,
    /// In the order of their addresses.
    targets: Arc<[Arc<Target>]>,
    algorithm: Algorithm,
    tokens: Option<Tokens>,
    application_cookie: Option<HashKey>,
    balancer: LoadBalancer<Selection>,
    substitutes: AtomicU64,
    random: Random,
    monitor: Arc<Monitor>,
    outlier_detection: Option<OutlierDetection>,
}

impl TargetGroup {
    /// Builds a group upon what is known of it, with the keys of sticky cookies. Targets that are
    /// not known count as healthy until their first check.
    fn build(
        group: &model::TargetGroup,
        protocol: &Protocol,
        standing: &Standing,
        keys: &[SecretKey],
        metrics: &Metrics,
    ) -> Self {
        let targets = targets(group, protocol, standing, metrics);
        let backends = targets
            .iter()
            .map(|target| target.backend.clone())
            .collect();
        let monitor = Arc::clone(&standing.monitor);
        monitor.configure(Settings::new(group, Arc::clone(&targets)));
        let backends = Backends::new(Static::new(backends));
        let plan = Plan::of(group, &targets);
        let seed = plan.seed;
        let random = Random::new(!seed);
        let balancer = LoadBalancer::from_backends_with_config(backends, Some(plan));
        let updated = balancer.update().now_or_never();
        if updated.is_none_or(|updated| updated.is_err()) {
            log::error!(
                "target group {}: its targets could not be taken over",
                group.name
            );
        }
        TargetGroup {
            name: group.name.as_str().into(),
            connect_timeout: group.connect_timeout,
            response_timeout: group.response_timeout,
            retries: group.health_check.retries.into(),
            rebalance: group.rebalance,
            algorithm: group.algorithm.clone(),
            tokens: Tokens::of(group, &targets, keys),
            application_cookie: stickiness::application_cookie(group),
            ports_exhausted: metrics.source_ports_exhausted(&group.name),
            targets,
            balancer,
            substitutes: AtomicU64::new(seed >> 1),
            random,
            monitor,
            outlier_detection: group.outlier_detection.clone(),
        }
    }

    /// All targets, in the order of their addresses.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.targets.iter()
    }

    /// The target with this address.
    pub fn target(&self, address: &TargetAddress) -> Option<&Arc<Target>> {
        let place = |target: &Arc<Target>| target.address.cmp(address);
        let place = self.targets.binary_search_by(place).ok()?;
        self.targets.get(place)
    }

    /// What tells a client's target, where something of ours does.
    pub fn carrier(&self) -> Option<&Carrier> {
        self.tokens.as_ref().map(Tokens::carrier)
    }

    /// The place of the target that this value of it tells.
    pub fn place_told(&self, value: &[u8]) -> Option<usize> {
        self.tokens.as_ref()?.place(value)
    }

    /// What to say to a client that this target is to keep, as a header; `is_secure` where it came
    /// over TLS.
    pub fn token(&self, target: &Target, is_secure: bool) -> Option<(HeaderName, HeaderValue)> {
        self.tokens.as_ref()?.header(target.place, is_secure)
    }

    /// The targets that take requests now.
    pub fn takers(&self) -> impl Iterator<Item = &Arc<Target>> {
        let takes = |target: &&Arc<Target>| target.is_fit(&[]);
        self.targets.iter().filter(takes)
    }
}

fn targets(
    group: &model::TargetGroup,
    protocol: &Protocol,
    standing: &Standing,
    metrics: &Metrics,
) -> Arc<[Arc<Target>]> {
    let mut targets: Vec<&model::Target> = group.targets.iter().collect();
    targets.sort_by(|one, other| one.address.cmp(&other.address));
    let addresses = targets.iter().map(|target| &target.address);
    let states = standing.states(addresses, group.slow_start);
    let build = |(place, (target, state)): (usize, (&&model::Target, _))| {
        let metrics = metrics.target(&group.name, &target.address);
        let is_open = &standing.monitor.is_open;
        Arc::new(Target::build(
            target, place, protocol, state, metrics, is_open,
        ))
    };
    targets.iter().zip(states).enumerate().map(build).collect()
}

fn find<'a>(targets: &'a [Arc<Target>], backend: &Backend) -> Option<&'a Arc<Target>> {
    let place = |target: &Arc<Target>| target.backend.addr.cmp(&backend.addr);
    let place = targets.binary_search_by(place).ok()?;
    targets.get(place)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;
    use std::net::SocketAddr;
    use std::sync::atomic::Ordering::Relaxed;

    use tokio::time::Instant;

    use super::*;

    /// A group with targets of these weights, and whether they are in maintenance.
    fn group(targets: &[(u16, bool)]) -> TargetGroup {
        let weights: Vec<u16> = targets.iter().map(|(weight, _)| *weight).collect();
        let mut group = described(Algorithm::RoundRobin, &weights);
        for (target, (_, maintenance)) in group.targets.iter_mut().zip(targets) {
            target.maintenance_enabled = *maintenance;
        }
        built(&group)
    }

    /// What a file says of a group with targets of these weights.
    pub(crate) fn described(algorithm: Algorithm, weights: &[u16]) -> model::TargetGroup {
        let target = |(place, weight): (usize, &u16)| model::Target {
            address: address(place),
            weight: *weight,
            health_check_enabled: true,
            maintenance_enabled: false,
            maintenance_drain: false,
            proxy_protocol: None,

            max_connections: None,
            host: None,

            health_check_port: None,
        };
        model::TargetGroup {
            source: model::Source::File,
            name: "chat".into(),
            algorithm,
            tls: None,
            http_version: model::HttpVersion::Http1,
            targets: weights.iter().enumerate().map(target).collect(),
            named: Vec::new(),
            source_addresses: Vec::new(),
            health_check: model::HealthCheck {
                check_timeout: Duration::from_secs(2),
                check_interval: Duration::from_secs(2),
                retries: 3,
                healthy_threshold: 1,
                unhealthy_threshold: 3,
                port: None,
                check: model::Check::Tcp,
            },
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            deregistration_delay: Duration::from_secs(300),
            rebalance: None,

            stickiness: None,

            slow_start: Duration::ZERO,
            fail_open: false,
            on_unhealthy: model::OnUnhealthy::Keep,
            outlier_detection: None,
        }
    }

    /// Such a group, of which nothing is known.
    pub(super) fn built(group: &model::TargetGroup) -> TargetGroup {
        built_upon(group, &Standing::new("chat"))
    }

    pub(super) fn built_upon(group: &model::TargetGroup, standing: &Standing) -> TargetGroup {
        let metrics = Metrics::new().unwrap();
        let protocol = Protocol::build(group, standing.trust()).unwrap();
        let keys = [SecretKey::new(zeroize::Zeroizing::new([7; 32]))];
        TargetGroup::build(group, &protocol, standing, &keys, &metrics)
    }

    pub(crate) fn address(place: usize) -> TargetAddress {
        let port = 8000 + u16::try_from(place).unwrap();
        SocketAddr::from(([192, 0, 2, 1], port)).into()
    }

    fn pick(group: &TargetGroup, tried: &[TargetAddress]) -> Option<Arc<Target>> {
        let context = PickContext {
            tried,
            ..PickContext::default()
        };
        let (target, _held) = group.pick(&context).ok()?;
        Some(target)
    }

    fn shares(group: &TargetGroup, picks: usize) -> HashMap<usize, usize> {
        let mut shares = HashMap::new();
        for _ in 0..picks {
            let target = pick(group, &[]).unwrap();
            *shares.entry(target.place).or_default() += 1;
        }
        shares
    }

    #[test]
    fn targets_are_picked_in_proportion_to_their_weights() {
        let group = group(&[(1, false), (2, false), (7, false), (0, false), (256, true)]);
        assert_eq!(
            shares(&group, 1000),
            HashMap::from([(0, 100), (1, 200), (2, 700)])
        );
    }

    #[test]
    fn what_is_foreseen_is_picked_next_and_foreseeing_moves_no_turn() {
        for targets in [
            &[(1, false), (2, false), (7, false)][..],
            &[(3, false), (256, true), (0, false), (2, false)],
            &[(0, false)],
        ] {
            let group = group(targets);
            for _ in 0..100 {
                let place = |target: Option<Arc<Target>>| target.map(|target| target.place);
                let foreseen = [(); 3].map(|()| place(group.foresee(&PickContext::default()).ok()));
                let picked = place(pick(&group, &[]));
                assert_eq!(foreseen, [picked; 3]);
            }
        }
    }

    #[test]
    fn the_turns_of_a_target_that_is_not_fit_go_to_the_others_by_weight() {
        let group = group(&[(1, false), (2, false), (7, false)]);
        let mut shares = [0; 3];
        for _ in 0..900 {
            shares[pick(&group, &[address(2)]).unwrap().place] += 1;
        }
        assert_eq!(shares, [300, 600, 0]);
    }

    #[test]
    fn a_target_that_starts_slowly_gets_its_part_of_its_share() {
        let group = group(&[(1, false), (1, false)]);
        let health = &group.targets[1].state.health;
        health.start_slowly(Instant::now(), Duration::from_secs(3600));
        let shares = shares(&group, 1100);
        // A part of 0.1 in 1.1, give or take four times the standard deviation.
        assert!((60..=140).contains(&shares[&1]), "{shares:?}");
        health.start_slowly(Instant::now(), Duration::ZERO);
        assert_eq!(self::shares(&group, 100), HashMap::from([(0, 50), (1, 50)]));
    }

    #[test]
    fn where_no_target_is_healthy_none_is_picked_or_all_are() {
        let group = group(&[(1, false), (1, false), (0, false)]);
        let thresholds = health::Thresholds {
            healthy: 1,
            unhealthy: 1,
        };
        for (place, picked) in [(0, Some(address(1))), (1, None)] {
            let health = &group.targets[place].state.health;
            health.enter(Err(String::new()), thresholds);
            assert_eq!(
                pick(&group, &[]).map(|target| target.address.clone()),
                picked
            );
        }
        group.monitor.is_open.store(true, Relaxed);
        assert_eq!(shares(&group, 100), HashMap::from([(0, 50), (1, 50)]));
    }

    #[test]
    fn nothing_is_picked_where_every_weight_is_zero_or_there_is_no_target() {
        assert!(pick(&group(&[(0, false), (0, false)]), &[]).is_none());
        assert!(pick(&group(&[(1, true)]), &[]).is_none());
        assert!(pick(&group(&[]), &[]).is_none());
    }

    #[test]
    fn each_target_is_picked_once_for_one_request() {
        let group = group(&[(1, false), (200, false), (1, false), (0, false)]);
        for _ in 0..50 {
            let mut tried = Vec::new();
            while let Some(target) = pick(&group, &tried) {
                assert!(!tried.contains(&target.address));
                tried.push(target.address.clone());
            }
            tried.sort();
            assert_eq!(tried, [address(0), address(1), address(2)]);
        }
    }
}
