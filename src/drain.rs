//! The end of a process, told to everyone who has to know: readiness first, then the listeners, then what is open.
//!
//! Everything that is open is a task in one tracker, so "all done" is "the tracker is empty". What is still open at the
//! deadline is told to stop: its task is dropped, and with it its exchange, which writes its record.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry::CloseReason;
use crate::tunnel::Tunnels;

/// How long both sides of a tunnel have to answer our Close at the deadline.
const CLOSING: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(50);
/// How long connections that were told to stop may take to do so.
const STOPPING: Duration = Duration::from_secs(2);

/// What the process and its connections know of the end.
#[derive(Debug)]
pub struct Drain {
    /// The open connections and tunnels.
    pub connections: TaskTracker,
    /// The open tunnels.
    pub tunnels: Arc<Tunnels>,
    listening: AtomicBool,
    signals: AtomicBool,
    began: CancellationToken,
    stop: CancellationToken,
    reason: OnceLock<CloseReason>,
    gauge: IntGauge,
}

impl Drain {
    /// No drain yet. `gauge` is set to 1 when one begins.
    pub fn new(gauge: IntGauge) -> Self {
        let connections = TaskTracker::new();
        Drain {
            tunnels: Arc::new(Tunnels::new(connections.clone())),
            connections,
            listening: AtomicBool::new(false),
            signals: AtomicBool::new(false),
            began: CancellationToken::new(),
            stop: CancellationToken::new(),
            reason: OnceLock::new(),
            gauge,
        }
    }

    /// The listeners accept connections from now on.
    pub fn listening(&self) {
        self.listening.store(true, SeqCst);
    }

    /// Signals mean from now on what they should.
    pub fn heeds_signals(&self) {
        self.signals.store(true, SeqCst);
    }

    /// Whether new clients should be sent here.
    pub fn is_ready(&self) -> bool {
        self.listening.load(SeqCst) && self.signals.load(SeqCst) && !self.has_begun()
    }

    /// Whether a drain is under way.
    pub fn has_begun(&self) -> bool {
        self.began.is_cancelled()
    }

    /// Cancelled when a drain begins.
    pub fn began(&self) -> CancellationToken {
        self.began.clone()
    }

    /// Returns once connections have to end at once.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Why an exchange that is dropped half way ends.
    pub fn reason(&self) -> CloseReason {
        self.reason
            .get()
            .copied()
            .unwrap_or(CloseReason::ProcessExit)
    }

    /// Takes nothing new, and waits until all that is open is over, at most for `deadline`.
    pub async fn run(&self, deadline: Duration) {
        log::info!(
            "draining: {} connections open, {deadline:?} left",
            self.connections.len()
        );
        self.gauge.set(1);
        self.began.cancel();
        self.connections.close();
        if timeout(deadline, self.connections.wait()).await.is_ok() {
            log::info!("drained");
            return;
        }
        log::info!(
            "the deadline has passed: closing {} connections",
            self.connections.len()
        );
        for tunnel in self.tunnels.list() {
            tunnel.end(CloseReason::Drained);
        }
        if timeout(CLOSING, self.connections.wait()).await.is_err() {
            self.stop(CloseReason::Drained).await;
        }
    }

    /// Ends all that is open, now.
    pub async fn stop(&self, reason: CloseReason) {
        let reason = *self.reason.get_or_init(|| reason);
        log::info!(
            "closing {} connections: {}",
            self.connections.len(),
            reason.as_str()
        );
        self.gauge.set(1);
        self.began.cancel();
        self.stop.cancel();
        self.connections.close();
        let gone = async {
            // A tunnel may still be opened by a connection that is just being served.
            while timeout(AGAIN, self.connections.wait()).await.is_err() {
                self.cut_tunnels();
            }
        };
        self.cut_tunnels();
        if timeout(STOPPING, gone).await.is_err() {
            log::error!("{} connections did not end", self.connections.len());
        }
    }

    fn cut_tunnels(&self) {
        for tunnel in self.tunnels.list() {
            tunnel.cut();
        }
    }
}
