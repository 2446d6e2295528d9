//! What each signal does.
//!
//! | signal | effect |
//! |---|---|
//! | SIGTERM | drain, then exit; a second one, or SIGINT, exits now |
//! | SIGINT | exit now |
//! | SIGUSR1 | open the access log's file anew |
//! | SIGHUP, SIGQUIT | nothing but a line in the log: reload and hand-over are not supported yet |
//!
//! Whatever ends the process, every open exchange leaves its line in the access log first. Pingora is told of the end only
//! when all is over, so none of its own waiting applies.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::drain::Drain;
use crate::telemetry::CloseReason;
use crate::telemetry::access_log::AccessLog;

/// How long open connections have to end by themselves.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
/// How long the access log's last lines may take.
const LAST_LINES: Duration = Duration::from_secs(10);

/// Waits for signals and does what they ask, until one ends the process.
pub struct Signals {
    /// What ends.
    pub drain: Arc<Drain>,
    /// What is reopened, and written out at the end.
    pub log: AccessLog,
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        match Streams::install() {
            Ok(mut streams) => self.heed(&mut streams).await,
            Err(error) => log::error!("signals cannot be received, exiting: {error}"),
        }
        self.log.flush(LAST_LINES);
        ShutdownSignal::FastShutdown
    }
}

impl Signals {
    async fn heed(&self, streams: &mut Streams) {
        self.drain.heeds_signals();
        loop {
            match streams.next().await {
                Request::Drain => break self.drain(streams).await,
                Request::Exit => break self.drain.stop(CloseReason::ProcessExit).await,
                Request::Reopen => self.log.reopen(),
                Request::Unsupported(name, what) => {
                    log::error!("{name}: {what} is not supported yet, nothing was done");
                }
            }
        }
    }

    async fn drain(&self, streams: &mut Streams) {
        let mut drained = std::pin::pin!(self.drain.run(DRAIN_DEADLINE));
        loop {
            tokio::select! {
                () = &mut drained => return,
                request = streams.next() => match request {
                    Request::Drain | Request::Exit => break,
                    Request::Reopen => self.log.reopen(),
                    Request::Unsupported(name, _) => log::warn!("{name}: ignored while draining"),
                }
            }
        }
        self.drain.stop(CloseReason::ProcessExit).await;
    }
}

enum Request {
    Drain,
    Exit,
    Reopen,
    Unsupported(&'static str, &'static str),
}

struct Streams {
    terminate: Signal,
    interrupt: Signal,
    user1: Signal,
    hangup: Signal,
    quit: Signal,
}

impl Streams {
    fn install() -> io::Result<Self> {
        Ok(Streams {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user1: signal(SignalKind::user_defined1())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Drain,
            _ = self.interrupt.recv() => Request::Exit,
            _ = self.user1.recv() => Request::Reopen,
            _ = self.hangup.recv() => Request::Unsupported("SIGHUP", "reload"),
            _ = self.quit.recv() => Request::Unsupported("SIGQUIT", "handing over to a new process"),
        }
    }
}
