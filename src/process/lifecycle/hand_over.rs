//! A process hands over to another, and another takes over from it.

use std::net::Shutdown;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{End, LOOK, Lifecycle};
use crate::os::daemon;
use crate::os::signals::{Order, Signals};
use crate::telemetry::access_log::AccessLog;
use crate::upgrade::{Link, Predecessor, Successor, on_thread};

/// How often it is shown that the process lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Shows that the process lives, and writes the lines of the tunnels of those that do not.
async fn keep_journal(log: AccessLog) {
    while log.has_journal() {
        let log = log.clone();
        let keep = move || {
            log.lives();
            log.write_for_the_dead();
        };
        spawn_blocking(keep).await.ok();
        sleep(SIGN_OF_LIFE).await;
    }
}

impl Lifecycle {
    /// Takes over from the predecessor, if there is one; then whoever asks at the upgrade socket is
    /// heard. The error tells why the predecessor goes on.
    pub(super) async fn arrive(&self, predecessor: Option<Predecessor>) -> Result<(), String> {
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
        self.old_processes.expect(&before);
        if let Some(upgrade_socket) = &self.upgrade_socket {
            upgrade_socket.own();
        }
        self.begin();
        if let Some(pid) = before.last().filter(|_| self.upgrade_socket.is_some()) {
            // Whoever looks at the metrics sees its tunnels from the start.
            self.old_processes.first_word(*pid).await;
        }
        self.serving.resume();
        self.serving.drain.speak();
        Ok(())
    }

    fn begin(&self) {
        self.certificates.begin(&self.serving.config());
        let old_processes = Arc::clone(&self.old_processes);
        tokio::spawn(async move { old_processes.watch().await });
        tokio::spawn(keep_journal(self.serving.log.clone()));
        if daemon::is_this() {
            daemon::serves();
        }
        if let Some(upgrade_socket) = &self.upgrade_socket {
            tokio::spawn(Arc::clone(upgrade_socket).listen());
        }
    }

    /// Leaves what the API keeps to the new process, which reads it and writes there. That may wait
    /// for a write. Errors: it is given up.
    async fn lend(&self, is_given_up: &Notify) -> Result<(), String> {
        let Some(api) = &self.api else {
            return Ok(());
        };
        tokio::select! {
            () = api.api.lend() => Ok(()),
            () = is_given_up.notified() => Err("this process ends".to_owned()),
        }
    }

    /// Hands over, while signals are still heeded. Whoever asked for it is told the outcome.
    pub(super) async fn hand_over(
        &self,
        successor: Link,
        asked: Option<oneshot::Sender<Result<Successor, String>>>,
        signals: &mut Signals,
    ) -> End {
        let Some(upgrade_socket) = self.upgrade_socket.clone() else {
            return End::None;
        };
        let cutter = successor.cutter();
        let is_given_up = Notify::new();
        let mut handing = pin!(async {
            self.lend(&is_given_up).await?;
            on_thread(move || upgrade_socket.hand_over(successor)).await
        });
        let (mut is_to_drain, mut is_to_reload) = (false, false);
        let outcome = loop {
            tokio::select! {
                outcome = &mut handing => break outcome.and_then(|outcome| outcome),
                order = signals.next() => match order {
                    Order::Drain if !is_to_drain => {
                        is_to_drain = true;
                        is_given_up.notify_one();
                        // The hand-over fails now, unless it is done. The new process can still be
                        // told to end.
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
            Ok(successor) if is_to_reload => successor.reload(),
            Ok(_) => {}
            Err(_) => {
                if let Some(api) = &self.api {
                    tokio::spawn(Arc::clone(&api.api).take_back());
                }
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
            Ok(successor) => End::Within(self.linger(successor, is_to_drain, signals).await),
            Err(_) if is_to_drain => End::Within(self.drain(signals).await),
            Err(_) => End::None,
        }
    }
}
