//! A connection in TLS, to a client or a target: rustls speaks it, and, once it is a tunnel's, our
//! own records, if they are to.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::{CommonState, IoState};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::frozen::FrozenStream;
use crate::tls_records::{Boundary, FirstSecrets, Records, take_over};

/// How much a record of TLS carries at most (RFC 8446 section 5.1).
const LONGEST_RECORD: usize = 16 << 10;

/// The rest of a record that is not worth a read of its own.
const SHORT: usize = 4 << 10;

/// A connection in TLS, after its handshake.
#[derive(Debug)]
pub struct TlsStream(Speaker);

#[derive(Debug)]
enum Speaker {
    Rustls(Box<Shaken>),
    Own(Box<Records<TcpStream>>),
    /// What rustls had could not be taken over.
    Nobody,
}

/// What rustls has.
#[derive(Debug)]
struct Shaken {
    stream: tokio_rustls::TlsStream<Boundary<TcpStream>>,
    secrets: FirstSecrets,
    is_tunnel: bool,
}

impl TlsStream {
    /// A connection that has shaken hands, with the first secrets of that.
    pub(crate) fn new(
        stream: impl Into<tokio_rustls::TlsStream<Boundary<TcpStream>>>,
        secrets: FirstSecrets,
    ) -> Self {
        TlsStream(Speaker::Rustls(Box::new(Shaken {
            stream: stream.into(),
            secrets,
            is_tunnel: false,
        })))
    }

    /// From the next read on, or the end of the record that is being read, our own records go on.
    pub(crate) fn use_own_records(&mut self) {
        if let Speaker::Rustls(shaken) = &mut self.0 {
            shaken.is_tunnel = true;
        }
    }

    /// Whether it can be taken off its runtime: once our own records go on, and as long as nothing
    /// has gone wrong.
    pub(super) fn can_freeze(&mut self) -> bool {
        if let Err(error) = self.leave_rustls() {
            log::debug!("TLS: {error}");
        }
        matches!(&self.0, Speaker::Own(records) if !records.has_failed())
    }

    /// Takes it off its runtime.
    pub(super) fn freeze(self) -> io::Result<FrozenStream> {
        match self.0 {
            Speaker::Own(records) => {
                let frozen = records.over(TcpStream::into_std)?;
                Ok(FrozenStream::Tls(Box::new(frozen)))
            }
            Speaker::Rustls(_) | Speaker::Nobody => Err(lost()),
        }
    }

    /// Goes on with what was frozen.
    pub(super) fn thaw(records: Records<std::net::TcpStream>) -> io::Result<Self> {
        let records = records.over(TcpStream::from_std)?;
        Ok(TlsStream(Speaker::Own(Box::new(records))))
    }

    /// The socket below; none if the connection was lost.
    pub(super) fn socket(&self) -> Option<&TcpStream> {
        match &self.0 {
            Speaker::Rustls(shaken) => Some(shaken.stream.get_ref().0.get_ref()),
            Speaker::Own(records) => Some(records.socket()),
            Speaker::Nobody => None,
        }
    }

    /// Whether HTTP/2 has been chosen in the handshake (RFC 7301).
    pub fn has_chosen_http2(&self) -> bool {
        self.rustls()
            .is_some_and(|state| state.alpn_protocol() == Some(b"h2"))
    }

    /// Whether nothing that was read is left: what comes next comes from the socket.
    pub(super) fn wants_read(&self) -> bool {
        self.rustls().is_none_or(CommonState::wants_read)
    }

    /// How much of what the peer said has left the socket, and was not read from here; and how much
    /// more that may be if the rest of a record is in the socket still.
    pub(super) fn undelivered(&mut self) -> (usize, usize) {
        match self.state() {
            Some(state) if state.peer_has_closed() => (state.plaintext_bytes_to_read(), 0),
            Some(state) => (state.plaintext_bytes_to_read(), LONGEST_RECORD),
            None => (0, 0),
        }
    }

