//! Heeds orders, one at a time, until one ends the process.
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

use crate::daemon;
use crate::reserve;
use crate::running::Running;
use crate::signals::{Order, Outcome, Signals};
use crate::supervisor;
use crate::telemetry::CloseReason;
use crate::upgrade::{
    Door, Heir, InheritedDoor, Link, PidFile, Predecessor, Request, on_thread, report_for_ever,
};
use crate::watch::Watch;

/// How long the access log's last lines may take.
const LAST_LINES: Duration = Duration::from_secs(10);
/// How many files are open at once while a configuration is read. Listeners that are new need one more each.
const FILES_OF_A_CONFIGURATION: usize = 8;
/// By when, after its deadline, a drain is over with all that follows.
const LATEST: Duration = Duration::from_millis(1900);
const SHORTEST: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_millis(5);

/// Does what signals, and visitors of `server.upgradeSocket`, ask.
pub struct Steward {
    /// What serves.
    pub running: Arc<Running>,
    door: Option<Arc<Door>>,
    pid_file: Mutex<Option<PidFile>>,
    desk: Mutex<Option<Desk>>,
    watch: Watch,
}

/// What comes in.
struct Desk {
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

impl Steward {
    /// A steward for what serves. With a predecessor it first takes over. Errors: what belongs to the process alone and cannot be
    /// had, with the key that asks for it.
    pub fn new(
        running: Arc<Running>,
        signals: Signals,
        predecessor: Option<Predecessor>,
        inherited: Option<InheritedDoor>,
    ) -> Result<Self, String> {
        let (sender, requests) = mpsc::channel(1);
        running.admin.obeys(signals.sender());
        let file = running.file();
        let open = |path: &Path| {
            let socket = inherited.filter(|(known, _)| known == path);
            let socket = socket.map(|(_, socket)| socket);
            Door::open(path, socket, Arc::clone(&running), sender).map(Arc::new)
        };
        let door = file.server.upgrade_socket.as_deref().map(open).transpose();
        let door = door.map_err(|error| {
            let reason = format!("server.upgradeSocket: {error}");
            if let Some(predecessor) = &predecessor {
                predecessor.fail(&reason);
            }
            reason
        })?;
        let (changed, changes) = mpsc::channel(1);
        let steward = Steward {
            watch: Watch::start(Arc::clone(&running), changed),
            door,
            pid_file: Mutex::default(),
            desk: Mutex::default(),
            running,
        };
        let prepared = steward.prepare_pid_file();
        match &predecessor {
            Some(predecessor) => {
                if let Err(reason) = &prepared {
                    predecessor.fail(reason);
                }
                steward.running.drain.be_silent();
                steward.running.hold();
            }
            None => steward.put_pid_file()?,
        }
        prepared?;
        *lock(&steward.desk) = Some(Desk {
            signals,
            requests,
            changes,
            predecessor,
        });
        Ok(steward)
    }

