//! Empties single targets: those that left the configuration, and those in maintenance that are to be drained.
//!
//! Each is a task for one target. The next configuration may call it off; what it has not ended by then stays open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::pace::{Pace, end_tunnels};
pub use crate::target_group::TargetId;
use crate::telemetry::CloseReason;
use crate::tunnel::{Handle, Tunnels};

/// How often to look whether a target has tunnels still, and how often in a row it has none before that is believed.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: u32 = 5;

/// How a target is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eviction {
    /// Why its tunnels are ended.
    pub reason: CloseReason,
    /// How long they are left alone first.
    pub delay: Duration,
    /// Over how long their ends are spread.
    pub window: Duration,
}

/// The targets that are being emptied.
pub struct Evictions {
    tunnels: Arc<Tunnels>,
    running: Mutex<HashMap<TargetId, (Eviction, AbortHandle)>>,
}

impl Evictions {
    /// None yet.
    pub fn new(tunnels: Arc<Tunnels>) -> Self {
        Evictions {
            tunnels,
            running: Mutex::default(),
        }
    }

    /// The targets that left the configuration and still may have tunnels.
    pub fn removed(&self) -> Vec<(TargetId, Eviction)> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, (_, task)| !task.is_finished());
        let removed = running
            .iter()
            .filter(|(_, (eviction, _))| eviction.reason == CloseReason::TargetRemoved);
        removed
            .map(|(target, (eviction, _))| (target.clone(), *eviction))
            .collect()
    }

    /// Empties these targets and no others. One that is being emptied for the same reason already is left to that.
    pub fn evict(&self, wanted: HashMap<TargetId, Eviction>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|target, (eviction, task)| {
            let stays = wanted
                .get(target)
                .is_some_and(|wanted| wanted.reason == eviction.reason)
                && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        for (target, eviction) in wanted {
            running.entry(target).or_insert_with_key(|target| {
                let task = empty(target.clone(), eviction, Arc::clone(&self.tunnels));
                (eviction, tokio::spawn(task).abort_handle())
            });
        }
    }
}

async fn empty((group, address): TargetId, eviction: Eviction, tunnels: Arc<Tunnels>) {
    let is_its = |tunnel: &Handle| {
        let identity = &tunnel.identity;
        identity.target == address && *identity.target_group == *group
    };
    sleep(eviction.delay).await;
    let pace = Pace::over(eviction.window);
    end_tunnels(&tunnels, is_its, eviction.reason, pace).await;
    // A handshake that was under way may still have become a tunnel, or will.
    let mut looks = LOOKS;
    while looks > 0 {
        let open = tunnels.list_where(is_its);
        for tunnel in open.iter().filter(|tunnel| !tunnel.is_ending()) {
            tunnel.end(eviction.reason);
        }
        looks = if open.is_empty() { looks - 1 } else { LOOKS };
        sleep(LOOK).await;
    }
    if eviction.reason == CloseReason::TargetRemoved {
        log::info!("target group {group}: target {address} is gone");
    }
}
