//! Binary upgrade: a new process takes the listening sockets over from the running one, which keeps
//! its tunnels.
//!
//! For a moment nobody accepts; who comes then waits in the sockets, which both have, so nobody is
//! refused:
//!
//! ```text
//! the running process                               the new one (-u)
//! checks the binary and its file, starts it   ──▶
//!                                             ◀──   TakeOver: it has read its configuration
//! Socket …, keys, Unhealthy, Names, AllSockets ─▶   builds what serves
//!                                             ◀──   Ready
//! stops accepting; Over                       ──▶   replaces the pid file
//!                                             ◀──   Settled
//! tells the service manager; Farewell         ──▶   accepts
//! ```
//!
//! Up to `Settled` the running process goes on, or takes up again, whatever becomes of the new one.
//! After it, it is an old generation. Its tunnels go to the new process, over the same socket, a
//! batch at a time:
//!
//! ```text
//! the old process                                   the one that serves
//! Move: what is open, formats                 ──▶
//!                                             ◀──   Room: how many descriptors it takes
//! freezes some; Batch, a line for each with
//! its two sockets                             ──▶   builds all, starts nothing
//!                                             ◀──   Built: which it refuses
//! Go                                          ──▶   counts them, and goes on with them
//! forgets them; the refused go on here
//! ```
//!
//! It ends when nothing is left; until then it tells every second what it has. A batch is the new
//! one's with `Go`, and the old one's whatever happens before. What cannot move (HTTP/2, TLS that
//! rustls speaks), or is not wanted, stays there to its end.

mod adopting;
mod failpoint;
mod launch;
mod moving;
mod old_processes;
mod protocol;
mod socket;
mod take_over;

use std::env;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::os::owner;

pub use launch::launch;
pub use moving::Mover;
pub use old_processes::OldProcesses;
pub use protocol::Link;
use protocol::Message;
pub use socket::{Request, Successor, UpgradeSocket};
pub use take_over::{Inherited, InheritedSocket, Predecessor};

/// Does something that may block on a thread of its own, which the end of the process does not wait
/// for.
pub async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (done, result) = oneshot::channel();
    // Whoever does not wait any more needs no result.
    let work = move || drop(done.send(work()));
    thread::Builder::new()
        .name("upgrade".into())
        .spawn(work)
        .map_err(|error| format!("no thread: {error}"))?;
    result
        .await
        .map_err(|_| "internal error: a panic".to_owned())
}

/// How many steps an upgrade has that the running process waits for: the check, the start, `Ready`,
/// `Settled`. One more is for all else.
const STEPS: u32 = 5;

/// `culvert upgrade`: asks the running process at `socket` to hand over to `binary`, and waits
/// until that serves. `timeout` is that of a step. The error is for the operator.
pub fn ask(
    socket: Option<&PathBuf>,
    conf: &Path,
    binary: Option<&Path>,
    timeout: Duration,
) -> Result<String, String> {
    let socket = socket.ok_or("server.upgradeSocket: is not set, so there is no upgrade")?;
    let binary = match binary {
        Some(binary) => binary.to_owned(),
        None => env::current_exe().map_err(|error| format!("culvert: {error}"))?,
    };
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let request = Message::Upgrade {
        binary: absolute(&binary)?,
        conf: absolute(conf)?,
    };
    let patience = timeout * STEPS;
    let at = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock => format!(
            "{}: no answer within {patience:?}; what becomes of the upgrade is in the running \
             process's diagnostics",
            socket.display()
        ),
        _ => format!("{}: {error}", socket.display()),
    };
    let stream = UnixStream::connect(socket)
        .map_err(|error| format!("{}: {}", socket.display(), owner::silence(socket, &error)))?;
    let mut link = Link::new(stream);
    link.patience(Some(patience)).map_err(at)?;
    link.send(&request).map_err(at)?;
    match link.receive().map_err(at)? {
        Message::Upgraded(Ok(pid)) => Ok(format!("culvert: process {pid} serves")),
        Message::Upgraded(Err(reason)) => Err(reason),
        other => Err(format!("{}: unexpected answer {other:?}", socket.display())),
    }
}
