//! The tap: a client's stream as Pingora sees it.
//!
//! It cuts the stream as HTTP does. A head ends with its empty line, and what the client sent
//! beyond it stays here: the rest of a body, the next request, or, after a handshake, the first
//! bytes of the tunnel, which Pingora never sees. When the 101 has gone out the tap hands its
//! socket over to the relay, and answers Pingora with the end of the stream.
//!
//! It also keeps a total clock for a head and for the wait between requests, where Pingora's is per
//! read and silent.

mod chunked_answer;
mod download;
mod half_close;
mod head;
mod stream;
mod upload;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use self::chunked_answer::ChunkedAnswer;
use crate::config::model::Bounds;
use crate::stream::{ClientEnd, ClientStream, End, Framing, HeadEnd, Phase, Wire};
use crate::tap::chunks::Chunks;
use crate::tap::early;
use crate::tap::hand_over::HandOver;
use crate::tap::heads::Answer;
use crate::tap::pace::{Demand, Pace};
use crate::tap::request_head::RequestHead;

/// Lets a head and a short body leave together. Whoever waits for the client sends it first:
/// Pingora does not, within a body of a known length.
const WRITE_BUFFER: usize = 1460;
/// How long a connection that has not said anything yet may stay once a drain has begun.
pub const LAST_CHANCE: Duration = Duration::from_secs(1);

/// A client's stream, tapped.
#[derive(Debug)]
pub struct Tap {
    /// `None` once it was handed over.
    stream: Option<BufWriter<ClientStream>>,
    wire: Arc<Wire>,
    hand_over: Arc<HandOver>,
    draining: CancellationToken,
    head: HeadEnd,
    request_head: RequestHead,
    /// How much of what was read has been looked at: it belongs to the head.
    head_left: usize,
    bounds: Bounds,
    /// The request that was shown is a HEAD.
    is_of_head: bool,
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
    /// Its trailers, as far as they have come.
    trailers: Vec<u8>,
    chunked_answer: ChunkedAnswer,
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
    /// Taps a stream of which these bytes have been read already. A head has the limit that the
    /// wire tells from its first byte, and the wait for that byte as long; it may be as large as
    /// `bounds` say. When `draining` is cancelled, a connection that waits between two requests
    /// ends.
    pub fn after(
        early: Vec<u8>,
        stream: ClientStream,
        wire: Arc<Wire>,
        hand_over: Arc<HandOver>,
        draining: CancellationToken,
        bounds: Bounds,
    ) -> Self {
        Tap {
            stream: Some(BufWriter::with_capacity(WRITE_BUFFER, stream)),
            wire,
            hand_over,
            draining,
            head: HeadEnd::default(),
            request_head: RequestHead::default(),
            head_left: 0,
            bounds,
            is_of_head: false,
            is_refused: false,
            answer: None,
            is_101_written: false,
            early,
            clock: None,
            leaves: None,
            chunks: (0, Chunks::default()),
            trailers: Vec::new(),
            chunked_answer: ChunkedAnswer::default(),
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
        if let Some(count) = early::show(&mut self.early, buf, most) {
            return Poll::Ready(Ok(count));
        }
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(0));
        };
        let most = match most {
            usize::MAX => most,
            _ => stream.get_mut().part(most),
        };
        let read = ready!(early::poll_read(stream, cx, buf, most));
        match &read {
            Ok(0) => self.wire.ended(ClientEnd::Closed),
            Ok(_) => {}
            Err(_) => self.wire.ended(ClientEnd::Broken),
        }
        Poll::Ready(read)
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

    fn demand(&self) -> Demand {
        Demand {
            limit: self.wire.client_limit(),
            rate: self.bounds.minimum_rate,
        }
    }

    /// Watches the client where nothing is expected from it. What it sends belongs to the next
    /// request.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_early(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => self.poll_half_closed(cx),
        }
    }

    /// Reads nothing, but notices that the client is gone.
    fn poll_withheld(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_gone(cx, Framing::Length(0)) {
            return Poll::Ready(Err(error));
        }
        ready!(self.poll_clock(cx, self.wire.handshake_left()));
        self.wire.ended(ClientEnd::HandshakeExpired);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// After the 101 Pingora reads nothing but the end, once the socket is gone. Until it is, the
    /// clock runs.
    fn poll_tunnel(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.stream {
            Some(_) => self.poll_withheld(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Ready once the phase has lasted for `limit`, as far as the tap was asked; never later than
    /// `limit` from now.
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

    /// Ends a write that waits for the client for longer than it may. Pingora has such a clock for
    /// bodies only.
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

    /// The 101 has left: from here on the sockets are the relay's. The task is woken, for Pingora
    /// waits for bytes that will not come.
    fn hand_over(&mut self, cx: &mut Context<'_>) {
        let Some((opening, target)) = self.hand_over.meet() else {
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
        if tap.wire.phase() == Phase::Head {
            return tap.poll_answer_head(cx, bytes);
        }
        if tap.wire.requires_upgrade() {
            return tap.poll_upgrade_required(cx, bytes);
        }
        match tap.wire.answers_in_chunks() {
            true => tap.poll_answer(cx, bytes),
            false => tap.poll_out(cx, bytes),
        }
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

impl Drop for Tap {
    /// What a reset connection has yet to send is of no use, and would stay with the system for as
    /// long as its client does not take it.
    fn drop(&mut self) {
        let stream = self.stream.as_ref().filter(|_| self.wire.is_being_reset());
        let socket = stream.and_then(|stream| stream.get_ref().socket());
        if let Some(Err(error)) = socket.map(TcpStream::set_zero_linger) {
            log::debug!("a reset of a client's connection: {error}");
        }
    }
}
