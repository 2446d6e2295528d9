//! The demo's processes: the one that serves, and those that take over from it.
//!
//! They are in a process group of their own, so that the terminal's signals come here, once, and
//! go on to the process that serves. Whoever takes over is a child of ours when who started it is
//! gone, and so the demo lasts as long as anybody serves.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};
use tokio::signal::unix::{SignalKind, signal};

use crate::os::daemon;

/// Those that run.
pub(super) struct Processes {
    signals: Signals,
    first: Option<Pid>,
    pid_file: PathBuf,
}

struct Signals {
    child: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Processes {
    /// Starts one with this configuration, which says that its pid file is there.
    pub(super) fn start(file: &Path, pid_file: PathBuf) -> io::Result<Processes> {
        // Before anything can happen that they tell.
        let signals = Signals {
            child: signal(SignalKind::child())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        };
        set_child_subreaper(Some(getpid()))?;
        let mut command = Command::new(daemon::OURSELVES);
        if let Some(name) = std::env::args_os().next() {
            command.arg0(name);
        }
        command.arg("-c").arg(file).stdin(Stdio::null());
        let child = command.process_group(0).spawn()?;
        let first = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok(Processes {
            signals,
            first,
            pid_file,
        })
    }

    /// Passes signals on until nobody serves any more. The error is how the last one ended.
    pub(super) async fn end(&mut self) -> Result<(), String> {
        let mut last = Ok(());
        loop {
            let order = tokio::select! {
                _ = self.signals.child.recv() => None,
                _ = self.signals.interrupt.recv() => Some(Signal::INT),
                _ = self.signals.terminate.recv() => Some(Signal::TERM),
                // The terminal is gone.
                _ = self.signals.hangup.recv() => Some(Signal::INT),
            };
            if let Some(order) = order {
                self.tell(order);
            } else if reap(&mut last) {
                return last;
            }
        }
    }

    /// Sends a signal to the one that serves, which may be gone.
    fn tell(&self, order: Signal) {
        let said = fs::read_to_string(&self.pid_file).ok();
        let serves = said.and_then(|text| text.trim().parse().ok().and_then(Pid::from_raw));
        let Some(pid) = serves.or(self.first) else {
            return;
        };
        if let Err(error) = kill_process(pid, order) {
            log::debug!("process {pid:?}: {error}");
        }
    }
}

/// Takes note of those that have ended; tells whether none is left.
fn reap(last: &mut Result<(), String>) -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((_, status))) if status.exit_status() == Some(0) => *last = Ok(()),
            Ok(Some((pid, status))) => {
                let how = match status.exit_status() {
                    Some(code) => format!("exit status {code}"),
                    None => format!("signal {}", status.terminating_signal().unwrap_or_default()),
                };
                *last = Err(format!("process {} ended with {how}", pid.as_raw_nonzero()));
            }
            Ok(None) => return false,
            Err(Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}
