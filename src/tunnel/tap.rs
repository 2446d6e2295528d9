//! The tap: a client's stream as Pingora sees it.
//!
//! It cuts the stream as HTTP does. A head ends with its empty line, and what the client sent beyond it stays here: the
//! rest of a body, the next request, or, after a handshake, the first bytes of the tunnel, which Pingora never sees. When the 101
//! has gone out the tap hands its socket over to the relay, and answers Pingora with the end of the stream.
//!
//! It also keeps a total clock for a head and for the wait between requests, where Pingora's is per read and silent.

mod stream;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, BufWriter, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::body::{CHUNK_OVERHEAD, Chunk, LONGEST_CHUNK};
use super::chunks::Chunks;
use super::heads::{Answer, HeadEnd};
use super::relay::End;
use super::request_head::{RequestHead, answer};
use super::{ClientEnd, ClientStream, Demand, Framing, Pace, Phase, Wire};
use crate::config::file::Bounds;

/// Lets a head and a short body leave together. Whoever waits for the client sends it first: Pingora does not, within a body
/// of a known length.
const WRITE_BUFFER: usize = 1460;
/// How long a connection that has not said anything yet may stay once a drain has begun.
pub const LAST_CHANCE: Duration = Duration::from_secs(1);
/// How much is read at a time of a head.
const PIECE: usize = 2048;
/// How often it is looked whether a client is still there that nothing is read from.
const LOOK: Duration = Duration::from_millis(500);
/// How much of a body may be on its way to a target that does not take it, in bytes.
const WINDOW: usize = 16 << 10;
/// How long a client that was refused may go on sending: closing on it would take its answer from it (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(1);

/// A client's stream, tapped.
#[derive(Debug)]
pub struct Tap {
    /// `None` once it was handed over.
    stream: Option<BufWriter<ClientStream>>,
    wire: Arc<Wire>,
    draining: CancellationToken,
    head: HeadEnd,
    request_head: RequestHead,
    /// How much of what was read belongs to a head that has come.
    head_left: usize,
    bounds: Bounds,
    /// What the client sends is of no interest any more.
    is_refused: bool,
    /// What was written in answer to a handshake, with the number of its exchange.
    answer: Option<(u64, Answer)>,
    /// The 101 was written, and has to be flushed.
    is_101_written: bool,
    /// Read, but not to be shown to Pingora yet.
    early: Vec<u8>,
    /// Made when there is something to wait for.
    clock: Option<Clock>,
    leaves: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// The body of the exchange with this number, if it is chunked.
    chunks: (u64, Chunks),
    /// When it is looked next whether the client is still there.
    look: Option<Pin<Box<Sleep>>>,
    /// How fast the client sends its body, and takes what is written to it.
    read_pace: Pace,
    write_pace: Pace,
}

/// The clock of one phase of one request.
#[derive(Debug)]
struct Clock {
    phase: Phase,
    exchange: u64,
    sleep: Pin<Box<Sleep>>,
}

impl Tap {
    /// Taps a stream of which these bytes have been read already. A head has the limit that the wire tells from its first byte,
    /// and the wait for that byte as long; it may be as large as `bounds` say. When `draining` is cancelled, a connection that
    /// waits between two requests ends.
    pub fn after(
        early: Vec<u8>,
        stream: ClientStream,
        wire: Arc<Wire>,
        draining: CancellationToken,
        bounds: Bounds,
    ) -> Self {
        Tap {
            stream: Some(BufWriter::with_capacity(WRITE_BUFFER, stream)),
            wire,
            draining,
            head: HeadEnd::default(),
            request_head: RequestHead::default(),
            head_left: 0,
            bounds,
            is_refused: false,
            answer: None,
            is_101_written: false,
            early,
            clock: None,
            leaves: None,
            chunks: (0, Chunks::default()),
            look: None,
            read_pace: Pace::default(),
            write_pace: Pace::default(),
        }
    }

