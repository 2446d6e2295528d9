//! The end of a process: as an old one beside the one that has taken over, by a drain, or at once.

use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::Lifecycle;
use crate::os::signals::{Order, Signals};
use crate::telemetry::CloseReason;
use crate::upgrade::{Mover, Successor};

/// How long the access log's last lines may take.
const LAST_LINES: Duration = Duration::from_secs(10);
/// By when, after its deadline, a drain is over with all that follows.
const LATEST: Duration = Duration::from_millis(1900);
const SHORTEST: Duration = Duration::from_millis(200);

impl Lifecycle {
    /// The life of an old process: its tunnels go on, for as long as they may.
    pub(super) async fn linger(
        &self,
        successor: Successor,
        is_to_drain: bool,
        signals: &mut Signals,
    ) -> Duration {
        let serving = &self.serving;
        self.old_processes.forget();
        self.certificates.leave();
        serving.leave();
        if let Some(upgrade_socket) = &self.upgrade_socket {
            upgrade_socket.leave(&successor);
        }
        let socket = successor.socket.clone();
        *self.mover.lock() = socket.map(|socket| Mover::start(serving, socket));
        let patience = self.keep_tunnels(successor, is_to_drain, signals).await;
        // They came a moment before, or what they have asked for is being done.
        serving.is_deserted().await;
        if let Some(upgrade_socket) = &self.upgrade_socket {
            upgrade_socket.answered().await;
        }
        patience
    }

    async fn keep_tunnels(
        &self,
        successor: Successor,
        is_to_drain: bool,
        signals: &mut Signals,
    ) -> Duration {
        let serving = &self.serving;
        if is_to_drain {
            successor.drain();
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

    /// Closes all that is open here.
    pub(super) async fn close(&self) -> Duration {
        if let Some(mover) = &*self.mover.lock() {
            mover.stop();
        }
        self.serving.drain.stop(CloseReason::ProcessExit).await;
        LAST_LINES
    }

    /// Closes all that is open here, and has the old processes exit, too: whoever waits for the
    /// service's end waits for this process.
    pub(super) async fn stop(&self) -> Duration {
        self.old_processes.stop();
        let patience = self.close().await;
        if timeout(LAST_LINES, self.old_processes.gone())
            .await
            .is_err()
        {
            log::warn!("old processes have yet to exit");
        }
        patience
    }

    /// Drains, and has the old processes drain, too.
    pub(super) async fn drain(&self, signals: &mut Signals) -> Duration {
        let serving = &self.serving;
        let settings = serving.config().server.drain.clone();
        let end = Instant::now() + settings.deadline + LATEST;
        self.old_processes.drain();
        let drained = pin!(async {
            let close = || serving.listeners.close();
            serving.drain.run(&settings, close).await;
            let left = end.saturating_duration_since(Instant::now());
            if timeout(left, self.old_processes.gone()).await.is_err() {
                log::warn!("old processes are still draining");
            }
        });
        if !self.until(drained, signals).await {
            return self.stop().await;
        }
        // Whoever has asked for the drain is among them.
        let api = async {
            if let Some(api) = &self.api {
                api.is_served().await;
            }
        };
        tokio::join!(self.admin.is_served(), api);
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
