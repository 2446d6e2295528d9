//! An hour of a fleet of 20 targets, in virtual time: they join, leave, die and flap, and load
//! evens out.
//!
//! The groups, the balance, the evictions and the registry of tunnels are those of the process;
//! clients and targets are played.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::even_out;
use crate::config::model::{Algorithm, Rebalance, TargetGroup as Description};
use crate::config::secret_key::SecretKey;
use crate::drain::{Cause, Drain, Eviction, Evictions, Gauges};
use crate::os::random::chance;
use crate::target_address::TargetAddress;
use crate::target_group::tests::{address, described};
use crate::target_group::{Fleet, Held, PickContext, TargetGroup};
use crate::telemetry::CloseReason;
use crate::telemetry::metrics::Metrics;
use crate::tunnel::{Identity, Listed};

const CLIENTS: usize = 4000;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: u64 = 60;

/// What happens to a target.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// It is added to the configuration.
    Joins,
    /// It is taken out of the configuration.
    Leaves,
    /// Its tunnels break, nobody can connect, and soon its checks fail.
    Dies,
    /// Its checks fail; what is open stays.
    Fails,
    /// It can be connected to, and its checks pass again.
    Recovers,
}
use Event::{Dies, Fails, Joins, Leaves, Recovers};

/// What happens to whom, and when; 20 targets are there in the end. The last change is at minute
/// 45.
const SCRIPT: &[(u64, usize, Event)] = &[
    (2 * MINUTE, 14, Joins),
    (3 * MINUTE, 15, Joins),
    (5 * MINUTE, 3, Dies),
    (8 * MINUTE, 3, Recovers),
    (10 * MINUTE, 4, Fails),
    (10 * MINUTE + 20, 4, Recovers),
    (10 * MINUTE + 50, 4, Fails),
    (11 * MINUTE + 10, 4, Recovers),
    (14 * MINUTE, 0, Leaves),
    (15 * MINUTE, 16, Joins),
    (15 * MINUTE, 17, Joins),
    (20 * MINUTE, 7, Dies),
    (20 * MINUTE, 8, Dies),
    (22 * MINUTE, 8, Recovers),
    (26 * MINUTE, 7, Recovers),
    (30 * MINUTE, 0, Joins),
    (33 * MINUTE, 18, Joins),
    (36 * MINUTE, 9, Fails),
    (37 * MINUTE, 9, Recovers),
    (40 * MINUTE, 5, Leaves),
    (42 * MINUTE, 19, Joins),
    (43 * MINUTE, 5, Joins),
    (44 * MINUTE, 12, Dies),
    (45 * MINUTE, 12, Recovers),
];

enum Client {
    Away(Instant),
    Open(Tunnel),
}

struct Tunnel {
    listed: Listed,
    _held: Held,
}

impl Tunnel {
    fn target(&self) -> &TargetAddress {
        &self.listed.identity().target
    }
}

/// The groups, and who is in them.
struct World {
    fleet: Fleet,
    groups: Arc<Mutex<Vec<Arc<TargetGroup>>>>,
    evictions: Arc<Evictions>,
    drain: Arc<Drain>,
    present: BTreeSet<usize>,
    dead: BTreeSet<usize>,
    clients: Vec<Client>,
    /// Why tunnels ended; `None` is the death of their targets.
    ends: BTreeMap<Option<&'static str>, usize>,
}

