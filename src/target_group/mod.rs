//! A target group: its targets, and which of them the next request goes to.
//!
//! Pingora's `LoadBalancer` holds the targets, checks them and proposes them in turn; this room decides which proposal is
//! fit. A target that is unhealthy, in maintenance or of weight 0 gets nothing new, and a request is sent to each target
//! once. Only the configuration's `file` is known here.

mod health_check;
mod overrides;
mod selection;
mod standing;
mod state;
mod target;
mod tls;
mod unverified;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt as _;
use pingora::lb::discovery::Static;
use pingora::lb::{Backend, Backends, LoadBalancer};

use crate::config::file;
use crate::telemetry::metrics::Metrics;
use health_check::Settings;
pub use overrides::{Change, Override, Overrides};
use selection::{LOOK, RoundRobin, TAKE};
pub use standing::Fleet;
use standing::Standing;
pub use state::Held;
use target::Protocol;
pub use target::Target;
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
    /// In the order of their addresses.
    targets: Arc<[Arc<Target>]>,
    balancer: LoadBalancer<RoundRobin>,
    substitutes: AtomicUsize,
}

impl TargetGroup {
    /// Builds a group upon what is known of it. Targets that are not known count as healthy until their first check.
    fn build(
        group: &file::TargetGroup,
        protocol: &Protocol,
        standing: &Standing,
        metrics: &Metrics,
    ) -> Self {
        let targets = targets(group, protocol, standing, metrics);
        let backends = targets
            .iter()
            .map(|target| target.backend.clone())
            .collect();
        standing.configure(Settings::new(group, Arc::clone(&targets)));
        let backends =
            Backends::new_with_health_registry(Static::new(backends), Arc::clone(&standing.health));
        let balancer = match group.algorithm {
            file::Algorithm::RoundRobin => LoadBalancer::from_backends(backends),
        };
        let updated = balancer.update().now_or_never();
        if updated.is_none_or(|updated| updated.is_err()) {
            log::error!(
                "target group {}: its targets could not be taken over",
                group.name
            );
        }
        for target in targets.iter() {
            let is_healthy = balancer.backends().ready(&target.backend);
            target.metrics.healthy.set(is_healthy.into());
        }
        TargetGroup {
            name: group.name.as_str().into(),
            connect_timeout: group.connect_timeout,
            response_timeout: group.response_timeout,
            retries: group.health_check.retries.into(),
            targets,
            balancer,
            substitutes: AtomicUsize::new(0),
        }
    }

    /// All targets, in the order of their addresses.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.targets.iter()
    }

    /// The target for a request that was sent to none of `tried` yet; `None` when no fit one is left. Only the first try
    /// moves the turn: were the next request's target the one that has just failed, that one would get more than its share.
    pub fn pick(&self, tried: &[SocketAddr]) -> Option<Arc<Target>> {
        let proposed = tried.is_empty().then(|| self.propose(TAKE)).flatten();
        let turn = || self.substitutes.fetch_add(1, Relaxed);
        proposed.or_else(|| self.substitute(tried, turn)).cloned()
    }

    /// The target that the next request would get, were it picked now. It moves no turn.
    pub fn foresee(&self) -> Option<Arc<Target>> {
        let turn = || self.substitutes.load(Relaxed);
        let proposed = self.propose(LOOK);
        proposed.or_else(|| self.substitute(&[], turn)).cloned()
    }

    /// The target whose turn it is, if it is fit.
    fn propose(&self, turn: &[u8]) -> Option<&Arc<Target>> {
        let fit = |backend: &Backend, healthy: bool| {
            healthy && find(&self.targets, backend).is_some_and(|target| target.is_fit(&[]))
        };
        let proposed = self.balancer.select_with(turn, 1, fit)?;
        find(&self.targets, &proposed)
    }

    /// Takes the turn of a target that is not fit: one that is, in proportion to the weights.
    fn substitute(
        &self,
        tried: &[SocketAddr],
        turn: impl FnOnce() -> usize,
    ) -> Option<&Arc<Target>> {
        let is_fit = |target: &&Arc<Target>| target.is_fit(tried) && self.is_healthy(target);
        let fit: Vec<&Arc<Target>> = self.targets.iter().filter(is_fit).collect();
        let total: usize = fit.iter().map(|target| target.backend.weight).sum();
        let mut turn = turn().checked_rem(total)?;
        fit.into_iter()
            .find(|target| match turn.checked_sub(target.backend.weight) {
                Some(rest) => {
                    turn = rest;
                    false
                }
                None => true,
            })
    }

    /// What the last health checks say.
    pub fn is_healthy(&self, target: &Target) -> bool {
        self.balancer.backends().ready(&target.backend)
    }
}

