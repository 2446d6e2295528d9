//! Has every certificate looked after that is issued by ACME, on a thread of its own: whatever its
//! folders and its directories do, nobody waits for them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::challenges::Challenges;
use super::renewals::Renewals;
use super::tend::{Shared, Tended};
use crate::config::Config;
use crate::config::model::Acme;
use crate::telemetry::metrics::Metrics;

/// How many are ordered at a time.
const MOST_ORDERS: usize = 4;

/// Whoever renews certificates.
pub struct Keeper {
    shared: Arc<Shared>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    /// Where it happens; `None` as long as nothing has to.
    thread: Option<Handle>,
    tasks: HashMap<String, (Arc<Acme>, AbortHandle)>,
    /// Whether this process renews, and no other one of this node.
    has_begun: bool,
}

impl Keeper {
    /// Whoever renews certificates; they are told as `changed` when there is a new one on disk.
    pub fn new(
        challenges: Arc<Challenges>,
        renewals: Arc<Renewals>,
        metrics: Arc<Metrics>,
        changed: mpsc::Sender<()>,
    ) -> Self {
        let shared = Shared {
            challenges,
            renewals,
            metrics,
            changed,
            orders: Semaphore::new(MOST_ORDERS),
        };
        Keeper {
            shared: Arc::new(shared),
            running: Mutex::default(),
        }
    }

    /// Begins to renew those of this configuration.
    pub fn begin(&self, config: &Config) {
        self.running.lock().has_begun = true;
        self.follow(config);
    }

    /// Renews those of this configuration from now on. An order that is under way goes on if its
    /// settings stay.
    pub fn follow(&self, config: &Config) {
        let mut running = self.running.lock();
        if !running.has_begun {
            return;
        }
        let all = config.certificates.iter();
        let wanted: HashMap<&str, &Arc<Acme>> = all
            .filter_map(|one| Some((one.name.as_str(), one.acme.as_ref()?)))
            .collect();
        running.tasks.retain(|name, (acme, task)| {
            let stays = wanted
                .get(name.as_str())
                .is_some_and(|wanted| is_same(wanted, acme));
            if !stays {
                task.abort();
            }
            stays
        });
        let is_there = |name: &str| wanted.contains_key(name);
        self.shared.renewals.keep(is_there);
        self.shared.metrics.process.renewals.keep(is_there);
        for (name, acme) in &wanted {
            if running.tasks.contains_key(*name) {
                continue;
            }
            let Some(thread) = thread(&mut running.thread) else {
                return;
            };
            let tended = Tended {
                name: (*name).to_owned(),
                acme: Arc::clone(acme),
                shared: Arc::clone(&self.shared),
                wish: self.shared.renewals.begin(name),
            };
            let task = thread.spawn(tended.tend()).abort_handle();
            let task = (Arc::clone(acme), task);
            running.tasks.insert((*name).to_owned(), task);
        }
    }

    /// Renews nothing any more: another process does, or this one ends.
    pub fn leave(&self) {
        let mut running = self.running.lock();
        running.has_begun = false;
        for (_, (_, task)) in running.tasks.drain() {
            task.abort();
        }
        self.shared.renewals.keep(|_| false);
    }
}

/// The thread, which is started where there is none.
fn thread(handle: &mut Option<Handle>) -> Option<Handle> {
    if let Some(handle) = handle {
        return Some(handle.clone());
    }
    let started = Builder::new_current_thread().enable_all().build();
    let started = started.and_then(|runtime| {
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new().name("certificates".into());
        let forever = move || runtime.block_on(std::future::pending::<()>());
        thread.spawn(forever).map(|_| handle)
    });
    match started {
        Ok(started) => *handle = Some(started),
        Err(error) => log::error!("no certificate is renewed: {error}"),
    }
    handle.clone()
}

/// Whether an order would be the same.
fn is_same(one: &Acme, other: &Acme) -> bool {
    let parts = |acme: &Acme| {
        (
            (
                acme.names.clone(),
                acme.directory.clone(),
                acme.authorities.clone(),
            ),
            (acme.contact.clone(), acme.state_directory.clone()),
            (acme.challenge.clone(), acme.external_account.clone()),
        )
    };
    parts(one) == parts(other)
}