    fn prepare_pid_file(&self) -> Result<(), String> {
        if let Some(path) = &self.running.file().server.pid_file {
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
impl ShutdownSignalWatch for Steward {
    async fn recv(&self) -> ShutdownSignal {
        let desk = lock(&self.desk).take();
        if let Some(desk) = desk {
            let patience = self.heed(desk).await;
            self.running.log.flush(patience);
        }
        if let Some(door) = &self.door {
            door.remove();
        }
        self.running.end();
        drop(lock(&self.pid_file).take());
        ShutdownSignal::FastShutdown
    }
}

impl Steward {
    /// Returns when the process is to end, and how long its last lines may take.
    async fn heed(&self, desk: Desk) -> Duration {
        let (mut signals, mut requests, mut changes) = (desk.signals, desk.requests, desk.changes);
        self.running.drain.heeds_signals();
        let mut arrival = pin!(self.arrive(desk.predecessor));
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
                    self.running.renew();
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
            Order::HandOver => match self.door.as_ref().map(|door| door.successor()) {
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
        supervisor::reloading();
        let lent = reserve::lend(FILES_OF_A_CONFIGURATION);
        // What is wrong is in the diagnostics, too.
        let outcome = self.running.reload();
        drop(lent);
        self.watch.look();
        supervisor::ready();
        if let Some(asked) = asked {
            // It may not wait any more.
            asked.send(outcome).ok();
        }
    }

    /// Takes over from the predecessor, if there is one; then whoever comes to the door is heard. The error tells why the
    /// predecessor goes on.
    async fn arrive(&self, predecessor: Option<Predecessor>) -> Result<(), String> {
        while !self.running.is_started() {
            sleep(LOOK).await;
        }
        let Some(mut predecessor) = predecessor else {
            self.begin();
            return Ok(());
        };
        let mut predecessor =
            on_thread(move || predecessor.ready().map(|()| predecessor)).await??;
        self.put_pid_file()?;
        let socket = self.running.file().server.upgrade_socket.clone();
        let before = on_thread(move || predecessor.settled(socket)).await??;
        self.running.generations.expect(&before);
        if let Some(door) = &self.door {
            door.own();
        }
        self.running.resume();
        self.begin();
        self.running.drain.speak();
        Ok(())
    }

    fn begin(&self) {
        let running = Arc::clone(&self.running);
        tokio::spawn(async move { running.generations.watch().await });
        if daemon::is_this() {
            daemon::serves();
        }
        if let Some(door) = &self.door {
            tokio::spawn(Arc::clone(door).listen());
        }
    }

    /// Hands over, while signals are still heeded. Whoever asked for it is told the outcome.
    async fn hand_over(
        &self,
        successor: Link,
        asked: Option<oneshot::Sender<Result<Heir, String>>>,
        signals: &mut Signals,
    ) -> End {
        let Some(door) = self.door.clone() else {
            return End::None;
        };
        let cutter = successor.cutter();
        let mut handing = pin!(on_thread(move || door.hand_over(successor)));
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
    async fn linger(&self, heir: Heir, is_to_drain: bool, signals: &mut Signals) -> Duration {
        let running = &self.running;
        running.generations.forget();
        running.leave();
        if let Some(door) = &self.door {
            door.leave(&heir);
        }
        if let Some(socket) = heir.socket.clone() {
            tokio::spawn(report_for_ever(socket, Arc::clone(&running.metrics)));
        }
        let patience = self.keep_tunnels(heir, is_to_drain, signals).await;
        if let Some(door) = &self.door {
            door.answered().await;
        }
        patience
    }

    async fn keep_tunnels(&self, heir: Heir, is_to_drain: bool, signals: &mut Signals) -> Duration {
        let running = &self.running;
        if is_to_drain {
            heir.drain();
            return self.drain(signals).await;
        }
        let limit = running.file().server.upgrade.drain_deadline;
        let open = running.drain.open();
        log::info!("an old process now: {open} connections go on here, for at most {limit:?}");
        running.drain.connections.close();
        let mut end = pin!(sleep(limit));
        loop {
            tokio::select! {
                biased;
                () = running.drain.connections.wait() => return LAST_LINES,
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
        self.running.log.reopen();
        self.running.generations.reopen_logs();
    }

    /// Closes all that is open here.
    async fn close(&self) -> Duration {
        self.running.drain.stop(CloseReason::ProcessExit).await;
        LAST_LINES
    }

    /// The same, and has the old generations exit, too: whoever waits for the service's end waits for this process.
    async fn stop(&self) -> Duration {
        let generations = &self.running.generations;
        generations.stop();
        let patience = self.close().await;
        if timeout(LAST_LINES, generations.gone()).await.is_err() {
            log::warn!("old processes have yet to exit");
        }
        patience
    }

    /// Drains, and has the old generations drain, too.
    async fn drain(&self, signals: &mut Signals) -> Duration {
        let running = &self.running;
        let settings = running.file().server.drain.clone();
        let end = Instant::now() + settings.deadline + LATEST;
        running.generations.drain();
        let drained = pin!(async {
            let close = || running.listeners.close();
            running.drain.run(&settings, close).await;
            let left = end.saturating_duration_since(Instant::now());
            if timeout(left, running.generations.gone()).await.is_err() {
                log::warn!("old processes are still draining");
            }
        });
        if !self.until(drained, signals).await {
            return self.stop().await;
        }
        // Whoever has asked for the drain is among them.
        running.admin.is_served().await;
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
