//! Heeds orders, one at a time, until one ends the process.
//!
//! Whatever ends it, every open exchange leaves its line in the access log first. Pingora is told of the end only when all
//! is over, so none of its own waiting applies.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};

use crate::running::Running;
use crate::signals::{Order, Signals};
use crate::supervisor;
use crate::telemetry::CloseReason;

/// How long the access log's last lines may take.
const LAST_LINES: Duration = Duration::from_secs(10);
/// By when, after its deadline, a drain is over with all that follows.
const LATEST: Duration = Duration::from_millis(1900);
const SHORTEST: Duration = Duration::from_millis(200);

/// Does what signals ask.
pub struct Steward {
    /// What serves.
    pub running: Arc<Running>,
}

#[async_trait]
impl ShutdownSignalWatch for Steward {
    async fn recv(&self) -> ShutdownSignal {
        let patience = match Signals::install() {
            Ok(mut signals) => self.heed(&mut signals).await,
            Err(error) => {
                log::error!("signals cannot be received, exiting: {error}");
                LAST_LINES
            }
        };
        self.running.log.flush(patience);
        ShutdownSignal::FastShutdown
    }
}

impl Steward {
    /// Returns when the process is to end, and how long its last lines may take.
    async fn heed(&self, signals: &mut Signals) -> Duration {
        self.running.drain.heeds_signals();
        loop {
            match signals.next().await {
                Order::Drain => break self.drain(signals).await,
                Order::Exit => break self.stop().await,
                Order::Reopen => self.running.log.reopen(),
                Order::Reload => {
                    supervisor::reloading();
                    // What is wrong is in the diagnostics.
                    self.running.reload().ok();
                    supervisor::ready();
                }
                Order::HandOver => log::error!("SIGQUIT: handing over is not supported yet"),
            }
        }
    }

    async fn stop(&self) -> Duration {
        self.running.drain.stop(CloseReason::ProcessExit).await;
        LAST_LINES
    }

    async fn drain(&self, signals: &mut Signals) -> Duration {
        let settings = self.running.file().server.drain.clone();
        let end = Instant::now() + settings.deadline + LATEST;
        let close = || self.running.listeners.close();
        let drained = pin!(self.running.drain.run(&settings, close));
        match self.until(drained, signals).await {
            true => {
                let left = end.saturating_duration_since(Instant::now());
                left.clamp(SHORTEST, LAST_LINES)
            }
            false => self.stop().await,
        }
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
                    Order::Reopen => self.running.log.reopen(),
                    Order::Reload | Order::HandOver => {
                        log::warn!("{}: ignored while draining", order.signal());
                    }
                }
            }
        }
    }
}
