//! What a change costs with 5,000 targets in 500 groups and 2,000 HTTP rules: of one group's
//! targets, of one target by an operator, and of the whole configuration; and what it costs to
//! empty 200 targets of 50,000 tunnels.
//!
//! It is CPU time of the process that is counted, with all that follows from a change: health
//! checks that hear of it, targets that are emptied. The tunnels are registered like real ones, and
//! nobody relays them: what their ends cost is not in it. A group should take at most 2 ms, a
//! reload 1 s, and emptying less than 5 % of a core.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use culvert::config;
use culvert::config::model::TargetGroup;
use culvert::listener::Sockets;
use culvert::serving::{Knowledge, Secrets, Serving};
use culvert::target_group::Change;
use culvert::tunnel::{Identity, Listed};
use rustix::time::{ClockId, clock_gettime};

#[path = "../tests/edge/harness/ports.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the tests need more of it than the bench"
)]
mod ports;

use ports::free_address;

const GROUPS: usize = 500;
const TARGETS: usize = 10;
const RULES: usize = 4;
const HTTP_RULES: usize = 500;
const CHANGES: usize = 1000;
const RELOADS: usize = 10;
/// Those whose targets all go, and how many tunnels each target has.
const LEFT: usize = 20;
const TUNNELS: usize = 250;
/// How long tunnels are left alone, and over how long they are ended then.
const DELAY: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(10);
/// How long what follows from a change may take.
const SETTLED: Duration = Duration::from_millis(500);

fn main() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("culvert.yaml");
    std::fs::write(&path, text(folder.path()))?;
    let serving = serve(&path)?;
    let upkeep = keep_up(&serving);
    thread::sleep(SETTLED);
    let groups = serving.config().target_groups.clone();
    let cost = cost_of_each(CHANGES, |number| {
        let group = TargetGroup::clone(&groups[number / 2 % GROUPS]);
        let targets = match number % 2 {
            0 => group.targets[1..].to_vec(),
            _ => group.targets.clone(),
        };
        let changed = serving.change_group(TargetGroup { targets, ..group });
        changed.map_err(io::Error::other)
    })?;
    println!("one group's targets changed: CPU {cost:.2?}; goal: at most 2 ms");
    let cost = cost_of_each(CHANGES, |number| {
        let group = &groups[number % GROUPS];
        let change = Change {
            weight: Some(Some(7)),
            ..Change::default()
        };
        let target = &group.targets[0].address;
        let decided = serving.decide(&group.name, target, change);
        decided.map(drop).map_err(io::Error::other)
    })?;
    println!("one target's weight decided: CPU {cost:.2?}; goal: at most 2 ms");
    let cost = cost_of_each(RELOADS, |_| serving.reload().map_err(io::Error::other))?;
    println!("the whole reloaded: CPU {cost:.2?}; goal: at most 1 s");
    let share = emptying(&serving, &groups, &upkeep)?;
    println!(
        "{} targets emptied of {} tunnels over {WINDOW:?}: {share:.2} % of a core; goal: less than 5 %",
        LEFT * TARGETS,
        LEFT * TARGETS * TUNNELS
    );
    Ok(())
}

fn text(folder: &Path) -> String {
    let folder = folder.display();
    let mut text = format!(
        "admin: {{listen: 'unix:{folder}/admin'}}\naccessLog: {{path: '{folder}/log'}}\nforwardingRules:\n"
    );
    for rule in 0..RULES {
        let address = free_address();
        let (ip, port) = (address.ip(), address.port());
        text += &format!(
            "- name: rule {rule}\n  protocol: HTTP\n  listenerIp: {ip}\n  listenerPort: {port}\n  httpRules:\n"
        );
        for http_rule in 0..HTTP_RULES {
            let group = (rule * HTTP_RULES + http_rule) % GROUPS;
            let host = format!("{{type: HOST, condition: EQUALS, value: h{http_rule}.example}}");
            // Writing to a string does not fail.
            _ = writeln!(
                text,
                "  - {{name: to {http_rule}, type: FORWARD, targetGroup: group {group}, conditions: [{host}]}}"
            );
        }
    }
    text += "targetGroups:\n";
    for group in 0..GROUPS {
        // The clocks of health checks, which run in any case, are not what is measured.
        let target = |number: usize| {
            let (high, low) = (group / 256, group % 256);
            format!("{{ip: 10.{high}.{low}.{number}, port: 80, healthCheckEnabled: false}}")
        };
        let targets: Vec<String> = (0..TARGETS).map(target).collect();
        let (targets, delay) = (targets.join(", "), DELAY.as_secs());
        _ = writeln!(
            text,
            "- {{name: group {group}, algorithm: ROUND_ROBIN, protocol: HTTP,
  deregistrationDelay: {delay}s, healthCheck: {{checkInterval: 1h}}, targets: [{targets}]}}"
        );
    }
    text
}

