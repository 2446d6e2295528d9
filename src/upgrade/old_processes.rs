//! Old generations: processes that have handed over, and still hold tunnels. They report every
//! second; one that is silent is gone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use crate::target_group::Fleet;
use crate::telemetry::metrics::{Metrics, Open};

const EVERY: Duration = Duration::from_secs(1);
/// How long to wait for what a process that has just handed over holds: nobody accepts meanwhile.
const FIRST_WORD: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_millis(1);
/// After this silence a process is gone.
const SILENCE: Duration = Duration::from_millis(3500);

/// The old generations that are known, by their process id. Their tunnels are in the metrics, and
/// counted as what their targets carry.
pub struct OldProcesses {
    fleet: Arc<Fleet>,
    metrics: Arc<Metrics>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    reports: HashMap<u32, Report>,
    /// What all of them are to do: SIGTERM or SIGINT.
    order: Option<Signal>,
    /// What each was told last. A second SIGTERM would be an order to exit.
    told: HashMap<u32, Signal>,
}

struct Report {
    at: Instant,
    /// `None` before it has said anything.
    open: Option<Vec<Open>>,
    /// Why tunnels stay there.
    staying: Staying,
}

/// How many tunnels stay in a process, by a word for why.
pub(super) type Staying = BTreeMap<String, u64>;

impl OldProcesses {
    /// Knows of no old processes yet.
    pub fn new(metrics: Arc<Metrics>, fleet: Arc<Fleet>) -> Self {
        OldProcesses {
            fleet,
            metrics,
            known: Mutex::default(),
        }
    }

    /// These processes are there, and will report.
    pub fn expect(&self, processes: &[u32]) {
        let mut known = self.known.lock();
        for pid in processes.iter().filter(|pid| is_alive(**pid)) {
            known.reports.entry(*pid).or_insert_with(|| Report {
                at: Instant::now(),
                open: None,
                staying: Staying::new(),
            });
        }
        self.changed(&mut known);
    }

    /// A process tells what it holds.
    pub(super) fn report(&self, pid: u32, open: Vec<Open>, staying: Staying) {
        let mut known = self.known.lock();
        let report = Report {
            at: Instant::now(),
            open: Some(open),
            staying,
        };
        known.reports.insert(pid, report);
        self.changed(&mut known);
    }

    /// So many tunnels of a process, by forwarding rule, target group and target, are not its own
    /// any more.
    pub(super) fn has_left(&self, pid: u32, left: &BTreeMap<[String; 3], i64>) {
        let mut known = self.known.lock();
        let open = known.reports.get_mut(&pid);
        let open = open.and_then(|report| report.open.as_mut());
        for open in open.into_iter().flatten() {
            open.tunnels -= left.get(&open.labels()).copied().unwrap_or(0);
        }
        self.changed(&mut known);
    }

    /// Returns once this one has said what it holds, or has had the time for it.
    pub async fn first_word(&self, pid: u32) {
        let end = Instant::now() + FIRST_WORD;
        let is_silent = || {
            let known = self.known.lock();
            let report = known.reports.get(&pid);
            report.is_some_and(|report| report.open.is_none())
        };
        while is_silent() && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The ids of the processes that are known.
    pub fn processes(&self) -> Vec<u32> {
        self.known.lock().reports.keys().copied().collect()
    }

    /// The same, with how many tunnels each has and why they stay there, by their ids.
    pub fn told(&self) -> Vec<(u32, i64, Staying)> {
        let known = self.known.lock();
        let told = |(pid, report): (&u32, &Report)| {
            let open = report.open.iter().flatten();
            let tunnels = open.map(|open| open.tunnels).sum();
            (*pid, tunnels, report.staying.clone())
        };
        let mut all: Vec<_> = known.reports.iter().map(told).collect();
        all.sort_unstable_by_key(|(pid, ..)| *pid);
        all
    }

    /// Forgets those that are silent, or gone.
    pub fn prune(&self) {
        let mut known = self.known.lock();
        known
            .reports
            .retain(|pid, report| report.at.elapsed() < SILENCE && is_alive(*pid));
        self.changed(&mut known);
    }

    /// Forgets all: they report to another process from now on.
    pub fn forget(&self) {
        let mut known = self.known.lock();
        known.reports.clear();
        self.changed(&mut known);
    }

    /// Has all of them drain, too, and those that report from now on.
    pub fn drain(&self) {
        let mut known = self.known.lock();
        known.order.get_or_insert(Signal::TERM);
        self.changed(&mut known);
    }

    /// Has all of them exit now, and those that report from now on.
    pub fn stop(&self) {
        let mut known = self.known.lock();
        known.order = Some(Signal::INT);
        self.changed(&mut known);
    }

    /// Has all of them open their logs anew.
    pub fn reopen_logs(&self) {
        for pid in self.processes() {
            tell(pid, Signal::USR1);
        }
    }

    /// Returns once all are gone.
    pub async fn gone(&self) {
        while self.processes().into_iter().any(is_alive) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Prunes for ever.
    pub async fn watch(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.prune();
        }
    }

    /// Shows what is known, and gives the order to those that do not have it yet.
    fn changed(&self, known: &mut Known) {
        let Known {
            reports,
            order,
            told,
        } = known;
        if let Some(order) = *order {
            let mut has_it = |pid: &u32| told.insert(*pid, order) == Some(order);
            for pid in reports.keys().copied().filter(|pid| !has_it(pid)) {
                tell(pid, order);
            }
        }
        let open = reports.values().flat_map(|report| report.open.clone());
        let open: Vec<Open> = open.flatten().collect();
        self.fleet.count_elsewhere(&open);
        self.metrics.show_generations(reports.len(), open);
    }
}

/// Sends a signal to a process of ours, which may be gone.
pub(super) fn tell(pid: u32, signal: Signal) {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(Err(error)) = process.map(|process| kill_process(process, signal)) {
        log::debug!("process {pid}: {error}");
    }
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}
