//! The address for operators: metrics, probes and the API, on a listener of its own that outlives a
//! drain.
//!
//! | path | answer |
//! |---|---|
//! | `GET /` | the status page, which asks the API |
//! | `GET /metrics` | the metrics, in Prometheus' text format |
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 while new clients are welcome; 503 before the listeners accept, and from the beginning of a drain |
//! | `/api/v1/…` | JSON; `/api/v1/openapi.json` describes it |
//!
//! `guard` decides who is heard; the other files are one for each thing that can be asked.

mod denial;
mod events;
mod explain;
mod guard;
mod orders;
mod page;
mod query;
mod room;
mod routes;
mod serve;
mod socket;
mod status;
mod target;
mod tunnels;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::config::model::AdminAddress;
use crate::listener::AcceptLoop;
use crate::os::reserve;
use crate::os::signals::{Asked, Order};
use crate::serving::Serving;
use events::Audience;
pub use explain::explain_by;
use room::Room;
pub use routes::document;
use serve::serve;
pub use socket::Socket;

/// What the pages show.
type View = Arc<Serving>;

/// What listens on the admin address. Like the other listeners it can be moved, paused and resumed.
pub struct Admin {
    started: OnceLock<(Handle, Weak<Serving>)>,
    orders: OnceLock<mpsc::Sender<Asked>>,
    held: AtomicBool,
    /// Whether the socket's file goes with this process.
    is_ours: AtomicBool,
    /// A drain was asked for.
    is_draining: AtomicBool,
    room: Arc<Room>,
    audience: Audience,
    listening: Mutex<Listening>,
}

struct Listening {
    address: AdminAddress,
    /// `None` once it was given up.
    socket: Option<Socket>,
    accept_loop: AcceptLoop,
}

impl Admin {
    /// An admin address with a socket that listens on it.
    pub fn new(address: AdminAddress, socket: Socket) -> Self {
        Admin {
            started: OnceLock::new(),
            orders: OnceLock::new(),
            held: AtomicBool::new(false),
            is_ours: AtomicBool::new(true),
            is_draining: AtomicBool::new(false),
            room: Arc::new(Room::new()),
            audience: Audience::new(),
            listening: Mutex::new(Listening {
                address,
                socket: Some(socket),
                accept_loop: AcceptLoop::default(),
            }),
        }
    }

    /// Returns when all requests have had their answers, or after a moment.
    pub async fn is_served(&self) {
        self.room.is_served().await;
    }

    /// Begins to answer, on the present runtime; or, if it is held, when it is told to resume.
    pub fn start(&self, serving: &Arc<Serving>) {
        let started = (Handle::current(), Arc::downgrade(serving));
        if self.started.set(started).is_ok() && !self.held.load(SeqCst) {
            self.resume();
        }
    }

    /// From now on orders go here.
    pub fn obeys(&self, orders: mpsc::Sender<Asked>) {
        // There is one process.
        self.orders.set(orders).ok();
    }

    /// Gives an order; the outcome comes where it is carried out now.
    async fn order(&self, order: Order) -> Option<oneshot::Receiver<Result<(), String>>> {
        let (outcome, comes) = oneshot::channel();
        let asked = Asked { order, outcome };
        self.orders.get()?.send(asked).await.ok()?;
        Some(comes)
    }

    /// Answers nothing at the start, but when it is told to resume.
    pub fn hold(&self) {
        self.held.store(true, SeqCst);
        self.is_ours.store(false, SeqCst);
    }

    /// Whether everything is there for answering.
    pub fn is_started(&self) -> bool {
        self.started.get().is_some()
    }

    /// The address.
    pub fn address(&self) -> AdminAddress {
        self.lock().address.clone()
    }

    /// The address and a copy of the socket, for another process.
    pub fn socket(&self) -> io::Result<(AdminAddress, Socket)> {
        let listening = self.lock();
        Ok((listening.address.clone(), listening.copy()?))
    }

    /// Moves to another address.
    pub fn change(&self, address: AdminAddress, socket: Socket) {
        let mut listening = self.lock();
        listening.accept_loop.close();
        listening.accept_loop = AcceptLoop::default();
        let before = std::mem::replace(&mut listening.address, address);
        listening.socket = Some(socket);
        drop(listening);
        remove(&before);
        self.resume();
    }

    /// Who may use it, if it is a Unix socket.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        match self.address() {
            AdminAddress::Tcp(_) => Ok(()),
            AdminAddress::Unix(path) => fs::set_permissions(path, Permissions::from_mode(mode)),
        }
    }

    /// Stops accepting; whoever shares the socket accepts. What was asked is answered.
    pub fn pause(&self) {
        self.lock().accept_loop.pause();
    }

    /// Stops accepting, and gives the socket up: it is another process's, unless that has another.
    pub fn close(&self) {
        let mut listening = self.lock();
        listening.accept_loop.close();
        listening.socket = None;
        if let AdminAddress::Unix(path) = &listening.address
            && is_deserted(path)
        {
            remove(&listening.address);
        }
    }

    /// Takes the socket out of the way of the next process, if this one has it.
    pub fn remove(&self) {
        let listening = self.lock();
        if listening.socket.is_some() && self.is_ours.load(SeqCst) {
            remove(&listening.address);
        }
    }

    /// Accepts again, unless it does.
    pub fn resume(&self) {
        let Some((runtime, serving)) = self.started.get() else {
            return;
        };
        let Some(serving) = serving.upgrade() else {
            return;
        };
        self.is_ours.store(true, SeqCst);
        let mut listening = self.lock();
        let Some(ends) = listening.accept_loop.begin() else {
            return;
        };
        let room = Arc::clone(&self.room);
        let _entered = runtime.enter();
        match listening.copy().and_then(Socket::listen) {
            Ok(socket) => {
                runtime.spawn(serve(socket, room, ends, routes::router(serving)));
            }
            Err(error) => {
                listening.accept_loop.pause();
                log::error!("the admin address is not served: {error}");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Listening> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listening {
    fn copy(&self) -> io::Result<Socket> {
        let gone = || io::Error::other("the socket was given up");
        self.socket.as_ref().ok_or_else(gone)?.copy()
    }
}

/// Whether nobody listens at a path, as far as can be found out.
fn is_deserted(path: &Path) -> bool {
    let met = reserve::with(1, || UnixStream::connect(path));
    met.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn remove(address: &AdminAddress) {
    if let AdminAddress::Unix(path) = address
        && let Err(error) = fs::remove_file(path)
    {
        log::debug!("admin.listen: {}: {error}", path.display());
    }
}