fn serve(path: &Path) -> io::Result<Arc<Serving>> {
    let loaded = config::load(path).map_err(io::Error::other)?;
    let (secrets, known) = (Secrets::default(), Knowledge::default());
    let sockets = &mut Sockets::default();
    let serving = Serving::build(Some(path), loaded.config, sockets, secrets, known);
    let told = |problems: Vec<config::problem::Problem>| io::Error::other(format!("{problems:?}"));
    serving.map(Arc::new).map_err(told)
}

/// Does what target groups need beside requests, on a thread of its own; the CPU time of it, in
/// nanoseconds, as it goes.
fn keep_up(serving: &Arc<Serving>) -> Arc<AtomicU64> {
    let (serving, spent) = (Arc::clone(serving), Arc::<AtomicU64>::default());
    let told = Arc::clone(&spent);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("there are threads").block_on(async {
            let telling = async {
                let mut ticks = tokio::time::interval(Duration::from_millis(50));
                loop {
                    ticks.tick().await;
                    let nanos = cpu(ClockId::ThreadCPUTime).as_nanos();
                    told.store(u64::try_from(nanos).unwrap_or(u64::MAX), Relaxed);
                }
            };
            tokio::join!(
                serving.fleet.check_health(),
                serving.evict_unhealthy(),
                serving.empty_targets(),
                telling
            )
        })
    });
    spent
}

fn cost_of_each(times: usize, change: impl Fn(usize) -> io::Result<()>) -> io::Result<Duration> {
    let before = cpu(ClockId::ProcessCPUTime);
    for number in 0..times {
        change(number)?;
    }
    thread::sleep(SETTLED);
    let spent = cpu(ClockId::ProcessCPUTime) - before;
    Ok(spent / u32::try_from(times).unwrap_or(u32::MAX))
}

/// The share of a core, in percent, that emptying targets takes while their tunnels are ended.
fn emptying(serving: &Serving, groups: &[Arc<TargetGroup>], spent: &AtomicU64) -> io::Result<f64> {
    let left = &groups[..LEFT];
    let targets = left.iter().flat_map(|group| {
        let targets = group.targets.iter();
        targets.map(|target| (group.name.as_str(), target.address.clone()))
    });
    let mut open = Vec::new();
    for (group, target) in targets {
        for _ in 0..TUNNELS {
            let identity = Identity {
                id: String::new(),
                forwarding_rule: "rule 0".into(),
                target_group: group.into(),
                target: target.clone(),
                client: SocketAddr::from(([192, 0, 2, 1], 1)).into(),
                uri: "/".into(),
            };
            open.push(Listed::open(&serving.drain.tunnels, identity));
        }
    }
    for group in left {
        let targets = Vec::new();
        let group = TargetGroup::clone(group);
        let changed = serving.change_group(TargetGroup { targets, ..group });
        changed.map_err(io::Error::other)?;
    }
    thread::sleep(DELAY - SETTLED);
    let (began, before) = (Instant::now(), spent.load(Relaxed));
    while began.elapsed() < WINDOW + 2 * SETTLED {
        thread::sleep(Duration::from_millis(100));
        open.retain(|tunnel| tunnel.order().is_none());
    }
    if !open.is_empty() {
        return Err(io::Error::other(format!("{} are left", open.len())));
    }
    let spent = Duration::from_nanos(spent.load(Relaxed) - before);
    Ok(100.0 * spent.as_secs_f64() / WINDOW.as_secs_f64())
}

fn cpu(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}
