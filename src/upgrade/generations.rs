//! Old generations: processes that have handed over, and still hold tunnels. They report every second; one that is silent is
//! gone.

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::link::{Link, Message};
use super::on_thread;
use crate::telemetry::metrics::{Metrics, Open};

const EVERY: Duration = Duration::from_secs(1);
/// After this silence a process is gone.
const SILENCE: Duration = Duration::from_millis(3500);

/// The old generations that are known, by their process id. Their tunnels are in the metrics.
pub struct Generations {
    metrics: Arc<Metrics>,
    known: Mutex<HashMap<u32, Report>>,
}

struct Report {
    at: Instant,
    open: Vec<Open>,
}

impl Generations {
    /// None yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Generations {
            metrics,
            known: Mutex::default(),
        }
    }

    /// A process tells what it holds.
    pub(super) fn report(&self, pid: u32, open: Vec<Open>) {
        let mut known = self.lock();
        self.count(&open, 1);
        let report = Report {
            at: Instant::now(),
            open,
        };
        if let Some(before) = known.insert(pid, report) {
            self.count(&before.open, -1);
        }
        self.show(&known);
    }

    /// Forgets those that are silent.
    pub fn prune(&self) {
        let mut known = self.lock();
        known.retain(|_, report| {
            let is_here = report.at.elapsed() < SILENCE;
            if !is_here {
                self.count(&report.open, -1);
            }
            is_here
        });
        self.show(&known);
    }

    /// Forgets all: they report to another process from now on.
    pub fn forget(&self) {
        let mut known = self.lock();
        for (_, report) in known.drain() {
            self.count(&report.open, -1);
        }
        self.show(&known);
    }

    /// Has all of them drain, too.
    pub fn drain(&self) {
        for pid in self.lock().keys() {
            if let Err(error) = signal(*pid, Signal::TERM) {
                log::debug!("old process {pid}: {error}");
            }
        }
    }

    /// Returns once all are gone.
    pub async fn gone(&self) {
        while self.lock().keys().any(|pid| is_alive(*pid)) {
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

    fn count(&self, open: &[Open], sign: i64) {
        for open in open {
            self.metrics.add_tunnels(open, sign * open.tunnels);
        }
    }

    fn show(&self, known: &HashMap<u32, Report>) {
        let open = known.values().flat_map(|report| &report.open);
        let tunnels = open.map(|open| open.tunnels).sum();
        self.metrics.show_generations(known.len(), tunnels);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Report>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn signal(pid: u32, signal: Signal) -> Result<(), rustix::io::Errno> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.ok_or(rustix::io::Errno::SRCH)?, signal)
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

/// Reports to whoever serves at `socket` what this process still holds, for ever.
pub async fn report_for_ever(socket: PathBuf, metrics: Arc<Metrics>) {
    loop {
        let (socket, open) = (socket.clone(), metrics.open_tunnels());
        let report = move || -> io::Result<()> {
            let link = Link::new(UnixStream::connect(socket)?);
            link.patience(Some(EVERY))?;
            link.send(&Message::StillOpen(open))
        };
        let reported = on_thread(report).await;
        if let Ok(Err(error)) = reported {
            log::debug!("old process: its tunnels could not be reported: {error}");
        }
        tokio::time::sleep(EVERY).await;
    }
}
