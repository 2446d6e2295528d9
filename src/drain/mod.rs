//! The end of a process, told to everyone who has to know: readiness first, then the listeners,
//! then what is open.
//!
//! Everything that is open is a task in one tracker, so "all done" is "the tracker is empty".
//! Tunnels are ended at a pace, plain connections are told to go. What is still open past the
//! deadline is told to stop: its task is dropped, and with it its exchange, which writes its
//! record.

mod eviction;
mod forecast;
mod pace;
mod rebalance;

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{IntCounter, IntGauge};
use tokio::time::{Instant, interval, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::model;
use crate::os::systemd;
use crate::tap::LAST_CHANCE;
use crate::telemetry::CloseReason;
use crate::tunnel::Tunnels;
pub use eviction::{Cause, Eviction, Evictions, TargetId};
pub use forecast::Forecast;
use forecast::window;
pub use pace::end_over;
use pace::{Pace, end_tunnels};
pub use rebalance::even_out;

/// How long both sides of a tunnel have to answer our Close after the deadline, less what it takes
/// to end those that do not.
const CLOSING: Duration = Duration::from_millis(1600);
/// How many connections end in a second at least when they are told to stop.
const STOPS_PER_SECOND: usize = 10_000;
const AGAIN: Duration = Duration::from_millis(50);
/// How long connections that were told to stop may take without that any ends.
const STOPPING: Duration = Duration::from_millis(300);
/// How long they may take in all.
const LONGEST_STOP: Duration = Duration::from_secs(10);
/// How long the end takes at most once no more waiting is asked for: the Close frames, the
/// connections, the log's last lines.
const END: Duration = Duration::from_secs(15);
const SECOND: Duration = Duration::from_secs(1);

/// Who keeps what there is to serve, if it is not all in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// `api.store`
    Api,
    /// `gateway.kubernetes`
    Gateway,
}

impl Elsewhere {
    fn bit(self) -> u8 {
        match self {
            Elsewhere::Api => 1,
            Elsewhere::Gateway => 2,
        }
    }

    fn key(self) -> &'static str {
        match self {
            Elsewhere::Api => "api.store",
            Elsewhere::Gateway => "gateway.kubernetes",
        }
    }
}

/// What the process and its connections know of the end.
#[derive(Debug)]
pub struct Drain {
    /// The open connections and tunnels, and what accepts them.
    pub connections: TaskTracker,
    /// The open tunnels.
    pub tunnels: Arc<Tunnels>,
    listening: AtomicBool,
    signals: AtomicBool,
    /// By whom what there is to serve is kept elsewhere, and has not been heard of yet.
    waits: AtomicU8,
    knows: AtomicU8,
    /// The service manager is not to be told of this process yet.
    silent: AtomicBool,
    announced: AtomicBool,
    began: CancellationToken,
    stop: CancellationToken,
    reason: OnceLock<CloseReason>,
    progress: Mutex<Option<Progress>>,
    gauges: Gauges,
    /// One for each client, beside this one.
    clients: Arc<()>,
}

/// What a drain shows of itself.
#[derive(Debug, Clone)]
pub struct Gauges {
    /// 1 from the beginning of a drain.
    pub draining: IntGauge,
    /// Seconds to the deadline.
    pub remaining: IntGauge,
    /// Lines of the access log that nobody writes any more.
    pub lost: IntCounter,
}

/// How far a drain has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    deadline: Instant,
    open_before: usize,
    /// Connections and tunnels that are open.
    pub open: usize,
}

impl Progress {
    /// Connections and tunnels that have ended since it began.
    pub fn closed(&self) -> usize {
        self.open_before.saturating_sub(self.open)
    }

    /// To the deadline.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl Drain {
    /// No drain yet.
    pub fn new(gauges: Gauges) -> Self {
        let connections = TaskTracker::new();
        Drain {
            tunnels: Arc::new(Tunnels::new(connections.clone())),
            connections,
            listening: AtomicBool::new(false),
            signals: AtomicBool::new(false),
            waits: AtomicU8::new(0),
            knows: AtomicU8::new(0),
            silent: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            began: CancellationToken::new(),
            stop: CancellationToken::new(),
            reason: OnceLock::new(),
            progress: Mutex::new(None),
            gauges,
            clients: Arc::default(),
        }
    }

    /// The listeners accept connections from now on.
    pub fn listening(&self) {
        self.listening.store(true, SeqCst);
        self.tell_if_ready();
    }

    /// Signals mean from now on what they should.
    pub fn heeds_signals(&self) {
        self.signals.store(true, SeqCst);
        self.tell_if_ready();
    }

    /// What there is to serve is kept elsewhere: no clients should be sent here until that is known
    /// for the first time.
    pub fn waits_for_what_to_serve(&self, of: Elsewhere) {
        let bit = of.bit();
        let is_known = self.knows.load(SeqCst) & bit != 0;
        if !is_known && self.waits.fetch_or(bit, SeqCst) & bit == 0 {
            let key = of.key();
            log::warn!(
                "{key}: nothing is known yet of what there is to serve: this node is not ready"
            );
        }
    }

    /// What there is to serve is known.
    pub fn knows_what_to_serve(&self, of: Elsewhere) {
        let bit = of.bit();
        self.knows.fetch_or(bit, SeqCst);
        if self.waits.fetch_and(!bit, SeqCst) & bit != 0 {
            log::info!("{}: it is known what there is to serve", of.key());
        }
    }

    /// Whether it is not known yet what there is to serve.
    pub fn is_waiting(&self) -> bool {
        self.waits.load(SeqCst) != 0
    }

