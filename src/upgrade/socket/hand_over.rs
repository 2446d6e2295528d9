//! The running process's side of a hand-over: it gives everything to the new process, or goes on as
//! before.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::{Successor, UpgradeSocket, refuse_as_first_process};
use crate::config::model::ListenAddress;
use crate::os::{kept_sockets, systemd};
use crate::upgrade::protocol::{Link, Message, Role};

impl UpgradeSocket {
    /// Hands everything over to a new process. If that does not settle, everything is as before.
    pub fn hand_over(self: &Arc<Self>, mut successor: Link) -> Result<Successor, String> {
        let outcome = self.try_hand_over(&mut successor);
        let word = match &outcome {
            Ok(successor) => {
                log::info!("process {} has taken over", successor.pid);
                // The new process has the manager keep its own.
                kept_sockets::drop_all();
                systemd::main_process(successor.pid);
                let mut processes = self.old_processes.processes();
                processes.push(process::id());
                Message::Farewell(processes)
            }
            Err(reason) => Message::GiveUp(reason.clone()),
        };
        // It may be gone.
        successor.send(&word).ok();
        outcome
    }

    fn try_hand_over(self: &Arc<Self>, successor: &mut Link) -> Result<Successor, String> {
        refuse_as_first_process()?;
        let pid = successor
            .trusted_peer()
            .map_err(|error| error.to_string())?;
        let name = format!("the new process {pid}");
        let lost = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => format!("{name} ended in the middle of the hand-over"),
            io::ErrorKind::WouldBlock => {
                format!("{name} gave no answer within {:?}", self.timeout())
            }
            _ => format!("{name}: {error}"),
        };
        successor.patience(Some(self.timeout())).map_err(lost)?;
        self.send_sockets(successor).map_err(lost)?;
        match successor.receive().map_err(lost)? {
            Message::Ready => {}
            Message::Failed(reason) => return Err(reason),
            other => return Err(format!("{name}: unexpected {other:?}")),
        }
        self.serving.pause();
        self.pause();
        self.is_ours.store(false, SeqCst);
        settle(successor)
            .map(|socket| Successor { pid, socket })
            .map_err(|error| {
                self.is_ours.store(true, SeqCst);
                self.serving.resume();
                if let Some(runtime) = self.runtime.get() {
                    runtime.spawn(Arc::clone(self).listen());
                }
                lost(error)
            })
    }

    fn send_sockets(&self, successor: &Link) -> io::Result<()> {
        self.serving.listeners.give_sockets(|address, socket| {
            successor.send_socket(Role::Listener(address), socket.as_fd())
        })?;
        for listener in self.serving.control() {
            let (address, socket) = listener.socket()?;
            let role = match address {
                ListenAddress::Tcp(address) => Role::Control(address),
                ListenAddress::Unix(path) => Role::ControlAt(path),
            };
            successor.send_socket(role, socket.as_fd())?;
        }
        successor.send_socket(Role::Upgrade, self.socket()?.as_fd())?;
        successor.send(&Message::TicketKeys(self.serving.tickets.own()))?;
        let key = self.serving.fleet.own_key();
        successor.send(&Message::StickinessKey(key))?;
        successor.send(&Message::Unhealthy(self.serving.fleet.unhealthy()))?;
        let ejected = self.serving.fleet.ejected();
        if !ejected.is_empty() {
            // A version that is older than this message is not told more than it has to be.
            successor.send(&Message::Ejected(ejected))?;
        }
        successor.send(&Message::Names(self.serving.names.addresses()))?;
        successor.send(&Message::AllSockets)
    }
}

/// Tells that nothing is accepted here any more, and waits until the new process has all; tells
/// where it is to be found.
fn settle(successor: &mut Link) -> io::Result<Option<PathBuf>> {
    successor.send(&Message::Over)?;
    match successor.receive()? {
        Message::Settled(socket) => Ok(socket),
        other => Err(io::Error::other(format!("unexpected {other:?}"))),
    }
}
