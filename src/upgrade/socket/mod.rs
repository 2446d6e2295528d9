//! The running process's side: what it hears on `server.upgradeSocket`, and how it hands over.

mod hand_over;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use rustix::process::Signal;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::unconstrained;
use tokio::time::timeout;

use super::adopting::Adopting;
use super::launch::{Launched, check};
use super::old_processes::{OldProcesses, Staying, tell};
use super::on_thread;
use super::protocol::{Link, Message};
use crate::listener::{AcceptLoop, Ends, FailedAccepts, REST, bind_unix, is_passing};
use crate::os::open_files::is_short;
use crate::os::reserve;
use crate::serving::Serving;
use crate::telemetry::diagnostics::OUTSIDE;

/// How long the other end may take for a line that it has at hand.
const AT_HAND: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);
/// What it is called in the diagnostics.
const NAME: &str = "server.upgradeSocket";
/// How many may be heard at once.
const MOST_PEERS: usize = 32;

/// What is asked of the running process: to hand over to the process at the other end.
pub struct Request {
    /// The new process.
    pub successor: Link,
    /// Where the outcome goes: that it serves, or why it does not.
    pub outcome: oneshot::Sender<Result<Successor, String>>,
}

/// A process that has taken over.
#[derive(Debug, Clone)]
pub struct Successor {
    /// Its process id.
    pub pid: u32,
    /// Its `server.upgradeSocket`.
    pub socket: Option<PathBuf>,
}

impl Successor {
    /// Has it drain.
    pub fn drain(&self) {
        tell(self.pid, Signal::TERM);
    }

    /// Has it reload its configuration.
    pub fn reload(&self) {
        tell(self.pid, Signal::HUP);
    }
}

/// `server.upgradeSocket`.
pub struct UpgradeSocket {
    path: PathBuf,
    /// `None` once it is another's.
    socket: Mutex<Option<UnixListener>>,
    /// Whether it goes with this process.
    is_ours: AtomicBool,
    serving: Arc<Serving>,
    old_processes: Arc<OldProcesses>,
    requests: mpsc::Sender<Request>,
    successor: Mutex<Waiting>,
    accept_loop: Mutex<AcceptLoop>,
    room: Arc<Semaphore>,
    runtime: OnceLock<Handle>,
}

#[derive(Default)]
struct Waiting {
    /// A new process that waits for the sockets.
    successor: Option<Link>,
    /// A command's upgrade is under way.
    is_busy: bool,
}

impl UpgradeSocket {
    /// That of a process that serves. `inherited` is the socket that came from the process before;
    /// otherwise it is bound, unless somebody serves there.
    pub fn open(
        path: &Path,
        inherited: Option<OwnedFd>,
        serving: Arc<Serving>,
        old_processes: Arc<OldProcesses>,
        requests: mpsc::Sender<Request>,
    ) -> io::Result<Self> {
        let is_ours = AtomicBool::new(inherited.is_none());
        let socket = match inherited {
            Some(socket) => UnixListener::from(socket),
            None => bind(path)?,
        };
        socket.set_nonblocking(true)?;
        Ok(UpgradeSocket {
            path: path.to_owned(),
            socket: Mutex::new(Some(socket)),
            is_ours,
            serving,
            old_processes,
            requests,
            successor: Mutex::default(),
            accept_loop: Mutex::default(),
            room: Arc::new(Semaphore::new(MOST_PEERS)),
            runtime: OnceLock::new(),
        })
    }

