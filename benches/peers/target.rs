//! The target's end: a thread that answers handshakes and plain requests, and echoes messages.
//! Where it is asked to take a long body, it takes nothing of it.
//!
//! It is as lean as the client, with which it shares a core. A connection that says anything else
//! is closed, which the client notices.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use crate::protocol::{self, Frame};

/// The segments of a connection that is not to be taken for loopback, where the system takes
/// megabytes that nobody reads.
pub(crate) const SEGMENT: u32 = 1460;

const LISTENER: Token = Token(usize::MAX);

/// How often a long answer was asked for, or a long body begun.
static LONG: AtomicUsize = AtomicUsize::new(0);

/// How often a long answer was asked for, or a long body begun.
pub(crate) fn long_exchanges() -> usize {
    LONG.load(Relaxed)
}

/// Where the target is.
pub(crate) struct Addresses {
    /// Over loopback.
    pub(crate) near: SocketAddr,
    /// Over loopback with the segments of an Ethernet.
    pub(crate) far: SocketAddr,
}

impl Addresses {
    /// Starts the target at both, for the rest of the process.
    pub(crate) fn start() -> io::Result<Self> {
        let [near, far] = [bind()?, bind()?];
        SockRef::from(&far).set_tcp_mss(SEGMENT)?;
        Ok(Addresses {
            near: start(near)?,
            far: start(far)?,
        })
    }
}

fn bind() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())
}

fn start(mut listener: TcpListener) -> io::Result<SocketAddr> {
    let poll = Poll::new()?;
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
    /// What is left of a long answer.
    long: &'static [u8],
    /// Reads no more.
    is_deaf: bool,
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
                long: &[],
                is_deaf: false,
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
            if self.is_deaf || !self.write_long()? {
                return Ok(!is_read_closed);
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
        self.is_deaf = protocol::is_long_body(&bytes[..end]);
        let is_long = answer.len() > protocol::LONG;
        LONG.fetch_add(usize::from(self.is_deaf || is_long), Relaxed);
        if is_long {
            self.long = answer;
            self.write_long()?;
        } else {
            self.write(answer)?;
        }
        let taken = if self.is_deaf { bytes.len() } else { end };
        Ok(Some(taken))
    }

    /// Writes what there is room for; tells whether that was all.
    fn write_long(&mut self) -> io::Result<bool> {
        while !self.long.is_empty() {
            match self.stream.write(self.long) {
                Ok(count) => self.long = &self.long[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
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
