//! What each signal means; some orders can be given over the admin address as well.
//!
//! | signal | order |
//! |---|---|
//! | SIGTERM | drain, then exit; a second one exits now |
//! | SIGINT | exit now |
//! | SIGHUP | reload the configuration |
//! | SIGQUIT | hand over to the process that waits for it |
//! | SIGUSR1 | open the access log's file anew |
//!
//! SIGTERM, SIGINT and SIGUSR1 are passed on to old processes, which hold tunnels of before an
//! upgrade.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// SIGTERM
    Drain,
    /// SIGINT
    Exit,
    /// SIGHUP
    Reload,
    /// SIGQUIT
    HandOver,
    /// SIGUSR1
    Reopen,
}

impl Order {
    /// The signal's name.
    pub fn signal(self) -> &'static str {
        match self {
            Order::Drain => "SIGTERM",
            Order::Exit => "SIGINT",
            Order::Reload => "SIGHUP",
            Order::HandOver => "SIGQUIT",
            Order::Reopen => "SIGUSR1",
        }
    }
}

/// An order that was not given by a signal, and where to tell what became of it. It is not told
/// where the order is not carried out now.
#[derive(Debug)]
pub struct Asked {
    /// The order.
    pub order: Order,
    /// Where the outcome goes.
    pub outcome: Outcome,
}

/// Where it is told that an order was carried out, or why it was not.
pub type Outcome = oneshot::Sender<Result<(), String>>;

/// From here on SIGHUP, SIGUSR1 and SIGXFSZ do not end the process: a write beyond the limit on the
/// size of files is an error.
pub fn ignore() -> io::Result<()> {
    let too_large = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    for kind in [SignalKind::hangup(), SignalKind::user_defined1(), too_large] {
        // The handler stays when what it was installed for is gone.
        drop(signal(kind)?);
    }
    Ok(())
}

/// The orders as they come.
pub struct Signals {
    sender: mpsc::Sender<Asked>,
    asked: mpsc::Receiver<Asked>,
    outcome: Option<Outcome>,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    quit: Signal,
    user1: Signal,
}

impl Signals {
    /// From here on signals are orders and end nothing by themselves.
    pub fn install() -> io::Result<Self> {
        let (sender, asked) = mpsc::channel(1);
        Ok(Signals {
            sender,
            asked,
            outcome: None,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    /// Where orders can be given without a signal.
    pub fn sender(&self) -> mpsc::Sender<Asked> {
        self.sender.clone()
    }

    /// Where the outcome of the last order goes, if somebody waits for it.
    pub fn outcome(&mut self) -> Option<Outcome> {
        self.outcome.take()
    }

    /// The next order.
    pub async fn next(&mut self) -> Order {
        self.outcome = None;
        tokio::select! {
            Some(asked) = self.asked.recv() => {
                self.outcome = Some(asked.outcome);
                asked.order
            }
            _ = self.interrupt.recv() => Order::Exit,
            _ = self.terminate.recv() => Order::Drain,
            _ = self.hangup.recv() => Order::Reload,
            _ = self.quit.recv() => Order::HandOver,
            _ = self.user1.recv() => Order::Reopen,
        }
    }
}
