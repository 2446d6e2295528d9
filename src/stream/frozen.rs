//! A stream of a tunnel that is off its runtime: a socket, and how far TLS has come over it. It can
//! go on on another runtime, or in another process.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::tls_records::{Records, RecordsState};

/// A stream that is off its runtime.
#[derive(Debug)]
pub(crate) enum FrozenStream {
    /// TCP, or a Unix socket in its form.
    Plain(TcpStream),
    /// TLS over it, in records of our own.
    Tls(Box<Records<TcpStream>>),
}

impl FrozenStream {
    /// What another process had frozen. Errors: keys that are none.
    pub(crate) fn new(socket: OwnedFd, tls: Option<&RecordsState>) -> io::Result<Self> {
        let socket = TcpStream::from(socket);
        socket.set_nonblocking(true)?;
        Ok(match tls {
            None => FrozenStream::Plain(socket),
            Some(state) => FrozenStream::Tls(Box::new(Records::resume(socket, state)?)),
        })
    }

    /// The socket.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        match self {
            FrozenStream::Plain(socket) => socket.as_fd(),
            FrozenStream::Tls(records) => records.socket().as_fd(),
        }
    }

    /// How far its TLS has come.
    pub(crate) fn tls(&self) -> Option<RecordsState> {
        match self {
            FrozenStream::Plain(_) => None,
            FrozenStream::Tls(records) => Some(records.state()),
        }
    }
}
