//! The target's end: a thread that answers handshakes and plain requests, and echoes messages.
//!
//! It is as lean as the client, with which it shares a core. A connection that says anything else is closed, which the client
//! notices.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::thread;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::protocol::{self, Frame};

const LISTENER: Token = Token(usize::MAX);

/// Starts the target, for the rest of the process, and returns its address.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let poll = Poll::new()?;
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let address = listener.local_addr()?;
    let target = Target {
        poll,
        listener,
        connections: Vec::new(),
        free: Vec::new(),
    };
    thread::Builder::new().name("target".to_owned()).spawn(|| {
        if let Err(error) = target.run() {
            eprintln!("the target ended: {error}");
        }
    })?;
    Ok(address)
}

struct Target {
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
}

struct Connection {
    stream: TcpStream,
    is_tunnel: bool,
    /// The beginning of a frame or a head.
    unread: Vec<u8>,
    unwritten: Vec<u8>,
}

impl Target {
    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut scratch = vec![0; 256 << 10];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept()?;
                    continue;
                }
                let Token(place) = event.token();
                let Some(connection) = &mut self.connections[place] else {
                    continue;
                };
                let served = connection.serve(&mut scratch, event.is_read_closed());
                if !served.unwrap_or(false) {
                    self.connections[place] = None;
                    self.free.push(place);
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let place = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut stream, Token(place), interest)?;
            self.connections[place] = Some(Connection {
                stream,
                is_tunnel: false,
                unread: Vec::new(),
                unwritten: Vec::new(),
            });
        }
    }
}

impl Connection {
    /// Answers what there is; tells whether the connection goes on.
    fn serve(&mut self, scratch: &mut [u8], is_read_closed: bool) -> io::Result<bool> {
        loop {
            let rest = std::mem::take(&mut self.unwritten);
            if !self.write(&rest)? {
                return Ok(true);
            }
            let start = self.unread.len();
            scratch[..start].copy_from_slice(&self.unread);
            let room = scratch.len() - start;
            let count = match self.stream.read(&mut scratch[start..]) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            let bytes = &mut scratch[..start + count];
            let taken = self.answer(bytes)?;
            self.unread.clear();
            self.unread.extend(&bytes[taken..]);
            if count < room && !is_read_closed && self.unwritten.is_empty() {
                return Ok(true);
            }
        }
    }

    /// Answers all that is complete; tells how many bytes those were.
    fn answer(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            let rest = &mut bytes[taken..];
            let count = if self.is_tunnel {
                self.answer_frame(rest)?
            } else {
                self.answer_head(rest)?
            };
            match count {
                Some(count) => taken += count,
                None => return Ok(taken),
            }
        }
    }

    fn answer_head(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let Some(end) = protocol::head_end(bytes) else {
            return Ok(None);
        };
        let answer = protocol::answer_to(&bytes[..end]);
        let answer = answer.ok_or_else(|| io::Error::other("neither a handshake nor a request"))?;
        self.is_tunnel = answer == protocol::SWITCHING;
        self.write(answer)?;
        Ok(Some(end))
    }

    fn answer_frame(&mut self, bytes: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(frame) = Frame::read(bytes)? else {
            return Ok(None);
        };
        let (end, is_close) = (frame.end, frame.is_close);
        self.write(frame.echo(bytes))?;
        if is_close {
            self.stream.shutdown(Shutdown::Write)?;
        }
        Ok(Some(end))
    }

    /// Writes bytes, and keeps those for which there is no room; tells whether there was.
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        while !bytes.is_empty() && self.unwritten.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.unwritten.extend(bytes);
        Ok(bytes.is_empty())
    }
}