    /// Hears whoever comes, until it is paused.
    pub async fn listen(self: Arc<Self>) {
        let Some(Ends { accepting, .. }) = self.accept_loop.lock().begin() else {
            return;
        };
        self.runtime.get_or_init(Handle::current);
        let listener = self.socket().and_then(tokio::net::UnixListener::from_std);
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => {
                self.pause();
                return log::error!("server.upgradeSocket: {error}");
            }
        };
        let mut failed = FailedAccepts::default();
        while let Some(peer) = accepting.run_until_cancelled(accept(&listener)).await {
            match peer {
                Ok(stream) => {
                    failed.end(NAME);
                    self.let_in(stream);
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    failed.note(NAME, &error);
                    accepting
                        .run_until_cancelled(tokio::time::sleep(REST))
                        .await;
                }
            }
        }
    }

    fn let_in(self: &Arc<Self>, stream: UnixStream) {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            return log::warn!(target: OUTSIDE, "{NAME}: too many at once");
        };
        let this = Arc::clone(self);
        tokio::spawn(on_thread(move || {
            this.hear(stream);
            drop(place);
            reserve::refill();
        }));
    }

    /// Stops hearing; whoever shares the socket hears.
    fn pause(&self) {
        self.accept_loop.lock().pause();
    }

    /// Gives the socket up: it is the successor's, unless that has another.
    pub fn leave(&self, successor: &Successor) {
        *self.socket.lock() = None;
        if successor.socket.as_ref() != Some(&self.path) {
            self.own();
            self.remove();
        }
    }

    /// What was asked for before is still answered.
    pub async fn answered(&self) {
        let all = u32::try_from(MOST_PEERS).unwrap_or(u32::MAX);
        if timeout(AT_HAND, self.room.acquire_many(all)).await.is_err() {
            log::warn!("server.upgradeSocket: somebody who asked gets no answer");
        }
    }

    /// Takes the socket out of the way of the next process, if it goes with this one.
    pub fn remove(&self) {
        if !self.is_ours.load(SeqCst) {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            log::debug!("server.upgradeSocket: {error}");
        }
    }

    /// The process before has left: the socket goes with this one.
    pub fn own(&self) {
        self.is_ours.store(true, SeqCst);
    }

    /// How long a step of the new process may take.
    fn timeout(&self) -> Duration {
        self.serving.config().server.upgrade.timeout
    }

    fn socket(&self) -> io::Result<UnixListener> {
        let gone = || io::Error::other("the socket is another process's");
        reserve::with(1, || {
            self.socket.lock().as_ref().ok_or_else(gone)?.try_clone()
        })
    }

    /// The new process that waits, if it is still there.
    pub fn successor(&self) -> Option<Link> {
        self.successor.lock().successor.take().filter(Link::is_open)
    }

    fn hear(&self, stream: UnixStream) {
        if let Err(error) = self.hear_one(stream) {
            log::warn!(target: OUTSIDE, "{NAME}: {error}");
        }
    }

    fn hear_one(&self, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        let mut link = Link::new(stream);
        let pid = link.trusted_peer()?;
        link.patience(Some(AT_HAND))?;
        match link.receive()? {
            Message::StillOpen(open) => self.old_processes.report(pid, open, Staying::new()),
            Message::Move(first) => {
                let adopting = Adopting {
                    serving: Arc::clone(&self.serving),
                    old_processes: Arc::clone(&self.old_processes),
                    pid,
                    timeout: self.timeout(),
                };
                let serves = || self.socket.lock().is_some();
                adopting.run(&mut link, first, serves)?;
            }
            Message::TakeOver => self.successor.lock().successor = Some(link),
            Message::Upgrade { binary, conf } => {
                let outcome = self.upgrade(&binary, &conf);
                if let Err(reason) = &outcome {
                    log::error!("upgrade: {reason}; this process serves on");
                }
                link.send(&Message::Upgraded(outcome.map(|successor| successor.pid)))?;
            }
            other => return Err(io::Error::other(format!("unexpected {other:?}"))),
        }
        Ok(())
    }

    /// Starts a new process and hands over to it. Only one at a time.
    fn upgrade(&self, binary: &Path, conf: &Path) -> Result<Successor, String> {
        refuse_as_first_process()?;
        log::info!("upgrade: to {} with {}", binary.display(), conf.display());
        if std::mem::replace(&mut self.successor.lock().is_busy, true) {
            return Err("another upgrade is under way".to_owned());
        }
        let outcome = self.start_and_hand_over(binary, conf);
        self.successor.lock().is_busy = false;
        outcome
    }

    fn start_and_hand_over(&self, binary: &Path, conf: &Path) -> Result<Successor, String> {
        check(binary, conf, self.timeout())?;
        self.successor.lock().successor = None;
        let launched = Launched::start(binary, conf, &self.path)
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let outcome = self.await_successor(&launched).and_then(|successor| {
            let (outcome, comes) = oneshot::channel();
            let request = Request { successor, outcome };
            let is_gone = "the process is about to end";
            self.requests
                .blocking_send(request)
                .map_err(|_| is_gone.to_owned())?;
            comes.blocking_recv().map_err(|_| is_gone.to_owned())?
        });
        if outcome.is_err() {
            launched.kill();
        }
        outcome
    }

    fn await_successor(&self, launched: &Launched) -> Result<Link, String> {
        let end = Instant::now() + self.timeout();
        while Instant::now() < end {
            if let Some(successor) = self.successor() {
                return Ok(successor);
            }
            if !launched.is_alive() {
                return Err("the new process ended before it could take over; \
                     what it said is where this process's diagnostics are"
                    .to_owned());
            }
            thread::sleep(LOOK);
        }
        Err(format!(
            "the new process was not there to take over within {:?}",
            self.timeout()
        ))
    }
}

/// The end of the first process is the end of all others.
fn refuse_as_first_process() -> Result<(), String> {
    if process::id() == 1 {
        return Err("this is the first process of its container: run it under an init".to_owned());
    }
    Ok(())
}

/// The next who comes; where no files are left, with one in reserve.
async fn accept(listener: &tokio::net::UnixListener) -> io::Result<UnixStream> {
    let accepted = match listener.accept().await {
        Err(error) if is_short(&error) => reserve::with(1, || {
            let accepted = unconstrained(listener.accept()).now_or_never();
            accepted.unwrap_or_else(|| Err(io::ErrorKind::Interrupted.into()))
        }),
        accepted => accepted,
    };
    accepted?.0.into_std()
}

/// Only our own user and root may connect.
fn bind(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::other(format!(
            "{}: another process serves there; `culvert upgrade` takes over from it",
            path.display()
        )));
    }
    bind_unix(path, 0o600)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
