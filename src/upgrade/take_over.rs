//! The new process's side: it takes over from the running one.

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::launch::SOCKET_VARIABLE;
use super::protocol::{Link, Message, Role};
use crate::config::Config;
use crate::listener::Sockets;
use crate::os::{kept_sockets, owner};
use crate::serving::{Knowledge, Secrets};
use crate::tls::Tickets;

/// The process that we take over from.
pub struct Predecessor {
    link: Link,
    path: PathBuf,
}

/// What it gave us; nothing where there is none.
#[derive(Default)]
pub struct Inherited {
    /// The sockets of the listeners and of the control addresses.
    pub sockets: Sockets,
    /// Its secrets, so that its clients can resume their sessions here, and stay with their
    /// targets.
    pub secrets: Secrets,
    /// What it has found out.
    pub knowledge: Knowledge,
    /// The way to it, for those who come next.
    pub upgrade_socket: Option<InheritedSocket>,
}

impl Inherited {
    /// What the service manager has kept of a process that has died, if that is anything.
    pub fn kept() -> Option<Inherited> {
        let kept = kept_sockets::taken_out();
        if kept.is_empty() {
            return None;
        }
        let mut inherited = Inherited::default();
        for (address, socket) in kept {
            log::info!("{address}: the service manager has kept its socket");
            inherited.sockets.inherit(address, socket);
        }
        Some(inherited)
    }
}

/// The socket of `server.upgradeSocket`, and where it is.
pub type InheritedSocket = (PathBuf, OwnedFd);

impl Predecessor {
    /// Finds the running process, at the socket that it told us or that the configuration names.
    /// The error is for the operator.
    pub fn find(config: &Config) -> Result<Self, String> {
        let told = env::var_os(SOCKET_VARIABLE).map(PathBuf::from);
        let path = told.or_else(|| config.server.upgrade_socket.clone());
        let path =
            path.ok_or("server.upgradeSocket: is not set, so there is nobody to take over from")?;
        let stream = UnixStream::connect(&path)
            .map_err(|error| format!("{}: {}", path.display(), owner::silence(&path, &error)))?;
        let link = Link::new(stream);
        link.trusted_peer()
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Predecessor { link, path })
    }

    /// Waits for its sockets, however long that takes.
    pub fn take_over(&mut self) -> Result<Inherited, String> {
        let sockets = self.sockets();
        sockets.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                format!("{}: the running process let us go", self.path.display())
            }
            _ => format!("{}: {error}", self.path.display()),
        })
    }

    fn sockets(&mut self) -> io::Result<Inherited> {
        self.link.send(&Message::TakeOver)?;
        let mut inherited = Inherited::default();
        loop {
            match self.link.receive()? {
                Message::Socket(Role::Listener(address) | Role::Control(address)) => {
                    inherited
                        .sockets
                        .inherit(address, self.link.socket()?.into());
                }
                Message::Socket(Role::ControlAt(path)) => {
                    inherited
                        .sockets
                        .inherit_unix(path, self.link.socket()?.into());
                }
                Message::Socket(Role::Upgrade) => {
                    inherited.upgrade_socket = Some((self.path.clone(), self.link.socket()?));
                }
                Message::TicketKeys(keys) => inherited.secrets.tickets = Tickets::inherited(keys),
                Message::StickinessKey(key) => inherited.secrets.stickiness = Some(key),
                Message::Unhealthy(targets) => inherited.knowledge.unhealthy = targets,
                Message::Ejected(targets) => inherited.knowledge.ejected = targets,
                Message::Names(names) => inherited.knowledge.addresses = names,
                Message::AllSockets => return Ok(inherited),
                Message::GiveUp(reason) => return Err(io::Error::other(reason)),
                other => return Err(io::Error::other(format!("unexpected {other:?}"))),
            }
        }
    }

    /// Says that we end, and why.
    pub fn fail(&self, reason: &str) {
        // If it is gone, nobody has to know.
        self.link.send(&Message::Failed(reason.to_owned())).ok();
    }

    /// Says that we are ready to accept; returns when it does not any more. The error tells that it
    /// serves on, and why: then we have to end.
    pub fn ready(&mut self) -> Result<(), String> {
        self.link.send(&Message::Ready).ok();
        match self.answer()? {
            None | Some(Message::Over) => Ok(()),
            Some(other) => Err(format!("unexpected {other:?}")),
        }
    }

    /// Says that we have taken all over, and where we are to be found now; returns when it is an
    /// old one, with all old ones.
    pub fn settled(&mut self, socket: Option<PathBuf>) -> Result<Vec<u32>, String> {
        self.link.send(&Message::Settled(socket)).ok();
        match self.answer()? {
            None => Ok(Vec::new()),
            Some(Message::Farewell(processes)) => Ok(processes),
            Some(other) => Err(format!("unexpected {other:?}")),
        }
    }

    /// What it says, unless it is that we have to end. `None` if it has just died: then somebody
    /// has to serve.
    fn answer(&mut self) -> Result<Option<Message>, String> {
        match self.link.receive() {
            Ok(Message::GiveUp(reason)) => Err(reason),
            Ok(message) => Ok(Some(message)),
            Err(error) => {
                log::warn!("{}: the old process is gone: {error}", self.path.display());
                Ok(None)
            }
        }
    }
}
