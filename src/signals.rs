//! What each signal means.
//!
//! | signal | order |
//! |---|---|
//! | SIGTERM | drain, then exit; a second one exits now |
//! | SIGINT | exit now |
//! | SIGHUP | reload the configuration |
//! | SIGQUIT | hand over to the process that waits for it |
//! | SIGUSR1 | open the access log's file anew |

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

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

/// From here on SIGHUP and SIGUSR1 do not end the process.
pub fn ignore() -> io::Result<()> {
    for kind in [SignalKind::hangup(), SignalKind::user_defined1()] {
        // The handler stays when what it was installed for is gone.
        drop(signal(kind)?);
    }
    Ok(())
}

/// The signals as they come.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    quit: Signal,
    user1: Signal,
}

impl Signals {
    /// From here on signals are orders and end nothing by themselves.
    pub fn install() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    /// The next order.
    pub async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.interrupt.recv() => Order::Exit,
            _ = self.terminate.recv() => Order::Drain,
            _ = self.hangup.recv() => Order::Reload,
            _ = self.quit.recv() => Order::HandOver,
            _ = self.user1.recv() => Order::Reopen,
        }
    }
}
