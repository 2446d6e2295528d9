//! The service manager, and what it is told of this process: sd_notify(3). Where there is none,
//! nothing happens.
//!
//! A manager that listens to the main process alone (`NotifyAccess=main`) hears it and no other. It
//! learns from [`main_process`] that another process is the main one from now on; after that this
//! one is silent, whatever is called here: its own end is not the service's.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::os::reserve;
use crate::telemetry::diagnostics::OUTSIDE;

/// Another process is the service's main one.
static SUCCEEDED: AtomicBool = AtomicBool::new(false);

/// The service serves: at the end of the start, or of a reload.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload begins; [`ready`] ends it, whatever came of it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => log::warn!("the service manager is not told of the reload: {error}"),
    }
}

/// The service ends, and needs so long at most: the manager waits for that, or for its own
/// `TimeoutStopSec=` if that is longer.
pub fn stopping(within: Duration) {
    let time = format!("EXTEND_TIMEOUT_USEC={}", within.as_micros());
    tell(&[NotifyState::Stopping, NotifyState::Custom(&time)]);
}

/// From now on that process is the service's main one, and ready; it must be a child of the
/// manager's. It ends a reload, and it is the last that the manager hears of this process.
pub fn main_process(pid: u32) {
    tell(&[NotifyState::MainPid(pid), NotifyState::Ready]);
    SUCCEEDED.store(true, SeqCst);
}

/// A line for `systemctl status`.
pub fn status(text: &str) {
    // A line end would begin another assignment.
    tell(&[NotifyState::Status(&text.replace(['\n', '\r'], " "))]);
}

/// Tells the manager's watchdog, as often as it wants to hear it, that the runtime of this task
/// still turns. Without a watchdog it returns at once.
pub async fn keep_alive() {
    let watchdog = std::env::var("WATCHDOG_USEC").ok();
    let Some(patience) = watchdog.as_deref().and_then(patience) else {
        return;
    };
    loop {
        sleep(patience / 3).await;
        // The manager may be slow; those who serve connections do not wait for it.
        spawn_blocking(|| tell(&[NotifyState::Watchdog])).await.ok();
    }
}

/// How long the watchdog waits, from its variable. WATCHDOG_PID is not looked at: a process that
/// succeeds another inherits it, and it names the other.
fn patience(microseconds: &str) -> Option<Duration> {
    let microseconds = microseconds.parse().ok().filter(|time| *time > 0)?;
    Some(Duration::from_micros(microseconds))
}

pub(super) fn tell(news: &[NotifyState<'_>]) {
    tell_with(news, &[]);
}

/// Tells it something, and gives it these files.
pub(super) fn tell_with(news: &[NotifyState<'_>], files: &[BorrowedFd<'_>]) {
    if SUCCEEDED.load(SeqCst) {
        return;
    }
    let told = reserve::with(1, || match files {
        [] => sd_notify::notify(news),
        files => sd_notify::notify_with_fds(news, files),
    });
    if let Err(error) = told {
        log::warn!(target: OUTSIDE, "the service manager cannot be told {news:?}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdogs_patience_is_a_positive_number_of_microseconds() {
        assert_eq!(patience("30000000"), Some(Duration::from_secs(30)));
        for nothing in ["", "0", "-1", "30s"] {
            assert_eq!(patience(nothing), None, "{nothing}");
        }
    }
}
