//! The life of the process: does what it is told to, one order at a time, until one ends it.
//!
//! Whatever ends it, every open exchange leaves its line in the access log first. Pingora is told
//! of the end only when all is over, so none of its own waiting applies.

mod hand_over;
mod wind_down;

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::sync::mpsc;

use super::built::Built;
use super::pid_file::PidFile;
use crate::acme::Keeper;
use crate::admin::Admin;
use crate::gateway::Gateways;
use crate::ionos::Service;
use crate::os::reserve;
use crate::os::signals::{Order, Outcome, Signals};
use crate::os::systemd;
use crate::serving::Serving;
use crate::serving::file_watch::Watch;
use crate::upgrade::{Mover, OldProcesses, Predecessor, Request, UpgradeSocket};

/// How many files are open at once while a configuration is read. Listeners that are new need one
/// more each.
const FILES_OF_A_CONFIGURATION: usize = 8;
const LOOK: Duration = Duration::from_millis(5);

/// Does what signals, and those who ask at `server.upgradeSocket`, want.
pub(super) struct Lifecycle {
    /// What serves.
    pub serving: Arc<Serving>,
    /// What shows it, at the admin address.
    pub admin: Arc<Admin>,
    /// The IONOS API, where it is offered.
    pub api: Option<Arc<Service>>,
    /// What serves of the Gateway API.
    pub gateways: Arc<Gateways>,
    /// What renews certificates.
    pub certificates: Keeper,
    old_processes: Arc<OldProcesses>,
    upgrade_socket: Option<Arc<UpgradeSocket>>,
    pid_file: Mutex<Option<PidFile>>,
    /// What brings the tunnels to the process that has taken over.
    mover: Mutex<Option<Arc<Mover>>>,
    inbox: Mutex<Option<Inbox>>,
    watch: Watch,
}

/// What comes in.
struct Inbox {
    signals: Signals,
    requests: mpsc::Receiver<Request>,
    /// That files of the configuration have changed on disk.
    changes: mpsc::Receiver<()>,
    predecessor: Option<Predecessor>,
}

/// How the process goes on, or ends.
enum End {
    /// Not yet.
    None,
    /// After this long for the log's last lines.
    Within(Duration),
}

impl Lifecycle {
    /// The life of what serves. With a predecessor it first takes over. Errors: what belongs to the
    /// process alone and cannot be had, with the key that asks for it.
    pub(super) fn new(
        built: Built,
        signals: Signals,
        predecessor: Option<Predecessor>,
    ) -> Result<Self, String> {
        let Built {
            serving,
            api,
            gateways,
            upgrade_socket: inherited,
        } = built;
        let (sender, requests) = mpsc::channel(1);
        let (metrics, fleet) = (Arc::clone(&serving.metrics), Arc::clone(&serving.fleet));
        let old_processes = Arc::new(OldProcesses::new(metrics, fleet));
        let open = |path: &Path| {
            let socket = inherited.filter(|(known, _)| known == path);
            let socket = socket.map(|(_, socket)| socket);
            let before = Arc::clone(&old_processes);
            UpgradeSocket::open(path, socket, Arc::clone(&serving), before, sender).map(Arc::new)
        };
        let path = serving.config().server.upgrade_socket.clone();
        let upgrade_socket = path.as_deref().map(open).transpose().map_err(|error| {
            let reason = format!("server.upgradeSocket: {error}");
            predecessor.iter().for_each(|one| one.fail(&reason));
            reason
        })?;
        let (changed, changes) = mpsc::channel(1);
        let admin = Admin::new(
            Arc::clone(&serving),
            Arc::clone(&old_processes),
            Arc::clone(&gateways),
            signals.sender(),
        );
        let lifecycle = Lifecycle {
            certificates: keeper(&serving, changed.clone()),
            watch: Watch::start(Arc::clone(&serving), changed),
            admin: Arc::new(admin),
            api,
            gateways,
            old_processes,
            upgrade_socket,
            pid_file: Mutex::default(),
            mover: Mutex::default(),
            inbox: Mutex::default(),
            serving,
        };
        let prepared = lifecycle.prepare_pid_file();
        match &predecessor {
            Some(predecessor) => {
                if let Err(reason) = &prepared {
                    predecessor.fail(reason);
                }
                lifecycle.serving.drain.be_silent();
                lifecycle.serving.hold();
            }
            None => lifecycle.put_pid_file()?,
        }
        prepared?;
        *lifecycle.inbox.lock() = Some(Inbox {
            signals,
            requests,
            changes,
            predecessor,
        });
        Ok(lifecycle)
    }

