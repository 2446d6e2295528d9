//! A target's connection, plain or in TLS. What is read and written here is what the target said
//! and hears; the socket is below.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::client::{or_end, part_of};

/// A target's connection.
#[derive(Debug)]
pub enum TargetStream {
    /// TCP, or a Unix socket in its form.
    Plain(TcpStream),
    /// TLS over it, after its handshake. Boxed, so that plain ones do not pay for its size.
    Tls(Box<TlsStream<TcpStream>>),
}

impl TargetStream {
    /// The socket below.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            TargetStream::Plain(socket) => socket,
            TargetStream::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether HTTP/2 has been chosen in its TLS; without that there is nothing to choose.
    pub(crate) fn has_chosen_http2(&self) -> bool {
        match self {
            TargetStream::Plain(_) => true,
            TargetStream::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Whether the target has neither said anything nor closed. What it says in TLS may be no word
    /// to us: a ticket for another session.
    pub(crate) fn is_silent(&mut self) -> bool {
        match (is_socket_silent(self.socket()), &mut *self) {
            (Ok(true), TargetStream::Plain(_)) => true,
            (Ok(true), TargetStream::Tls(stream)) => stream.get_ref().1.wants_read(),
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
            TargetStream::Tls(stream) => part_of(stream.get_mut().1.process_new_packets(), most),
            TargetStream::Plain(_) => most,
        }
    }

    /// Ready when what was written in TLS has gone to the socket: rustls takes 64 KB more than the
    /// socket does.
    pub(crate) fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            TargetStream::Tls(stream) if stream.get_ref().1.wants_write() => {
                Pin::new(stream).poll_flush(cx)
            }
            TargetStream::Tls(_) | TargetStream::Plain(_) => Poll::Ready(Ok(())),
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
            TargetStream::Tls(stream) => Pin::new(stream).poll_read(cx, buf).map(or_end),
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
