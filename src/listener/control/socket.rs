//! The socket of a control address: TCP, or a Unix socket; and who comes through it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::unconstrained;
use tokio_util::either::Either;

use crate::os::keepalive::probe_when_silent;
use crate::os::open_files::is_short;
use crate::os::reserve;

/// After this silence the system probes a client; one that takes nothing for twice as long is gone.
const SILENCE: Duration = Duration::from_secs(15);

/// A socket that listens.
#[derive(Debug)]
pub enum ControlSocket {
    /// On an address and a port.
    Tcp(std::net::TcpListener),
    /// At a path.
    Unix(std::os::unix::net::UnixListener),
}

/// Whoever is at the other end.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    /// Over TCP.
    Tcp {
        /// The address of the other end.
        peer: SocketAddr,
        /// The address here that they came to.
        local: IpAddr,
    },
    /// At a Unix socket. Both are 0 where the system does not know.
    Unix {
        /// The id of their process.
        pid: i32,
        /// The id of their user.
        uid: u32,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp { peer, .. } => peer.fmt(f),
            Peer::Unix { pid, uid } => write!(f, "process {pid} of user {uid}"),
        }
    }
}

impl ControlSocket {
    /// Another handle of the same socket.
    pub fn copy(&self) -> io::Result<ControlSocket> {
        reserve::with(1, || {
            Ok(match self {
                ControlSocket::Tcp(socket) => ControlSocket::Tcp(socket.try_clone()?),
                ControlSocket::Unix(socket) => ControlSocket::Unix(socket.try_clone()?),
            })
        })
    }

    /// Ready to accept, on the present runtime.
    pub(super) fn listen(self) -> io::Result<Acceptor> {
        Ok(match self {
            ControlSocket::Tcp(socket) => Either::Left(TcpListener::from_std(socket)?),
            ControlSocket::Unix(socket) => Either::Right(UnixListener::from_std(socket)?),
        })
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            ControlSocket::Tcp(socket) => socket.as_fd(),
            ControlSocket::Unix(socket) => socket.as_fd(),
        }
    }
}

/// A socket that is accepted on.
pub type Acceptor = Either<TcpListener, UnixListener>;
/// A connection to a control address.
pub type Stream = Either<TcpStream, UnixStream>;

/// The next connection; where no files are left, with one in reserve.
pub async fn accept(socket: &Acceptor) -> io::Result<(Stream, Peer)> {
    match accept_one(socket).await {
        Err(error) if is_short(&error) => reserve::with(1, || {
            let accepted = unconstrained(accept_one(socket)).now_or_never();
            accepted.unwrap_or_else(|| Err(io::ErrorKind::Interrupted.into()))
        }),
        accepted => accepted,
    }
}

async fn accept_one(socket: &Acceptor) -> io::Result<(Stream, Peer)> {
    match socket {
        Either::Left(socket) => {
            let (stream, peer) = socket.accept().await?;
            stream.set_nodelay(true)?;
            probe_when_silent(&stream, SILENCE)?;
            let local = stream.local_addr()?.ip().to_canonical();
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            Ok((Either::Left(stream), Peer::Tcp { peer, local }))
        }
        Either::Right(socket) => {
            let (stream, _) = socket.accept().await?;
            let found = stream.peer_cred()?;
            let (pid, uid) = (found.pid().unwrap_or_default(), found.uid());
            Ok((Either::Right(stream), Peer::Unix { pid, uid }))
        }
    }
}
