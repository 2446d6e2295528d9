//! What clients cost that are no tunnels: they say nothing, or a head byte after byte, or take no
//! answer, or send a body that their target does not take.
//!
//! Their connections have the segments of an Ethernet: between ends that take loopback for what it
//! is the system keeps more than a megabyte for whoever does not read, and the proxy none of it.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};

use crate::figure::{Figure, Goal, memory_of};
use crate::protocol::{HANDSHAKE, LONG_REQUEST, LONG_UPLOAD};
use crate::proxies::Proxy;
use crate::stream::{Address, Stream, or_later};
use crate::target::{self, SEGMENT};

const KIB: f64 = 1024.0;
/// How many wait, and how many before them: what a process does once is no part of what a client
/// costs.
const COUNT: usize = 300;
const FIRST: usize = 8;
/// How often each gets a turn, and how much of a head it sends then.
const TURNS: usize = 20;
const TURN: Duration = Duration::from_millis(50);
const PIECE: usize = 10;
/// How long it may take until the target has heard of all.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the clients do.
#[derive(Clone, Copy, PartialEq)]
enum Habit {
    Silence,
    SlowHead,
    Answer,
    Body,
}

impl Habit {
    /// What each says, and how much of it at a time.
    fn says(self) -> (&'static [u8], usize) {
        match self {
            Habit::Silence => (&[], 0),
            Habit::SlowHead => (&HANDSHAKE[..HANDSHAKE.len() - 1], PIECE),
            Habit::Answer => (LONG_REQUEST, usize::MAX),
            Habit::Body => (&LONG_UPLOAD, usize::MAX),
        }
    }

    /// Whether the target hears of each.
    fn reaches_the_target(self) -> bool {
        matches!(self, Habit::Answer | Habit::Body)
    }
}

struct Waiting {
    stream: Stream,
    habit: Habit,
    sent: usize,
}

/// Connections without a request.
pub(crate) fn unasked(proxy: &Proxy, scale: usize) -> io::Result<(Vec<Figure>, usize)> {
    let mut all = Vec::new();
    let mut figures = Vec::new();
    for (name, address, habit, most) in [
        ("that says nothing", &proxy.plain, Habit::Silence, Some(6.0)),
        (
            "with a head that comes slowly",
            &proxy.plain,
            Habit::SlowHead,
            Some(12.0),
        ),
        (
            "in TLS that says nothing",
            &proxy.encrypted,
            Habit::Silence,
            None,
        ),
        (
            "in TLS with a head that comes slowly",
            &proxy.encrypted,
            Habit::SlowHead,
            None,
        ),
    ] {
        let name = format!("connection {name}");
        figures.push(measure(
            proxy,
            address,
            habit,
            scale,
            &mut all,
            (&name, most),
        )?);
    }
    Ok((figures, 0))
}

/// Answers that nobody takes.
pub(crate) fn untaken_answers(proxy: &Proxy, scale: usize) -> io::Result<(Vec<Figure>, usize)> {
    let what = (
        "connection whose client takes no answer of 1 MiB",
        Some(128.0),
    );
    let figure = measure(
        proxy,
        &proxy.plain,
        Habit::Answer,
        scale,
        &mut Vec::new(),
        what,
    )?;
    Ok((vec![figure], 0))
}

/// Bodies that nobody takes.
pub(crate) fn untaken_bodies(proxy: &Proxy, scale: usize) -> io::Result<(Vec<Figure>, usize)> {
    let what = (
        "connection whose target takes no body of 1 MiB",
        Some(128.0),
    );
    let figure = measure(
        proxy,
        &proxy.plain,
        Habit::Body,
        scale,
        &mut Vec::new(),
        what,
    )?;
    Ok((vec![figure], 0))
}

/// What one of many costs; all of them stay.
fn measure(
    proxy: &Proxy,
    address: &Address,
    habit: Habit,
    scale: usize,
    all: &mut Vec<Waiting>,
    (name, most): (&str, Option<f64>),
) -> io::Result<Figure> {
    let count = COUNT / scale;
    all.extend(begin(address, habit, FIRST)?);
    let before = memory_of(proxy)?;
    all.extend(begin(address, habit, count)?);
    let memory = memory_of(proxy)? - before;
    all.iter_mut().try_for_each(Waiting::check)?;
    Ok(figure(name, memory / count as f64, most))
}

/// The memory of one, with what it may be in KiB.
pub(crate) fn figure(name: &str, memory: f64, most: Option<f64>) -> Figure {
    Figure {
        name: format!("memory of a {name}, KiB"),
        value: memory / KIB,
        goal: most.map(Goal::Most),
    }
}

fn begin(address: &Address, habit: Habit, count: usize) -> io::Result<Vec<Waiting>> {
    let before = target::long_exchanges();
    let mut all: Vec<Waiting> = (0..count)
        .map(|_| Waiting::begin(address, habit))
        .collect::<io::Result<_>>()?;
    for _ in 0..TURNS {
        all.iter_mut().try_for_each(Waiting::go_on)?;
        sleep(TURN);
    }
    let deadline = Instant::now() + PATIENCE;
    while habit.reaches_the_target() && target::long_exchanges() < before + count {
        all.iter_mut().try_for_each(Waiting::go_on)?;
        sleep(TURN);
        if Instant::now() > deadline {
            let heard = target::long_exchanges() - before;
            return Err(io::Error::other(format!(
                "the target has heard of {heard} of {count}"
            )));
        }
    }
    Ok(all)
}

impl Waiting {
    fn begin(address: &Address, habit: Habit) -> io::Result<Waiting> {
        let socket = TcpStream::from_std(connect(address.at)?);
        Ok(Waiting {
            stream: address.over(socket)?,
            habit,
            sent: 0,
        })
    }

    /// Shakes hands, and says what it says next, as far as anybody takes it.
    fn go_on(&mut self) -> io::Result<()> {
        if !self.stream.reads_all() {
            or_later(self.stream.flush())?;
            self.hear_nothing()?;
        }
        let (words, at_once) = self.habit.says();
        let mut left = at_once.min(words.len() - self.sent);
        while left > 0 && self.stream.is_open() {
            match self.stream.write(&words[self.sent..][..left]) {
                Ok(count) => (self.sent, left) = (self.sent + count, left - count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn hear_nothing(&mut self) -> io::Result<()> {
        let mut words = [0; 256];
        match self.stream.read(&mut words) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
            Ok(count) => {
                let words = String::from_utf8_lossy(&words[..count]);
                Err(io::Error::other(format!(
                    "a client that waits heard:\n{words}"
                )))
            }
        }
    }

    /// Errors: it does not wait any more, or never did.
    fn check(&mut self) -> io::Result<()> {
        let (_, at_once) = self.habit.says();
        if !self.stream.is_open() || (at_once > 0 && self.sent == 0) {
            return Err(io::Error::other("a client that waits has not come so far"));
        }
        match self.habit {
            Habit::Silence | Habit::SlowHead | Habit::Body => self.hear_nothing(),
            Habit::Answer => match self.stream.socket().peek(&mut [0])? {
                0 => Err(io::Error::other("an answer that nobody takes has ended")),
                _ => Ok(()),
            },
        }
    }
}

/// A socket with the segments of an Ethernet, which never waits.
pub(crate) fn connect(at: SocketAddr) -> io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
    socket.set_tcp_mss(SEGMENT)?;
    socket.connect(&at.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