    /// How much to read at a time, of so much: the rest of a record alone, that the next is read
    /// whole. What is left of one stays in memory, whole ones in the socket.
    pub(super) fn part(&mut self, most: usize) -> usize {
        let rest = self
            .state()
            .map_or(0, |state| state.plaintext_bytes_to_read());
        match rest < SHORT {
            true => most,
            false => most.min(rest),
        }
    }

    /// Ready when what was written has gone to the socket: rustls takes 64 KB more than the socket
    /// does.
    pub(super) fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.rustls() {
            Some(state) if !state.wants_write() => Poll::Ready(Ok(())),
            _ => Pin::new(self).poll_flush(cx),
        }
    }

    fn rustls(&self) -> Option<&CommonState> {
        match &self.0 {
            Speaker::Rustls(shaken) => Some(shaken.stream.get_ref().1),
            Speaker::Own(_) | Speaker::Nobody => None,
        }
    }

    fn state(&mut self) -> Option<IoState> {
        match &mut self.0 {
            Speaker::Rustls(shaken) => shaken.state().ok(),
            Speaker::Own(_) | Speaker::Nobody => None,
        }
    }

    /// Takes the connection over from rustls, if that is to be and can be now.
    fn leave_rustls(&mut self) -> io::Result<()> {
        let can_be_left = match &mut self.0 {
            Speaker::Rustls(shaken) => shaken.can_be_left(),
            Speaker::Own(_) | Speaker::Nobody => false,
        };
        if can_be_left
            && let Speaker::Rustls(shaken) = std::mem::replace(&mut self.0, Speaker::Nobody)
        {
            self.0 = Speaker::Own(Box::new(shaken.leave()?));
        }
        Ok(())
    }
}

impl Shaken {
    fn state(&mut self) -> Result<IoState, rustls::Error> {
        match &mut self.stream {
            tokio_rustls::TlsStream::Client(stream) => stream.get_mut().1.process_new_packets(),
            tokio_rustls::TlsStream::Server(stream) => stream.get_mut().1.process_new_packets(),
        }
    }

    /// Whether rustls has nothing that cannot be taken from it. What is wrong it tells itself.
    fn can_be_left(&mut self) -> bool {
        self.is_tunnel && self.stream.get_ref().0.is_whole() && self.state().is_ok()
    }

    fn leave(self) -> io::Result<Records<TcpStream>> {
        let (boundary, connection) = match self.stream {
            tokio_rustls::TlsStream::Client(stream) => {
                let (boundary, connection) = stream.into_inner();
                (boundary, connection.into())
            }
            tokio_rustls::TlsStream::Server(stream) => {
                let (boundary, connection) = stream.into_inner();
                (boundary, connection.into())
            }
        };
        take_over(boundary.into_inner(), connection, &self.secrets)
    }
}

fn lost() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        stream.leave_rustls()?;
        match &mut stream.0 {
            Speaker::Rustls(shaken) => Pin::new(&mut shaken.stream).poll_read(cx, buf).map(or_end),
            Speaker::Own(records) => Pin::new(records).poll_read(cx, buf),
            Speaker::Nobody => Poll::Ready(Err(lost())),
        }
    }
}

/// A FIN is an end also where no close_notify came before it.
fn or_end(read: io::Result<()>) -> io::Result<()> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        read => read,
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Speaker::Rustls(shaken) => Pin::new(&mut shaken.stream).poll_write(cx, bytes),
            Speaker::Own(records) => Pin::new(records).poll_write(cx, bytes),
            Speaker::Nobody => Poll::Ready(Err(lost())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Speaker::Rustls(shaken) => Pin::new(&mut shaken.stream).poll_flush(cx),
            Speaker::Own(records) => Pin::new(records).poll_flush(cx),
            Speaker::Nobody => Poll::Ready(Err(lost())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Speaker::Rustls(shaken) => Pin::new(&mut shaken.stream).poll_shutdown(cx),
            Speaker::Own(records) => Pin::new(records).poll_shutdown(cx),
            Speaker::Nobody => Poll::Ready(Err(lost())),
        }
    }
}