    /// Another process is the service's main one: nothing is said to the service manager.
    pub fn be_silent(&self) {
        self.silent.store(true, SeqCst);
    }

    /// This process is the service's main one from now on.
    pub fn speak(&self) {
        self.silent.store(false, SeqCst);
        self.tell_if_ready();
    }

    fn tell_if_ready(&self) {
        if self.is_ready() && !self.silent.load(SeqCst) {
            systemd::ready();
            systemd::status(concat!("culvert ", env!("CARGO_PKG_VERSION"), " serves"));
        }
    }

    /// Whether new clients should be sent here.
    pub fn is_ready(&self) -> bool {
        self.listening.load(SeqCst) && self.signals.load(SeqCst) && !self.has_begun()
    }

    /// Whether a drain is under way.
    pub fn has_begun(&self) -> bool {
        self.announced.load(SeqCst)
    }

    /// Cancelled when connections are told to go.
    pub fn began(&self) -> &CancellationToken {
        &self.began
    }

    /// Counts a client as open until what is returned is dropped.
    pub fn client(&self) -> Arc<()> {
        Arc::clone(&self.clients)
    }

    /// How many clients have a connection, or a tunnel.
    pub fn open(&self) -> usize {
        Arc::strong_count(&self.clients) - 1
    }

    /// How far the drain has come, if there is one.
    pub fn progress(&self) -> Option<Progress> {
        let progress = *self.progress.lock();
        let open = self.open();
        progress.map(|progress| Progress { open, ..progress })
    }

    /// Returns once connections have to end at once.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Returns when a client that has not asked for anything yet has had its time: `limit`, or a
    /// last chance once connections are told to go.
    pub async fn waited_for(&self, limit: Duration) {
        let last_chance = async {
            self.began.cancelled().await;
            sleep(LAST_CHANCE).await;
        };
        tokio::select! {
            () = sleep(limit) => {}
            () = last_chance => {}
            () = self.stopped() => {}
        }
    }

    /// Why an exchange that is dropped half way ends.
    pub fn reason(&self) -> CloseReason {
        self.reason
            .get()
            .copied()
            .unwrap_or(CloseReason::ProcessExit)
    }

    /// Drains: not ready at once; then, after a delay, `close` has to close the listeners; then
    /// what is open has to end. Returns when nothing is open any more, at the latest shortly after
    /// the deadline.
    pub async fn run(&self, settings: &model::Drain, close: impl FnOnce()) {
        let began = Instant::now();
        let deadline = began + settings.deadline;
        self.announce(deadline);
        systemd::stopping(settings.deadline + END);
        let work = async {
            if !settings.ready_delay.is_zero() {
                sleep_until(began + settings.ready_delay).await;
            }
            close();
            self.began.cancel();
            self.connections.close();
            self.end_all(settings, deadline).await;
        };
        tokio::select! {
            () = work => {}
            () = self.report() => {}
        }
    }

    fn announce(&self, deadline: Instant) {
        let open_before = self.open();
        *self.progress.lock() = Some(Progress {
            deadline,
            open_before,
            open: open_before,
        });
        self.announced.store(true, SeqCst);
        self.gauges.draining.set(1);
    }

    async fn end_all(&self, settings: &model::Drain, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let pace = Pace {
            window: window(left),
            deadline: left,
            rate: settings.rate,
        };
        let ending = end_tunnels(&self.tunnels, |_| true, CloseReason::Drained, pace);
        tokio::select! {
            biased;
            () = self.connections.wait() => return log::info!("drained: nothing is open any more"),
            () = ending => {}
        }
        let open = self.open();
        log::warn!("the drain's deadline has passed: closing what is open, {open} connections");
        let stopping = SECOND
            .mul_f64(open as f64 / STOPS_PER_SECOND as f64)
            .min(CLOSING);
        let closed = self.connections.wait();
        if timeout_at(deadline + CLOSING - stopping, closed)
            .await
            .is_err()
        {
            self.stop(CloseReason::Drained).await;
        }
    }

    /// Says every second how far the drain has come.
    async fn report(&self) {
        let mut ticks = interval(SECOND);
        loop {
            ticks.tick().await;
            if let Some(progress) = self.progress() {
                let left = progress.left().as_secs_f64().ceil();
                self.gauges.remaining.set(left as i64);
                let (open, closed) = (progress.open, progress.closed());
                let status = format!("draining: {open} open, {closed} closed, {left} s left");
                log::info!("{status}");
                systemd::status(&status);
            }
        }
    }

    /// Ends all that is open, now.
    pub async fn stop(&self, reason: CloseReason) {
        let reason = *self.reason.get_or_init(|| reason);
        log::info!("closing {} connections: {}", self.open(), reason.as_str());
        self.announced.store(true, SeqCst);
        self.gauges.draining.set(1);
        self.began.cancel();
        self.stop.cancel();
        self.connections.close();
        systemd::stopping(END);
        let end = Instant::now() + LONGEST_STOP;
        let mut quiet_since = (Instant::now(), self.connections.len());
        self.cut_tunnels();
        while timeout(AGAIN, self.connections.wait()).await.is_err() {
            // A tunnel may still be opened by a connection that is just being served.
            self.cut_tunnels();
            let (now, left) = (Instant::now(), self.connections.len());
            if left < quiet_since.1 {
                quiet_since = (now, left);
            }
            if now > end || now > quiet_since.0 + STOPPING {
                self.gauges.lost.inc_by(left as u64);
                return log::error!("{left} connections did not end, and leave no line");
            }
        }
    }

    fn cut_tunnels(&self) {
        for tunnel in self.tunnels.list() {
            tunnel.cut();
        }
    }
}
