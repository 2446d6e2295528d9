//! The life of the process: does what it is told to, one order at a time, until one ends it.
//!
//! Whatever ends it, every open exchange leaves its line in the access log first. Pingora is told of the end only when all
//! is over, so none of its own waiting applies.

use std::io;
use std::net::Shutdown;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::pid_file::PidFile;
use crate::os::daemon;
use crate::os::reserve;
use crate::os::signals::{Order, Outcome, Signals};
use crate::os::systemd;
use crate::serving::Serving;
use crate::serving::file_watch::Watch;
use crate::telemetry::CloseReason;
use crate::upgrade::{
    InheritedSocket, Link, Predecessor, Request, Successor, UpgradeSocket, on_thread,
    report_for_ever,
};

/// How long the access log's last lines may take.
const LAST_LINES: Duration = Duration::from_secs(10);
/// How many files are open at once while a configuration is read. Listeners that are new need one more each.
const FILES_OF_A_CONFIGURATION: usize = 8;
/// By when, after its deadline, a drain is over with all that follows.
const LATEST: Duration = Duration::from_millis(1900);
const SHORTEST: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_millis(5);

/// Does what signals, and visitors of `server.upgradeSocket`, ask.
pub(super) struct Lifecycle {
    /// What serves.
    pub serving: Arc<Serving>,
    upgrade_socket: Option<Arc<UpgradeSocket>>,
    pid_file: Mutex<Option<PidFile>>,
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
    /// That of what serves. With a predecessor it first takes over. Errors: what belongs to the process alone and cannot be
    /// had, with the key that asks for it.
    pub(super) fn new(
        serving: Arc<Serving>,
        signals: Signals,
        predecessor: Option<Predecessor>,
        inherited: Option<InheritedSocket>,
    ) -> Result<Self, String> {
        let (sender, requests) = mpsc::channel(1);
        serving.admin.obeys(signals.sender());
        let config = serving.config();
        let open = |path: &Path| {
            let socket = inherited.filter(|(known, _)| known == path);
            let socket = socket.map(|(_, socket)| socket);
            UpgradeSocket::open(path, socket, Arc::clone(&serving), sender).map(Arc::new)
        };
        let upgrade_socket = config
            .server
            .upgrade_socket
            .as_deref()
            .map(open)
            .transpose();
        let upgrade_socket = upgrade_socket.map_err(|error| {
            let reason = format!("server.upgradeSocket: {error}");
            if let Some(predecessor) = &predecessor {
                predecessor.fail(&reason);
            }
            reason
        })?;
        let (changed, changes) = mpsc::channel(1);
        let lifecycle = Lifecycle {
            watch: Watch::start(Arc::clone(&serving), changed),
            upgrade_socket,
            pid_file: Mutex::default(),
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
        *lock(&lifecycle.inbox) = Some(Inbox {
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
            *lock(&self.pid_file) = Some(PidFile::prepare(path).map_err(named)?);
        }
        Ok(())
    }

    fn put_pid_file(&self) -> Result<(), String> {
        let file = lock(&self.pid_file);
        let put = reserve::with(1, || file.as_ref().map_or(Ok(()), PidFile::put));
        put.map_err(|error: io::Error| format!("server.pidFile: {error}"))
    }
}

#[async_trait]
impl ShutdownSignalWatch for Lifecycle {
    async fn recv(&self) -> ShutdownSignal {
        let inbox = lock(&self.inbox).take();
        if let Some(inbox) = inbox {
            let patience = self.run(inbox).await;
            self.serving.log.flush(patience);
        }
        if let Some(upgrade_socket) = &self.upgrade_socket {
            upgrade_socket.remove();
        }
        self.serving.end();
        drop(lock(&self.pid_file).take());
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
            Order::HandOver => match self
                .upgrade_socket
                .as_ref()
                .map(|upgrade_socket| upgrade_socket.successor())
            {
                Some(Some(successor)) => return self.hand_over(successor, None, signals).await,
                Some(None) => log::error!(
                    "SIGQUIT: no process waits to take over; start one with -u, or use `culvert upgrade`"
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
        drop(lent);
        self.watch.look();
        systemd::ready();
        if let Some(asked) = asked {
            // It may not wait any more.
            asked.send(outcome).ok();
        }
    }

    /// Takes over from the predecessor, if there is one; then whoever asks at the upgrade socket is heard. The error tells why the
    /// predecessor goes on.
    async fn arrive(&self, predecessor: Option<Predecessor>) -> Result<(), String> {
        while !self.serving.is_started() {
            sleep(LOOK).await;
        }
        let Some(mut predecessor) = predecessor else {
            self.begin();
            return Ok(());
        };
        let mut predecessor =
            on_thread(move || predecessor.ready().map(|()| predecessor)).await??;
        self.put_pid_file()?;
        let socket = self.serving.config().server.upgrade_socket.clone();
        let before = on_thread(move || predecessor.settled(socket)).await??;
        self.serving.old_processes.expect(&before);
        if let Some(upgrade_socket) = &self.upgrade_socket {
            upgrade_socket.own();
        }
        self.serving.resume();
        self.begin();
        self.serving.drain.speak();
        Ok(())
    }

    fn begin(&self) {
        let serving = Arc::clone(&self.serving);
        tokio::spawn(async move { serving.old_processes.watch().await });
        if daemon::is_this() {
            daemon::serves();
        }
        if let Some(upgrade_socket) = &self.upgrade_socket {
            tokio::spawn(Arc::clone(upgrade_socket).listen());
        }
    }

    /// Hands over, while signals are still heeded. Whoever asked for it is told the outcome.
    async fn hand_over(
        &self,
        successor: Link,
        asked: Option<oneshot::Sender<Result<Successor, String>>>,
        signals: &mut Signals,
    ) -> End {
        let Some(upgrade_socket) = self.upgrade_socket.clone() else {
            return End::None;
        };
        let cutter = successor.cutter();
        let mut handing = pin!(on_thread(move || upgrade_socket.hand_over(successor)));
        let (mut is_to_drain, mut is_to_reload) = (false, false);
        let outcome = loop {
            tokio::select! {
                outcome = &mut handing => break outcome.and_then(|outcome| outcome),
                order = signals.next() => match order {
                    Order::Drain if !is_to_drain => {
                        is_to_drain = true;
                        // The hand-over fails now, unless it is done. The new process can still be told to end.
                        if let Ok(link) = &cutter {
                            link.shutdown(Shutdown::Read).ok();
                        }
                    }
                    Order::Drain | Order::Exit => return End::Within(self.stop().await),
                    Order::Reload => is_to_reload = true,
                    Order::Reopen => self.reopen(),
                    Order::HandOver => log::warn!("SIGQUIT: a hand-over is under way"),
                }
            }
        };
        match &outcome {
            Ok(heir) if is_to_reload => heir.reload(),
            Ok(_) => {}
            Err(_) => {
                if let Err(reason) = self.put_pid_file() {
                    log::error!("{reason}");
                }
                if is_to_reload {
                    self.reload(None);
                }
            }
        }
        match asked {
            // It may not wait any more.
            Some(asked) => drop(asked.send(outcome.clone())),
            None => {
                if let Err(reason) = &outcome {
                    log::error!("SIGQUIT: {reason}; this process serves on");
                }
            }
        }
        match outcome {
            Ok(heir) => End::Within(self.linger(heir, is_to_drain, signals).await),
            Err(_) if is_to_drain => End::Within(self.drain(signals).await),
            Err(_) => End::None,
        }
    }

    /// The life of an old generation: its tunnels go on, for as long as they may.
    async fn linger(&self, heir: Successor, is_to_drain: bool, signals: &mut Signals) -> Duration {
        let serving = &self.serving;
        serving.old_processes.forget();
        serving.leave();
        if let Some(upgrade_socket) = &self.upgrade_socket {
            upgrade_socket.leave(&heir);
        }
        if let Some(socket) = heir.socket.clone() {
            tokio::spawn(report_for_ever(socket, Arc::clone(&serving.metrics)));
        }
        let patience = self.keep_tunnels(heir, is_to_drain, signals).await;
        if let Some(upgrade_socket) = &self.upgrade_socket {
            upgrade_socket.answered().await;
        }
        patience
    }

    async fn keep_tunnels(
        &self,
        heir: Successor,
        is_to_drain: bool,
        signals: &mut Signals,
    ) -> Duration {
        let serving = &self.serving;
        if is_to_drain {
            heir.drain();
            return self.drain(signals).await;
        }
        let limit = serving.config().server.upgrade.drain_deadline;
        let open = serving.drain.open();
        log::info!("an old process now: {open} connections go on here, for at most {limit:?}");
        serving.drain.connections.close();
        let mut end = pin!(sleep(limit));
        loop {
            tokio::select! {
                biased;
                () = serving.drain.connections.wait() => return LAST_LINES,
                () = &mut end => return self.drain(signals).await,
                order = signals.next() => match order {
                    Order::Drain => return self.drain(signals).await,
                    Order::Exit => return self.stop().await,
                    order => self.obey_in_passing(order),
                }
            }
        }
    }

    /// Does what can be done by a process that is about to end, or to hand over.
    fn obey_in_passing(&self, order: Order) {
        match order {
            Order::Reopen => self.reopen(),
            order => log::warn!("{}: ignored by now", order.signal()),
        }
    }

    fn reopen(&self) {
        self.serving.log.reopen();
        self.serving.old_processes.reopen_logs();
    }

    /// Closes all that is open here.
    async fn close(&self) -> Duration {
        self.serving.drain.stop(CloseReason::ProcessExit).await;
        LAST_LINES
    }

    /// The same, and has the old generations exit, too: whoever waits for the service's end waits for this process.
    async fn stop(&self) -> Duration {
        let old_processes = &self.serving.old_processes;
        old_processes.stop();
        let patience = self.close().await;
        if timeout(LAST_LINES, old_processes.gone()).await.is_err() {
            log::warn!("old processes have yet to exit");
        }
        patience
    }

    /// Drains, and has the old generations drain, too.
    async fn drain(&self, signals: &mut Signals) -> Duration {
        let serving = &self.serving;
        let settings = serving.config().server.drain.clone();
        let end = Instant::now() + settings.deadline + LATEST;
        serving.old_processes.drain();
        let drained = pin!(async {
            let close = || serving.listeners.close();
            serving.drain.run(&settings, close).await;
            let left = end.saturating_duration_since(Instant::now());
            if timeout(left, serving.old_processes.gone()).await.is_err() {
                log::warn!("old processes are still draining");
            }
        });
        if !self.until(drained, signals).await {
            return self.stop().await;
        }
        // Whoever has asked for the drain is among them.
        serving.admin.is_served().await;
        let left = end.saturating_duration_since(Instant::now());
        left.clamp(SHORTEST, LAST_LINES)
    }

    /// Waits for the end of something; false if an order to exit comes first.
    async fn until(
        &self,
        mut end: Pin<&mut (impl Future<Output = ()> + Send)>,
        signals: &mut Signals,
    ) -> bool {
        loop {
            tokio::select! {
                () = &mut end => return true,
                order = signals.next() => match order {
                    Order::Drain | Order::Exit => return false,
                    order => self.obey_in_passing(order),
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
