//! The client's end: connections that each do a script over and over, the next time when the last
//! is done (a closed loop).
//!
//! One thread, edge-triggered epoll, a write and a read for each message (in TLS, another read that
//! finds nothing): what it takes is taken from the target, with which it shares a core. Every byte
//! that comes back is compared; anything unexpected is an error, and so is a run that does not end.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Interest, Poll, Registry, Token};

use crate::protocol::{self, Message};
use crate::stream::{Address, Stream, or_later};

/// A run that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(120);

/// Something to say, and the answer to wait for. A connection that is not there is opened first.
pub(crate) enum Step<'a> {
    /// A handshake; with TLS, the one of TLS before it.
    Upgrade,
    /// A message, which comes back.
    Echo(&'a mut Message),
    /// A Close frame, which comes back too; then the other side ends the connection.
    Close,
    /// A plain request.
    Get,
}

/// Some connections to a proxy.
pub(crate) struct Client {
    poll: Poll,
    proxy: Address,
    connections: Vec<Connection>,
    /// Those that do nothing now; the one that has waited longest is the next.
    idle: VecDeque<usize>,
    scratch: Box<[u8]>,
    exchanges: usize,
}

#[derive(Default)]
struct Connection {
    stream: Option<Stream>,
    is_busy: bool,
    began: Option<Instant>,
    step: usize,
    stamp: u64,
    sent: usize,
    received: usize,
    answer: Vec<u8>,
}

impl Client {
    /// A client with this many connections to a proxy, none of them open yet.
    pub(crate) fn new(proxy: &Address, connections: usize) -> io::Result<Self> {
        let stamped = |number: usize| Connection {
            stamp: (number as u64) << 32,
            ..Connection::default()
        };
        Ok(Client {
            poll: Poll::new()?,
            proxy: proxy.clone(),
            connections: (0..connections).map(stamped).collect(),
            idle: (0..connections).collect(),
            scratch: vec![0; 256 << 10].into(),
            exchanges: 0,
        })
    }

    /// How many handshakes and plain requests were answered.
    pub(crate) fn exchanges(&self) -> usize {
        self.exchanges
    }

    /// Whether it speaks TLS.
    pub(crate) fn is_in_tls(&self) -> bool {
        self.proxy.tls.is_some()
    }

    /// Has the connections do the script, so often in all and so many at a time. Returns how long
    /// each took.
    pub(crate) fn run(
        &mut self,
        script: &mut [Step<'_>],
        times: usize,
        at_a_time: usize,
    ) -> io::Result<Vec<Duration>> {
        let asked = script
            .iter()
            .filter(|step| matches!(step, Step::Upgrade | Step::Get));
        let exchanges = asked.count() * times;
        let deadline = Instant::now() + LIMIT;
        let mut events = Events::with_capacity(1024);
        let mut took = Vec::with_capacity(times);
        let mut begun = times.min(at_a_time);
        for _ in 0..begun {
            self.begin_next(script)?;
        }
        while took.len() < times {
            let left = deadline.saturating_duration_since(Instant::now());
            self.poll.poll(&mut events, Some(left))?;
            if events.is_empty() && Instant::now() >= deadline {
                let done = took.len();
                return Err(io::Error::other(format!(
                    "{done} of {times} done in {LIMIT:?}"
                )));
            }
            for event in &events {
                let Some(duration) = self.go_on(event, script)? else {
                    continue;
                };
                took.push(duration);
                if begun < times {
                    self.begin_next(script)?;
                    begun += 1;
                }
            }
        }
        self.exchanges += exchanges;
        Ok(took)
    }

    fn begin_next(&mut self, script: &mut [Step<'_>]) -> io::Result<()> {
        let Some(number) = self.idle.pop_front() else {
            return Err(io::Error::other(
                "more at a time than there are connections",
            ));
        };
        let connection = &mut self.connections[number];
        connection.is_busy = true;
        connection.began = Some(Instant::now());
        connection.step = 0;
        connection.begin(script, &self.proxy, self.poll.registry(), Token(number))
    }

    /// Tells how long the script took, at its end.
    fn go_on(&mut self, event: &Event, script: &mut [Step<'_>]) -> io::Result<Option<Duration>> {
        let Token(number) = event.token();
        let connection = &mut self.connections[number];
        if !connection.is_busy {
            return Ok(None);
        }
        connection.send(script)?;
        if !event.is_readable() || !connection.receive(script, &mut self.scratch)? {
            return Ok(None);
        }
        connection.step += 1;
        if connection.step < script.len() {
            connection.begin(script, &self.proxy, self.poll.registry(), Token(number))?;
            return Ok(None);
        }
        connection.is_busy = false;
        self.idle.push_back(number);
        Ok(connection.began.map(|began| began.elapsed()))
    }
}

impl Connection {
    fn begin(
        &mut self,
        script: &mut [Step<'_>],
        proxy: &Address,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        self.stamp += 1;
        (self.sent, self.received) = (0, 0);
        self.answer.clear();
        if self.stream.is_none() {
            let mut stream = proxy.connect()?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            registry.register(stream.socket(), token, interest)?;
            self.stream = Some(stream);
        }
        self.send(script)
    }

    fn send(&mut self, script: &mut [Step<'_>]) -> io::Result<()> {
        let bytes = match &mut script[self.step] {
            Step::Upgrade => protocol::HANDSHAKE,
            Step::Echo(message) => message.frame(self.stamp),
            Step::Close => protocol::CLOSE,
            Step::Get => protocol::REQUEST,
        };
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        while self.sent < bytes.len() {
            match stream.write(&bytes[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        or_later(stream.flush())
    }

    /// Tells whether the answer is complete.
    fn receive(&mut self, script: &mut [Step<'_>], scratch: &mut [u8]) -> io::Result<bool> {
        let step = &mut script[self.step];
        while let Some(stream) = &mut self.stream {
            let count = match stream.read(scratch) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            let reads_all = stream.reads_all();
            if self.take(step, &scratch[..count])? {
                return Ok(true);
            }
            // Less than there was room for is all there was; of the end, that is not known.
            if reads_all && count < scratch.len() && !matches!(step, Step::Close) {
                break;
            }
        }
        Ok(false)
    }

    fn take(&mut self, step: &mut Step<'_>, bytes: &[u8]) -> io::Result<bool> {
        match step {
            Step::Close if bytes.is_empty() && self.received == protocol::CLOSE_ECHO.len() => {
                self.stream = None;
                Ok(true)
            }
            _ if bytes.is_empty() => Err(io::Error::other("the connection ended too early")),
            Step::Upgrade => {
                self.answer.extend(bytes);
                protocol::is_switching(&self.answer)
            }
            Step::Get => {
                self.answer.extend(bytes);
                protocol::is_answer(&self.answer)
            }
            Step::Echo(message) => self.compare(bytes, message.echo(self.stamp)),
            Step::Close => self.compare(bytes, protocol::CLOSE_ECHO).map(|_| false),
        }
    }

    fn compare(&mut self, bytes: &[u8], echo: &[u8]) -> io::Result<bool> {
        let end = self.received + bytes.len();
        if echo.get(self.received..end) != Some(bytes) {
            return Err(io::Error::other("the echo is not what was sent"));
        }
        self.received = end;
        Ok(end == echo.len())
    }
}