    fn prepare_pid_file(&self) -> Result<(), String> {
        if let Some(path) = &self.serving.config().server.pid_file {
            let named = |error| format!("server.pidFile: {}: {error}", path.display());
            *self.pid_file.lock() = Some(PidFile::prepare(path).map_err(named)?);
        }
        Ok(())
    }

    fn put_pid_file(&self) -> Result<(), String> {
        let file = self.pid_file.lock();
        let put = reserve::with(1, || file.as_ref().map_or(Ok(()), PidFile::put));
        put.map_err(|error: io::Error| format!("server.pidFile: {error}"))
    }
}

/// What renews certificates; it tells when there is a new one on disk.
fn keeper(serving: &Serving, changed: mpsc::Sender<()>) -> Keeper {
    Keeper::new(
        Arc::clone(&serving.challenges),
        Arc::clone(&serving.renewals),
        Arc::clone(&serving.metrics),
        changed,
    )
}

#[async_trait]
impl ShutdownSignalWatch for Lifecycle {
    async fn recv(&self) -> ShutdownSignal {
        let inbox = self.inbox.lock().take();
        if let Some(inbox) = inbox {
            let patience = self.run(inbox).await;
            if let Some(api) = &self.api {
                api.api.leave().await;
            }
            self.gateways.leave().await;
            self.serving.log.flush(patience);
            self.serving.log.close_journal();
        }
        if let Some(upgrade_socket) = &self.upgrade_socket {
            upgrade_socket.remove();
        }
        self.serving.end();
        drop(self.pid_file.lock().take());
        ShutdownSignal::FastShutdown
    }
}

impl Lifecycle {
    /// Returns when the process is to end, and how long its last lines may take.
    async fn run(&self, inbox: Inbox) -> Duration {
        let (mut signals, mut requests, mut changes) =
            (inbox.signals, inbox.requests, inbox.changes);
        self.serving.drain.heeds_signals();
        let mut arrival = pin!(self.arrive(inbox.predecessor));
        let mut has_arrived = false;
        loop {
            let end = tokio::select! {
                order = signals.next() => self.obey(order, &mut signals).await,
                Some(request) = requests.recv() => {
                    let Request { successor, outcome } = request;
                    self.hand_over(successor, Some(outcome), &mut signals).await
                }
                Some(()) = changes.recv() => {
                    let _lent = reserve::lend(FILES_OF_A_CONFIGURATION);
                    self.serving.renew();
                    End::None
                }
                arrived = &mut arrival, if !has_arrived => {
                    has_arrived = true;
                    match arrived {
                        Ok(()) => End::None,
                        Err(reason) => {
                            log::error!("the running process goes on: {reason}");
                            End::Within(self.close().await)
                        }
                    }
                }
            };
            if let End::Within(patience) = end {
                return patience;
            }
        }
    }

    async fn obey(&self, order: Order, signals: &mut Signals) -> End {
        match order {
            Order::Drain => return End::Within(self.drain(signals).await),
            Order::Exit => return End::Within(self.stop().await),
            Order::Reopen => self.reopen(),
            Order::Reload => self.reload(signals.outcome()),
            Order::HandOver => match self.upgrade_socket.as_ref().map(|it| it.successor()) {
                Some(Some(successor)) => return self.hand_over(successor, None, signals).await,
                Some(None) => log::error!(
                    "SIGQUIT: no process waits to take over; start one with -u, or use \
                     `culvert upgrade`"
                ),
                None => {
                    log::error!("SIGQUIT: server.upgradeSocket is not set, so nobody can take over")
                }
            },
        }
        End::None
    }

    fn reload(&self, asked: Option<Outcome>) {
        systemd::reloading();
        let lent = reserve::lend(FILES_OF_A_CONFIGURATION);
        // What is wrong is in the diagnostics, too.
        let outcome = self.serving.reload();
        if let Some(api) = self.api.as_ref().filter(|_| outcome.is_ok()) {
            api.api.renew();
        }
        if outcome.is_ok() {
            self.gateways.renew();
            self.certificates.follow(&self.serving.config());
        }
        drop(lent);
        self.watch.look();
        systemd::ready();
        if let Some(asked) = asked {
            // It may not wait any more.
            asked.send(outcome).ok();
        }
    }

    fn reopen(&self) {
        self.serving.log.reopen();
        self.old_processes.reopen_logs();
    }
}
