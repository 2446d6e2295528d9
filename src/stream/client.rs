//! A client's connection: plain, in TLS, or one stream of an HTTP/2 connection. What is read and
//! written here is what the client said and hears; the socket is below.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::frozen::FrozenStream;
use super::http2::Http2Stream;
use super::tls::TlsStream;

/// A client's connection.
#[derive(Debug)]
pub enum ClientStream {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP, after its handshake.
    Tls(TlsStream),
    /// A WebSocket over HTTP/2, which shares its socket with others.
    Http2(Box<Http2Stream>),
}

impl ClientStream {
    /// The socket below, if it is this client's alone.
    pub(crate) fn socket(&self) -> Option<&TcpStream> {
        match self {
            ClientStream::Plain(socket) => Some(socket),
            ClientStream::Tls(stream) => stream.socket(),
            ClientStream::Http2(_) => None,
        }
    }

    /// Whether its socket is its alone.
    pub(crate) fn has_own_socket(&self) -> bool {
        !matches!(self, ClientStream::Http2(_))
    }

    /// Whether it can be taken off its runtime now.
    pub(crate) fn can_freeze(&mut self) -> bool {
        match self {
            ClientStream::Plain(_) => true,
            ClientStream::Tls(stream) => stream.can_freeze(),
            ClientStream::Http2(_) => false,
        }
    }

    /// Takes it off its runtime.
    pub(crate) fn freeze(self) -> io::Result<FrozenStream> {
        match self {
            ClientStream::Plain(socket) => socket.into_std().map(FrozenStream::Plain),
            ClientStream::Tls(stream) => stream.freeze(),
            ClientStream::Http2(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Goes on with what was frozen, on the present runtime.
    pub(crate) fn thaw(frozen: FrozenStream) -> io::Result<Self> {
        Ok(match frozen {
            FrozenStream::Plain(socket) => ClientStream::Plain(TcpStream::from_std(socket)?),
            FrozenStream::Tls(records) => ClientStream::Tls(TlsStream::thaw(*records)?),
        })
    }

    /// It is a tunnel's now, whose TLS is in records of our own.
    pub(crate) fn use_own_records(&mut self) {
        if let ClientStream::Tls(stream) = self {
            stream.use_own_records();
        }
    }

    /// How much of what the client said has left the socket, and was not read from here; and how
    /// much more that may be if the rest of a record of TLS is in the socket still.
    pub(crate) fn undelivered(&mut self) -> (usize, usize) {
        match self {
            ClientStream::Tls(stream) => stream.undelivered(),
            ClientStream::Plain(_) | ClientStream::Http2(_) => (0, 0),
        }
    }

    /// How much to read at a time, of so much: in TLS the rest of a record alone, that the next is
    /// read whole. What is left of one stays in memory, whole ones in the socket.
    pub(crate) fn part(&mut self, most: usize) -> usize {
        match self {
            ClientStream::Tls(stream) => stream.part(most),
            ClientStream::Plain(_) | ClientStream::Http2(_) => most,
        }
    }

    /// Whether the client has chosen HTTP/2 in its TLS handshake (RFC 7301).
    pub fn has_chosen_http2(&self) -> bool {
        match self {
            ClientStream::Tls(stream) => stream.has_chosen_http2(),
            ClientStream::Plain(_) | ClientStream::Http2(_) => false,
        }
    }

    /// Ready when what was written in TLS has gone to the socket: rustls takes 64 KB more than the
    /// socket does.
    pub(crate) fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            ClientStream::Tls(stream) => stream.poll_drained(cx),
            ClientStream::Plain(_) | ClientStream::Http2(_) => Poll::Ready(Ok(())),
        }
    }

    /// Tells a client in TLS or HTTP/2 that nothing more comes, as far as that goes without
    /// waiting: it takes an end of which it was not told for a broken one. To others the end of the
    /// connection says the same.
    pub(crate) fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        if matches!(self, ClientStream::Plain(_)) {
            return;
        }
        if let Poll::Ready(Err(error)) = Pin::new(self).poll_shutdown(cx) {
            log::debug!("the end of a client's stream: {error}");
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ClientStream::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            ClientStream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            ClientStream::Http2(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            ClientStream::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            ClientStream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            ClientStream::Http2(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ClientStream::Plain(socket) => Pin::new(socket).poll_flush(cx),
            ClientStream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            ClientStream::Http2(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ClientStream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            ClientStream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            ClientStream::Http2(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