impl World {
    fn new() -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let drain = Arc::new(Drain::new(Gauges {
            draining: metrics.process.draining.clone(),
            remaining: metrics.process.drain_remaining.clone(),
            lost: metrics.process.access_log_dropped.clone(),
        }));
        let mut world = World {
            fleet: Fleet::new(metrics, SecretKey::random().unwrap()),
            groups: Arc::default(),
            evictions: Arc::new(Evictions::new(Arc::clone(&drain.tunnels))),
            drain,
            present: (0..14).collect(),
            dead: BTreeSet::new(),
            clients: (0..CLIENTS).map(|_| Client::Away(Instant::now())).collect(),
            ends: BTreeMap::new(),
        };
        world.reload();
        world
    }

    fn reload(&mut self) {
        let all = described(Algorithm::LeastConnection, &[1; 20]);
        let is_present = |number: &usize| self.present.contains(number);
        let targets = (0..20).filter(is_present);
        let group = Description {
            targets: targets.map(|number| all.targets[number].clone()).collect(),
            slow_start: Duration::from_secs(30),
            rebalance: Some(Rebalance {
                rate: 10,
                min_age: Duration::from_secs(30),
            }),
            ..all.clone()
        };
        *self.groups.lock() = self
            .fleet
            .prepare_and_build(&[Arc::new(group)], &[])
            .unwrap();
    }

    fn group(&self) -> Arc<TargetGroup> {
        Arc::clone(&self.groups.lock()[0])
    }

    fn happens(&mut self, target: usize, event: Event) {
        match event {
            Joins => {
                self.present.insert(target);
                self.reload();
                self.checks_find(target, true);
            }
            Leaves => {
                self.present.remove(&target);
                self.reload();
                let removal = Eviction {
                    reason: CloseReason::TargetRemoved,
                    delay: Duration::from_secs(20),
                    window: Duration::from_secs(60),
                };
                let id = ("chat".to_owned(), address(target));
                let wanted = [(id, removal)].into();
                self.evictions.evict(Cause::Configuration, |_| true, wanted);
            }
            Dies => {
                self.dead.insert(target);
                self.end(|tunnel| (*tunnel.target() == address(target)).then_some(None));
                self.checks_find(target, false);
            }
            Fails => self.checks_find(target, false),
            Recovers => {
                self.dead.remove(&target);
                self.checks_find(target, true);
            }
        }
    }

    /// As many checks in a row as it takes.
    fn checks_find(&self, target: usize, has_passed: bool) {
        for _ in 0..3 {
            self.fleet.find("chat", &address(target), has_passed);
        }
    }

    /// Ends the tunnels for which there is a reason; their clients come back within a few seconds.
    fn end(&mut self, why: impl Fn(&Tunnel) -> Option<Option<&'static str>>) {
        for client in &mut self.clients {
            if let Client::Open(tunnel) = client
                && let Some(reason) = why(tunnel)
            {
                *self.ends.entry(reason).or_default() += 1;
                *client = Client::Away(Instant::now() + SECOND.mul_f64(4.0 * chance()));
            }
        }
    }

    /// What clients do in a second.
    fn live(&mut self) {
        self.end(|tunnel| tunnel.listed.order().map(|reason| Some(reason.as_str())));
        let group = self.group();
        for client in &mut self.clients {
            if matches!(client, Client::Away(until) if *until <= Instant::now())
                && let Some(tunnel) = connect(&group, &self.drain, &self.dead)
            {
                *client = Client::Open(tunnel);
            }
        }
    }

    /// By what part of it the load of any target differs from the even load.
    fn unevenness(&self) -> f64 {
        let group = self.group();
        let loads: Vec<f64> = group.targets().map(|target| target.load() as f64).collect();
        let even = loads.iter().sum::<f64>() / loads.len() as f64;
        let worst = loads.iter().map(|load| (load - even).abs());
        worst.fold(0.0, f64::max) / even
    }
}

/// A tunnel to a target that the balance picks; one that is dead is tried in vain.
fn connect(group: &TargetGroup, drain: &Drain, dead: &BTreeSet<usize>) -> Option<Tunnel> {
    let mut tried = Vec::new();
    loop {
        let context = PickContext {
            tried: &tried,
            ..PickContext::default()
        };
        let (target, held) = group.pick(&context).ok()?;
        if dead.iter().any(|dead| address(*dead) == target.address) {
            tried.push(target.address.clone());
            continue;
        }
        let identity = Identity {
            id: String::new(),
            forwarding_rule: "edge".into(),
            target_group: Arc::clone(&group.name),
            target: target.address.clone(),
            client: SocketAddr::from(([192, 0, 2, 1], 1)).into(),
            uri: "/".into(),
        };
        return Some(Tunnel {
            listed: Listed::open(&drain.tunnels, identity),
            _held: held,
        });
    }
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_a_fleet_that_joins_leaves_dies_and_flaps_ends_even() {
    let mut world = World::new();
    let (drain, groups) = (Arc::clone(&world.drain), Arc::clone(&world.groups));
    let evening_out = tokio::spawn(async move { even_out(&drain, || groups.lock().clone()).await });
    let evictions = Arc::clone(&world.evictions);
    let emptying = tokio::spawn(async move { evictions.run(|| {}).await });
    for second in 0..60 * MINUTE {
        let now = SCRIPT.iter().filter(|(at, ..)| *at == second);
        for (_, target, event) in now {
            world.happens(*target, *event);
        }
        world.live();
        sleep(SECOND).await;
        if second >= 55 * MINUTE {
            let unevenness = world.unevenness();
            assert!(unevenness < 0.05, "{unevenness} at {second} s");
        }
    }
    evening_out.abort();
    emptying.abort();
    let open = world
        .clients
        .iter()
        .filter(|client| matches!(client, Client::Open(_)));
    assert_eq!(
        (open.count(), world.drain.tunnels.count()),
        (CLIENTS, CLIENTS)
    );
    let reasons: Vec<_> = world.ends.keys().copied().collect();
    assert_eq!(reasons, [None, Some("rebalanced"), Some("target_removed")]);
    // Each of the 17 that joined or came back may have cost its share, of at most 286, once.
    let rebalanced = world.ends[&Some("rebalanced")];
    assert!((1000..17 * 290).contains(&rebalanced), "{:?}", world.ends);
}
