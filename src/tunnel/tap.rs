//! The tap: a client's stream as Pingora sees it.
//!
//! It adds three things. A total clock for a request's head and for the wait between requests, where Pingora's is per read
//! and silent. A stop: from a handshake's head until its answer the client's bytes stay in the socket, for Pingora takes what
//! comes too early for a second request. And the notes in the [`Wire`].

use std::io;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufWriter, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{ClientEnd, Phase, Wire};

/// Lets a head and a short body leave together; Pingora flushes where somebody waits.
const WRITE_BUFFER: usize = 1460;
/// How long a connection that has not said anything yet may stay once a drain has begun.
const LAST_CHANCE: Duration = Duration::from_secs(1);
const HEAD_EXPIRED: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// A client's stream, tapped.
#[derive(Debug)]
pub struct Tap {
    stream: BufWriter<TcpStream>,
    wire: Arc<Wire>,
    head_limit: Duration,
    drain: CancellationToken,
    /// The clock of a phase, made when there is something to wait for.
    clock: Option<(Phase, Pin<Box<Sleep>>)>,
    drain_begins: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Tap {
    /// Taps a stream. A head has `head_limit` from its first byte, and the wait for that byte as long; when `drain` is
    /// cancelled, a connection that waits between two requests ends.
    pub fn new(
        stream: TcpStream,
        wire: Arc<Wire>,
        head_limit: Duration,
        drain: CancellationToken,
    ) -> Self {
        let stream = BufWriter::with_capacity(WRITE_BUFFER, stream);
        Tap {
            stream,
            wire,
            head_limit,
            drain,
            clock: None,
            drain_begins: None,
        }
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        let count = buf.filled().len() - before;
        self.wire.count_read(count);
        match &result {
            Ok(()) if count == 0 && room > 0 => self.wire.ended(ClientEnd::Closed),
            Ok(()) => {}
            Err(_) => self.wire.ended(ClientEnd::Broken),
        }
        Poll::Ready(result)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let is_silent = self.wire.head_read() == 0;
        if let Poll::Ready(result) = self.poll_stream(cx, buf) {
            if is_silent {
                (self.clock, self.drain_begins) = (None, None);
            }
            return Poll::Ready(result);
        }
        let mut limit = self.head_limit;
        if is_silent && self.poll_drain(cx).is_ready() {
            if self.wire.exchanges() > 0 {
                return Poll::Ready(Ok(()));
            }
            limit = limit.min(LAST_CHANCE);
        }
        ready!(self.poll_clock(cx, Phase::Head, limit));
        self.expire_head();
        Poll::Ready(Ok(()))
    }

    fn poll_withheld(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_clock(cx, Phase::Handshake, self.wire.handshake_limit()));
        self.wire.ended(ClientEnd::HandshakeExpired);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ready once the phase has lasted for `limit`, as far as the tap was asked; never later than `limit` from now.
    fn poll_clock(&mut self, cx: &mut Context<'_>, phase: Phase, limit: Duration) -> Poll<()> {
        let clock = self.clock.take().filter(|(began, _)| *began == phase);
        let (_, clock) = self
            .clock
            .insert(clock.unwrap_or_else(|| (phase, Box::pin(sleep(limit)))));
        let latest = Instant::now() + limit;
        if clock.deadline() > latest {
            clock.as_mut().reset(latest);
        }
        clock.as_mut().poll(cx)
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.drain.is_cancelled() {
            return Poll::Ready(());
        }
        let begins = || Box::pin(self.drain.clone().cancelled_owned());
        self.drain_begins
            .get_or_insert_with(begins)
            .as_mut()
            .poll(cx)
    }

    /// Tells a client that has begun a head; one that has said nothing is left without a word.
    fn expire_head(&mut self) {
        self.wire.ended(ClientEnd::HeadExpired);
        if self.wire.head_read() == 0 {
            return;
        }
        if let Ok(count) = self.stream.get_mut().try_write(HEAD_EXPIRED) {
            self.wire.count_written(&HEAD_EXPIRED[..count]);
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        match tap.wire.phase() {
            Phase::Head => tap.poll_head(cx, buf),
            Phase::Handshake => tap.poll_withheld(cx),
            Phase::Exchange | Phase::Tunnel => tap.poll_stream(cx, buf),
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
        let written = ready!(Pin::new(&mut tap.stream).poll_write(cx, bytes));
        match &written {
            Ok(count) => tap.wire.count_written(&bytes[..*count]),
            Err(_) => tap.wire.ended(ClientEnd::Broken),
        }
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        let flushed = ready!(Pin::new(&mut tap.stream).poll_flush(cx));
        if flushed.is_err() {
            tap.wire.ended(ClientEnd::Broken);
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Tap {
    async fn shutdown(&mut self) {
        if let Err(error) = self.stream.shutdown().await {
            log::debug!("shutdown of a client's connection: {error}");
        }
    }
}

impl UniqueID for Tap {
    fn id(&self) -> UniqueIDType {
        self.stream.get_ref().as_raw_fd()
    }
}

impl GetTimingDigest for Tap {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Tap {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Tap {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl Ssl for Tap {}

impl Peek for Tap {}