fn targets(
    group: &file::TargetGroup,
    protocol: &Protocol,
    standing: &Standing,
    metrics: &Metrics,
) -> Arc<[Arc<Target>]> {
    let mut targets: Vec<&file::Target> = group.targets.iter().collect();
    targets.sort_by_key(|target| target.address);
    let states = standing
        .states
        .of(targets.iter().map(|target| target.address));
    let build = |(place, (target, state)): (usize, (&&file::Target, _))| {
        let metrics = metrics.target(&group.name, target.address);
        Arc::new(Target::build(target, place, protocol, state, metrics))
    };
    targets.iter().zip(states).enumerate().map(build).collect()
}

fn find<'a>(targets: &'a [Arc<Target>], backend: &Backend) -> Option<&'a Arc<Target>> {
    let address = backend.addr.as_inet()?;
    let place = targets
        .binary_search_by_key(address, |target| target.address)
        .ok()?;
    targets.get(place)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn group(targets: &[(u16, bool)]) -> TargetGroup {
        let target = |(place, (weight, maintenance)): (usize, &(u16, bool))| file::Target {
            address: address(place),
            weight: *weight,
            health_check_enabled: true,
            maintenance_enabled: *maintenance,
            maintenance_drain: false,
            proxy_protocol: None,
        };
        let group = file::TargetGroup {
            name: "chat".into(),
            algorithm: file::Algorithm::RoundRobin,
            tls: None,
            http_version: file::HttpVersion::Http1,
            targets: targets.iter().enumerate().map(target).collect(),
            health_check: file::HealthCheck {
                check_timeout: Duration::from_secs(2),
                check_interval: Duration::from_secs(2),
                retries: 3,
                healthy_threshold: 1,
                unhealthy_threshold: 3,
            },
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            deregistration_delay: Duration::from_secs(300),
        };
        let (standing, metrics) = (Standing::new("chat"), Metrics::new().unwrap());
        let protocol = Protocol::build(&group).unwrap();
        TargetGroup::build(&group, &protocol, &standing, &metrics)
    }

    fn address(place: usize) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 8000 + u16::try_from(place).unwrap()))
    }

    fn shares(group: &TargetGroup, picks: usize) -> HashMap<usize, usize> {
        let mut shares = HashMap::new();
        for _ in 0..picks {
            let target = group.pick(&[]).unwrap();
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
                let foreseen = [(); 3].map(|()| place(group.foresee()));
                let picked = place(group.pick(&[]));
                assert_eq!(foreseen, [picked; 3]);
            }
        }
    }

    #[test]
    fn the_turns_of_a_target_that_is_not_fit_go_to_the_others_by_weight() {
        let group = group(&[(1, false), (2, false), (7, false)]);
        let mut shares = [0; 3];
        for _ in 0..900 {
            shares[group.pick(&[address(2)]).unwrap().place] += 1;
        }
        assert_eq!(shares, [300, 600, 0]);
    }

    #[test]
    fn nothing_is_picked_where_every_weight_is_zero_or_there_is_no_target() {
        assert!(group(&[(0, false), (0, false)]).pick(&[]).is_none());
        assert!(group(&[(1, true)]).pick(&[]).is_none());
        assert!(group(&[]).pick(&[]).is_none());
    }

    #[test]
    fn each_target_is_picked_once_for_one_request() {
        let group = group(&[(1, false), (200, false), (1, false), (0, false)]);
        for _ in 0..50 {
            let mut tried = Vec::new();
            while let Some(target) = group.pick(&tried) {
                assert!(!tried.contains(&target.address));
                tried.push(target.address);
            }
            tried.sort();
            assert_eq!(tried, [address(0), address(1), address(2)]);
        }
    }
}
