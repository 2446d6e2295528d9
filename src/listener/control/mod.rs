//! The listener of a control address, that for operators or that of the API: on a socket of its own
//! that outlives a drain. Like the other listeners it can be moved, paused and resumed; what serves
//! there is not known here.

mod socket;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::{AcceptLoop, Ends};
use crate::config::model::ListenAddress;
use crate::os::reserve;
pub use socket::{Acceptor, ControlSocket, Peer, Stream, accept};

/// What serves whoever comes to a control address, until the loop is to end: it starts a task.
pub type ServeControl = Box<dyn Fn(Acceptor, Ends) + Send + Sync>;

/// What listens on a control address.
pub struct ControlListener {
    name: &'static str,
    started: OnceLock<(Handle, ServeControl)>,
    held: AtomicBool,
    /// Whether the socket's file goes with this process.
    is_ours: AtomicBool,
    /// Of all whom it has accepted.
    connections: TaskTracker,
    open: Mutex<Open>,
}

struct Open {
    address: ListenAddress,
    /// `None` once it was given up.
    socket: Option<ControlSocket>,
    accept_loop: AcceptLoop,
}

impl ControlListener {
    /// The listener of this address, with a socket that listens on it. `name` is the key that has
    /// the address in the configuration: `admin.listen`.
    pub fn new(name: &'static str, address: ListenAddress, socket: ControlSocket) -> Self {
        ControlListener {
            name,
            started: OnceLock::new(),
            held: AtomicBool::new(false),
            is_ours: AtomicBool::new(true),
            connections: TaskTracker::new(),
            open: Mutex::new(Open {
                address,
                socket: Some(socket),
                accept_loop: AcceptLoop::default(),
            }),
        }
    }

    /// Begins to serve, on the present runtime; or, if it is held, when it is told to resume.
    pub fn start(&self, serve: ServeControl) {
        let started = (Handle::current(), serve);
        if self.started.set(started).is_ok() && !self.held.load(SeqCst) {
            self.resume();
        }
    }

    /// Serves nobody at the start, but when it is told to resume.
    pub fn hold(&self) {
        self.held.store(true, SeqCst);
        self.is_ours.store(false, SeqCst);
    }

    /// Whether everything is there for serving.
    pub fn is_started(&self) -> bool {
        self.started.get().is_some()
    }

    /// The key that has the address in the configuration.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it accepts. It does not before it is started, while it is paused, and once it is
    /// closed.
    pub fn is_accepting(&self) -> bool {
        self.open.lock().accept_loop.is_on()
    }

    /// The address.
    pub fn address(&self) -> ListenAddress {
        self.open.lock().address.clone()
    }

    /// The address and a copy of the socket, for another process.
    pub fn socket(&self) -> io::Result<(ListenAddress, ControlSocket)> {
        let open = self.open.lock();
        Ok((open.address.clone(), open.copy()?))
    }

    /// Moves to another address.
    pub fn change(&self, address: ListenAddress, socket: ControlSocket) {
        let mut open = self.open.lock();
        open.accept_loop.close();
        open.accept_loop = AcceptLoop::default();
        let before = std::mem::replace(&mut open.address, address);
        open.socket = Some(socket);
        drop(open);
        self.remove_file(&before);
        self.resume();
    }

    /// Who may use it, if it is a Unix socket.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        match self.address() {
            ListenAddress::Tcp(_) => Ok(()),
            ListenAddress::Unix(path) => fs::set_permissions(path, Permissions::from_mode(mode)),
        }
    }

    /// Stops accepting; whoever shares the socket accepts. What was asked is answered.
    pub fn pause(&self) {
        self.open.lock().accept_loop.pause();
    }

    /// Stops accepting, and gives the socket up: it is another process's, unless that has another.
    pub fn close(&self) {
        let mut open = self.open.lock();
        open.accept_loop.close();
        open.socket = None;
        if let ListenAddress::Unix(path) = &open.address
            && is_deserted(path)
        {
            self.remove_file(&open.address);
        }
    }

    /// What counts those whom it has accepted.
    pub fn connections(&self) -> &TaskTracker {
        &self.connections
    }

    /// Returns when all whom it has accepted are gone. They are once it is closed, and they have
    /// their answers.
    pub async fn is_deserted(&self) {
        self.connections.close();
        self.connections.wait().await;
    }

    /// Takes the socket out of the way of the next process, if this one has it.
    pub fn remove(&self) {
        let open = self.open.lock();
        if open.socket.is_some() && self.is_ours.load(SeqCst) {
            self.remove_file(&open.address);
        }
    }

    /// Accepts again, unless it does.
    pub fn resume(&self) {
        let Some((runtime, serve)) = self.started.get() else {
            return;
        };
        self.is_ours.store(true, SeqCst);
        let mut open = self.open.lock();
        let Some(ends) = open.accept_loop.begin() else {
            return;
        };
        let _entered = runtime.enter();
        match open.copy().and_then(ControlSocket::listen) {
            Ok(acceptor) => serve(acceptor, ends),
            Err(error) => {
                open.accept_loop.pause();
                log::error!("{}: is not served: {error}", self.name);
            }
        }
    }

    fn remove_file(&self, address: &ListenAddress) {
        if let ListenAddress::Unix(path) = address
            && let Err(error) = fs::remove_file(path)
        {
            log::debug!("{}: {}: {error}", self.name, path.display());
        }
    }
}

impl Open {
    fn copy(&self) -> io::Result<ControlSocket> {
        let gone = || io::Error::other("the socket was given up");
        self.socket.as_ref().ok_or_else(gone)?.copy()
    }
}

/// Whether nobody listens at a path, as far as can be found out.
fn is_deserted(path: &Path) -> bool {
    let met = reserve::with(1, || UnixStream::connect(path));
    met.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
