//! A client's connection, plain or in TLS, on a socket that never waits. What it reads and writes
//! is what both ends say.
//!
//! The TLS handshake goes on while something is read or written.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::{ClientConfig, ClientConnection};

use crate::tls;

/// Where a proxy listens, and how it is spoken to there.
#[derive(Clone)]
pub(crate) struct Address {
    /// The address.
    pub(crate) at: SocketAddr,
    /// With TLS, what to offer.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Address {
    /// Begins to connect.
    pub(crate) fn connect(&self) -> io::Result<Stream> {
        self.over(TcpStream::connect(self.at)?)
    }

    /// Speaks over a socket that is connected, or about to be.
    pub(crate) fn over(&self, socket: TcpStream) -> io::Result<Stream> {
        socket.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Stream::Plain(socket),
            Some(config) => Stream::Tls(Box::new(Encrypted {
                socket,
                session: tls::session(config)?,
                is_checked: false,
            })),
        })
    }
}

/// A connection.
pub(crate) enum Stream {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<Encrypted>),
}

impl Stream {
    /// The socket below.
    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &mut stream.socket,
        }
    }

    /// Whether the TLS handshake is over, where there is one.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Stream::Plain(_) => true,
            Stream::Tls(stream) => stream.is_checked,
        }
    }

    /// Whether a read of less than there was room for tells that there is no more. In TLS that is
    /// only the end of a record.
    pub(crate) fn reads_all(&self) -> bool {
        matches!(self, Stream::Plain(_))
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(bytes),
            Stream::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// A connection in TLS.
pub(crate) struct Encrypted {
    socket: TcpStream,
    session: ClientConnection,
    is_checked: bool,
}

impl Encrypted {
    /// Nothing is the end, also where no close_notify came before it.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.receive()?,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        self.session.read_tls(&mut self.socket)?;
        self.session
            .process_new_packets()
            .map_err(io::Error::other)?;
        if !self.is_checked && !self.session.is_handshaking() {
            tls::check(&self.session)?;
            self.is_checked = true;
        }
        or_later(self.flush())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let count = self.session.writer().write(bytes)?;
        or_later(self.flush())?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

/// What cannot be written now goes with what is written next, or when there is room.
pub(crate) fn or_later(flushed: io::Result<()>) -> io::Result<()> {
    match flushed {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        flushed => flushed,
    }
}