    /// Reads what is there already, or from the socket, at most so much. Nothing read is the end.
    fn poll_stream(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        if !self.early.is_empty() {
            let count = self.early.len().min(most).min(buf.remaining());
            let rest = self.early.split_off(count);
            buf.put_slice(&std::mem::replace(&mut self.early, rest));
            return Poll::Ready(Ok(count));
        }
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(0));
        };
        let before = buf.filled().len();
        let mut limited = stream.take(most as u64);
        let result = ready!(Pin::new(&mut limited).poll_read(cx, buf));
        let count = buf.filled().len() - before;
        match &result {
            Ok(()) if count == 0 => self.wire.ended(ClientEnd::Closed),
            Ok(()) => {}
            Err(_) => self.wire.ended(ClientEnd::Broken),
        }
        Poll::Ready(result.map(|()| count))
    }

    /// Waits for a whole head; whether one has come. A client whose head must not go on has been told.
    pub async fn has_head(&mut self) -> bool {
        (self.head, self.request_head) = (HeadEnd::default(), RequestHead::default());
        let has_come = poll_fn(|cx| self.poll_whole_head(cx)).await;
        if self.is_refused {
            poll_fn(|cx| self.poll_linger(cx)).await;
        }
        has_come
    }

    fn poll_whole_head(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut fresh = self.early.len();
        loop {
            if let Some(has_come) = self.look_for_head(cx, fresh) {
                return Poll::Ready(has_come);
            }
            let is_silent = self.early.is_empty();
            fresh = match self.poll_more(cx) {
                Poll::Ready(0) => {
                    self.wire.count_read(self.early.len());
                    return Poll::Ready(false);
                }
                Poll::Ready(count) => count,
                Poll::Pending => return self.poll_late_head(cx, is_silent).map(|()| false),
            };
            if is_silent {
                (self.clock, self.leaves) = (None, None);
            }
        }
    }

    /// Looks at the bytes that have come last; tells whether a head has come, as soon as that is certain.
    fn look_for_head(&mut self, cx: &mut Context<'_>, fresh: usize) -> Option<bool> {
        let start = self.early.len() - fresh;
        let end = self.head.find(&self.early[start..]);
        let shown = end.map_or(self.early.len(), |end| start + end);
        let read = &self.early[start..shown];
        if let Some(fault) = self.request_head.take(read, end.is_some(), self.bounds) {
            self.wire.count_read(shown);
            self.refuse_head(cx, fault);
            return Some(false);
        }
        self.head_left = shown;
        end.map(|_| true)
    }

    /// Reads what there is, and keeps it; nothing is the end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(0);
        };
        let mut piece = [0; PIECE];
        let mut buf = ReadBuf::new(&mut piece);
        let read = ready!(Pin::new(stream).poll_read(cx, &mut buf));
        if buf.filled().is_empty() {
            self.wire.ended(match read {
                Ok(()) => ClientEnd::Closed,
                Err(_) => ClientEnd::Broken,
            });
        }
        self.early.extend_from_slice(buf.filled());
        Poll::Ready(buf.filled().len())
    }

    /// Ready when nothing more is waited for, and the client has been told, if it has begun.
    fn poll_late_head(&mut self, cx: &mut Context<'_>, is_silent: bool) -> Poll<()> {
        let mut limit = self.wire.client_limit();
        if is_silent && self.poll_leaving(cx).is_ready() {
            if self.wire.exchanges() > 0 {
                return Poll::Ready(());
            }
            limit = limit.min(LAST_CHANCE);
        }
        ready!(self.poll_clock(cx, limit));
        self.wire.count_read(self.early.len());
        self.refuse_head(cx, ClientEnd::HeadExpired);
        Poll::Ready(())
    }

    /// Shows the head that has come, and nothing of what comes after it.
    fn poll_head(&mut self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let shown = self.head_left.min(buf.remaining());
        buf.put_slice(&self.early[..shown]);
        self.early.drain(..shown);
        self.head_left -= shown;
        self.wire.count_read(shown);
        Poll::Ready(Ok(()))
    }

    /// Reads what the client still sends, for a while.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ignored = [0; 4096];
        while self.poll_clock(cx, LINGER).is_pending() {
            let Some(stream) = &mut self.stream else {
                break;
            };
            let mut buf = ReadBuf::new(&mut ignored);
            let read = ready!(Pin::new(stream).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(())
    }

    fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(result) = self.poll_body(cx, buf) {
            return Poll::Ready(result);
        }
        match Pin::new(self).poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Shows a part of the body, as much as there is room for on the way to the target.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = self.wire.body_left();
        if left == Framing::Length(0) {
            return self.poll_end(cx);
        }
        if left == Framing::UntilClose {
            let count = ready!(self.poll_stream(cx, buf, usize::MAX))?;
            self.wire.count_read(count);
            return Poll::Ready(Ok(()));
        }
        let Poll::Ready(room) = self.wire.upload.poll_room(cx, WINDOW) else {
            return self.poll_gone(cx, left).map(Err);
        };
        self.look = None;
        let read = match left {
            Framing::Length(left) => {
                let most = usize::try_from(left).map_or(room, |left| left.min(room));
                self.poll_stream(cx, buf, most)
            }
            Framing::Chunked | Framing::UntilClose => self.poll_chunks(cx, buf, room),
        };
        if read.is_pending() {
            ready!(self.read_pace.poll_late(cx, self.demand()));
            self.wire.ended(ClientEnd::BodyLate);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let payload = ready!(read)?;
        self.read_pace.moved(payload);
        self.wire.count_read(payload);
        self.wire.upload.give(payload);
        self.wire.body_read(payload);
        Poll::Ready(Ok(()))
    }

    /// Shows a part of a chunked body, in a chunk of ours.
    fn poll_chunks(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        let fits = buf.remaining().saturating_sub(CHUNK_OVERHEAD);
        let most = room.min(fits).min(LONGEST_CHUNK);
        if most == 0 {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        if self.chunks.0 != self.wire.exchanges() {
            self.chunks = (self.wire.exchanges(), Chunks::default());
        }
        let before = buf.filled().len();
        loop {
            let chunk = Chunk::begin(buf);
            let read = self.poll_stream(cx, buf, most);
            if !matches!(read, Poll::Ready(Ok(1..))) {
                chunk.give_up(buf);
                return read;
            }
            let chunk = chunk.end(&mut self.chunks.1, buf);
            let (payload, beyond) = chunk.inspect_err(|_| {
                self.wire.ended(ClientEnd::BodyMalformed);
            })?;
            if !beyond.is_empty() {
                self.early = [&*beyond, &self.early].concat();
            }
            if self.chunks.1.is_over() {
                self.wire.expect_body(Framing::Length(0));
            }
            if buf.filled().len() > before {
                return Poll::Ready(Ok(payload));
            }
        }
    }

    /// While nothing is read, looks now and then whether the client has gone in the middle of its request. One that has sent all of
    /// it may have ended its side.
    fn poll_gone(&mut self, cx: &mut Context<'_>, left: Framing) -> Poll<io::Error> {
        loop {
            let look = self.look.get_or_insert_with(|| Box::pin(sleep(LOOK)));
            ready!(look.as_mut().poll(cx));
            self.look = None;
            let socket = self
                .stream
                .as_ref()
                .and_then(|stream| stream.get_ref().socket());
            let end = socket.map_or(ClientEnd::Open, |socket| end_of(socket, left));
            if end != ClientEnd::Open {
                self.wire.ended(end);
                return Poll::Ready(io::ErrorKind::ConnectionReset.into());
            }
        }
    }

    fn demand(&self) -> Demand {
        Demand {
            limit: self.wire.client_limit(),
            rate: self.bounds.minimum_rate,
        }
    }

    /// Watches for the client's end where nothing is expected from it. What it sends belongs to the next request.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            return Poll::Pending;
        }
        let mut early = [0; 512];
        let mut buf = ReadBuf::new(&mut early);
        match ready!(self.poll_stream(cx, &mut buf, usize::MAX))? {
            0 => Poll::Ready(Ok(())),
            _ => {
                self.early = buf.filled().to_vec();
                Poll::Pending
            }
        }
    }

    fn poll_withheld(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_clock(cx, self.wire.handshake_left()));
        self.wire.ended(ClientEnd::HandshakeExpired);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// After the 101 Pingora reads nothing but the end, once the socket is gone. Until it is, the clock runs.
    fn poll_tunnel(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.stream {
            Some(_) => self.poll_withheld(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Ready once the phase has lasted for `limit`, as far as the tap was asked; never later than `limit` from now.
    fn poll_clock(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let (phase, exchange) = (self.wire.phase(), self.wire.exchanges());
        let is_present = |clock: &Clock| (clock.phase, clock.exchange) == (phase, exchange);
        let begin = || Clock {
            phase,
            exchange,
            sleep: Box::pin(sleep(limit)),
        };
        let clock = self.clock.take().filter(is_present).unwrap_or_else(begin);
        let clock = self.clock.insert(clock).sleep.as_mut();
        poll_within(clock, limit, cx)
    }

    /// Ends a write that waits for the client for longer than it may. Pingora has such a clock for bodies only.
    fn bound<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: Poll<io::Result<T>>,
        count: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        self.wire.download.stick(write.is_pending());
        if let Poll::Ready(write) = write {
            self.write_pace.moved(write.as_ref().map_or(0, count));
            return Poll::Ready(write);
        }
        // What carries streams may carry tunnels; each of the others has a clock of its own.
        if self.wire.body_left() == Framing::UntilClose {
            return Poll::Pending;
        }
        ready!(self.write_pace.poll_late(cx, self.demand()));
        self.wire.ended(ClientEnd::AnswerLate);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_leaving(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.draining.is_cancelled() {
            return Poll::Ready(());
        }
        let leaves = || Box::pin(self.draining.clone().cancelled_owned());
        self.leaves.get_or_insert_with(leaves).as_mut().poll(cx)
    }

    /// Tells a client that has begun a head; one that has said nothing is left without a word.
    fn refuse_head(&mut self, cx: &mut Context<'_>, end: ClientEnd) {
        self.wire.ended(end);
        self.is_refused = true;
        let Some(stream) = self.stream.as_mut().filter(|_| self.wire.head_read() > 0) else {
            return;
        };
        let stream = stream.get_mut();
        let answer = answer(end);
        if let Poll::Ready(Ok(count)) = Pin::new(&mut *stream).poll_write(cx, answer) {
            self.wire.count_written(&answer[..count]);
        }
        if Pin::new(stream).poll_shutdown(cx).is_pending() {
            log::trace!("the end of a refused connection has yet to leave");
        }
    }

    /// Looks for the end of the 101: Pingora may write it together with the 1xx before it.
    fn note_answer(&mut self, bytes: &[u8]) {
        if !matches!(self.wire.phase(), Phase::Handshake | Phase::Tunnel) {
            return;
        }
        let present = self.wire.exchanges();
        let answer = self
            .answer
            .take()
            .filter(|(exchange, _)| *exchange == present);
        let (_, answer) = self
            .answer
            .insert(answer.unwrap_or_else(|| (present, Answer::default())));
        self.is_101_written |= answer.end_of_101(bytes).is_some();
    }

    /// The 101 has left: from here on the sockets are the relay's. The task is woken, for Pingora waits for bytes that will
    /// not come.
    fn hand_over(&mut self, cx: &mut Context<'_>) {
        let Some((opening, target)) = self.wire.meet() else {
            return;
        };
        let Some(stream) = self.stream.take() else {
            return;
        };
        let early = std::mem::take(&mut self.early);
        opening.open(
            End {
                stream: stream.into_inner(),
                early,
            },
            target,
        );
        cx.waker().wake_by_ref();
    }
}

/// How the client's side has ended, as the system knows: of what it has sent, less is waiting than its request still lacks.
fn end_of(socket: &TcpStream, left: Framing) -> ClientEnd {
    let mut events = [PollFd::new(socket, PollFlags::RDHUP)];
    if !matches!(poll(&mut events, Some(&Timespec::default())), Ok(1..)) {
        return ClientEnd::Open;
    }
    let found = events[0].revents();
    if found.intersects(PollFlags::ERR | PollFlags::HUP) {
        return ClientEnd::Broken;
    }
    let waiting = rustix::io::ioctl_fionread(socket).unwrap_or(u64::MAX);
    let is_whole = match left {
        Framing::Length(left) => waiting >= left,
        Framing::Chunked | Framing::UntilClose => waiting > 0,
    };
    match found.contains(PollFlags::RDHUP) && !is_whole {
        true => ClientEnd::Closed,
        false => ClientEnd::Open,
    }
}

/// Polls a clock that is never further away than `limit`.
fn poll_within(mut clock: Pin<&mut Sleep>, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
    let latest = Instant::now() + limit;
    if clock.deadline() > latest {
        clock.as_mut().reset(latest);
    }
    clock.poll(cx)
}

impl AsyncRead for Tap {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match tap.wire.phase() {
            Phase::Head => tap.poll_head(buf),
            Phase::Exchange => tap.poll_exchange(cx, buf),
            Phase::Handshake => tap.poll_withheld(cx),
            Phase::Tunnel => tap.poll_tunnel(cx),
        }
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tap = self.get_mut();
        let Some(stream) = &mut tap.stream else {
            return Poll::Ready(Ok(bytes.len()));
        };
        let written = Pin::new(stream).poll_write(cx, bytes);
        let written = ready!(tap.bound(cx, written, |count| *count));
        match &written {
            Ok(count) => {
                tap.wire.count_written(&bytes[..*count]);
                tap.note_answer(&bytes[..*count]);
            }
            Err(_) => tap.wire.ended(ClientEnd::Broken),
        }
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        let Some(stream) = &mut tap.stream else {
            return Poll::Ready(Ok(()));
        };
        let flushed = Pin::new(stream).poll_flush(cx);
        let flushed = ready!(tap.bound(cx, flushed, |()| 0));
        match flushed {
            Ok(()) if tap.is_101_written => tap.hand_over(cx),
            Ok(()) => {}
            Err(_) => tap.wire.ended(ClientEnd::Broken),
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        let Some(stream) = &mut tap.stream else {
            return Poll::Ready(Ok(()));
        };
        let shut_down = Pin::new(stream).poll_shutdown(cx);
        tap.bound(cx, shut_down, |()| 0)
    }
}
