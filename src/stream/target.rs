//! A target's connection, plain or in TLS. What is read and written here is what the target said
//! and hears; the socket is below.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::frozen::FrozenStream;
use super::tls::TlsStream;

/// A target's connection.
#[derive(Debug)]
pub enum TargetStream {
    /// TCP, or a Unix socket in its form.
    Plain(TcpStream),
    /// TLS over it, after its handshake.
    Tls(TlsStream),
}

impl TargetStream {
    /// The socket below; none if its TLS was lost.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        match self {
            TargetStream::Plain(socket) => Some(socket),
            TargetStream::Tls(stream) => stream.socket(),
        }
    }

    /// Whether it can be taken off its runtime now.
    pub(crate) fn can_freeze(&mut self) -> bool {
        match self {
            TargetStream::Plain(_) => true,
            TargetStream::Tls(stream) => stream.can_freeze(),
        }
    }

    /// Takes it off its runtime.
    pub(crate) fn freeze(self) -> io::Result<FrozenStream> {
        match self {
            TargetStream::Plain(socket) => socket.into_std().map(FrozenStream::Plain),
            TargetStream::Tls(stream) => stream.freeze(),
        }
    }

    /// Goes on with what was frozen, on the present runtime.
    pub(crate) fn thaw(frozen: FrozenStream) -> io::Result<Self> {
        Ok(match frozen {
            FrozenStream::Plain(socket) => TargetStream::Plain(TcpStream::from_std(socket)?),
            FrozenStream::Tls(records) => TargetStream::Tls(TlsStream::thaw(*records)?),
        })
    }

    /// It is a tunnel's now, whose TLS is in records of our own.
    pub(crate) fn use_own_records(&mut self) {
        if let TargetStream::Tls(stream) = self {
            stream.use_own_records();
        }
    }

    /// Whether HTTP/2 has been chosen in its TLS; without that there is nothing to choose.
    pub(crate) fn has_chosen_http2(&self) -> bool {
        match self {
            TargetStream::Plain(_) => true,
            TargetStream::Tls(stream) => stream.has_chosen_http2(),
        }
    }

    /// Whether the target has neither said anything nor closed. What it says in TLS may be no word
    /// to us: a ticket for another session.
    pub(crate) fn is_silent(&mut self) -> bool {
        let is_silent = self.socket().map(is_socket_silent);
        match (is_silent.unwrap_or(Ok(false)), &mut *self) {
            (Ok(true), TargetStream::Plain(_)) => true,
            (Ok(true), TargetStream::Tls(stream)) => stream.wants_read(),
            (Ok(false), TargetStream::Tls(stream)) => {
                let mut cx = Context::from_waker(Waker::noop());
                let mut byte = [0];
                let mut buf = ReadBuf::new(&mut byte);
                Pin::new(stream).poll_read(&mut cx, &mut buf).is_pending()
            }
            (Ok(false) | Err(_), _) => false,
        }
    }

    /// How much to read at a time, of so much: in TLS the rest of a record alone, that the next is
    /// read whole.
    pub(crate) fn part(&mut self, most: usize) -> usize {
        match self {
            TargetStream::Tls(stream) => stream.part(most),
            TargetStream::Plain(_) => most,
        }
    }

    /// Ready when what was written in TLS has gone to the socket: rustls takes 64 KB more than the
    /// socket does.
    pub(crate) fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            TargetStream::Tls(stream) => stream.poll_drained(cx),
            TargetStream::Plain(_) => Poll::Ready(Ok(())),
        }
    }

    /// Tells a target in TLS that nothing more comes, as far as that goes without waiting. To
    /// others the end of the connection says the same.
    pub(crate) fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        if let TargetStream::Tls(stream) = self
            && let Poll::Ready(Err(error)) = Pin::new(stream).poll_shutdown(cx)
        {
            log::debug!("the end of a target's TLS: {error}");
        }
    }
}

/// Whether there is nothing to read; the system is asked, for the runtime may not know yet. Errors:
/// the end.
fn is_socket_silent(socket: &TcpStream) -> io::Result<bool> {
    match recv(socket, &mut [0u8], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(false),
        Err(rustix::io::Errno::AGAIN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

impl AsyncRead for TargetStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            TargetStream::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            TargetStream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for TargetStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            TargetStream::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            TargetStream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            TargetStream::Plain(socket) => Pin::new(socket).poll_flush(cx),
            TargetStream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            TargetStream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            TargetStream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
