//! The target's tap: a target's connection of HTTP/1.1 as Pingora sees it, for one request and its
//! answer.
//!
//! What leaves is a whole request and not a byte more. What comes is cut into heads and a body,
//! chunked ones in chunks of ours, and of the body only as much as the client takes; what follows a
//! 101 is not shown. Pingora is told that each connection is new and ends with its answer: when it
//! lets one go whose request and answer are over, the socket goes to the [`Pool`], and else it is
//! closed.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::body::{Body, invalid, poll_chunk};
use super::chunks::Chunks;
use super::clocks::{Alarm, Clocks};
use super::early;
use super::hand_over::HandOver;
use super::heads::Answer;
use super::purpose::Purpose;
use super::silence::Silence;
use super::target_request::Request;
use super::trailers;
use crate::stream::{End, HeadEnd, TargetStream, Wire};
use crate::target_connection::Pool;

use crate::os::keepalive::unless_unix;

/// What else is gathered with the payload of a chunk.
const ROOM: usize = 16;
/// The pieces of a chunk leave together, up to this size.
const TOGETHER: usize = 64 << 10;

/// A target's connection, tapped.
pub(super) struct TargetTap {
    /// `None` once it has gone to the wire, or to the pool.
    stream: Option<TargetStream>,
    pool: Option<(Arc<Pool>, u64)>,
    request: Request,
    answer: Progress,
    /// Written by Pingora, and on its way; so much of it is payload.
    unsent: BytesMut,
    unsent_payload: usize,
    /// Read, but not to be shown to Pingora yet.
    early: Vec<u8>,
    /// The answer's trailers, as far as they have come.
    trailers: Vec<u8>,
    purpose: Purpose,
    silence: Silence,
    alarm: Option<Alarm>,
    wire: Arc<Wire>,
    hand_over: Arc<HandOver>,
}

/// How far its answer has come.
#[derive(Debug)]
enum Progress {
    Heads(Answer),
    /// The last head was shown; what follows depends on it.
    Told,
    Body(Body),
}

impl TargetTap {
    /// A connection that has nothing under way. It may go to the pool afterwards, under this key.
    pub(super) fn new(
        stream: TargetStream,
        pool: Option<(Arc<Pool>, u64)>,
        purpose: Purpose,
        clocks: Clocks,
        wire: Arc<Wire>,
        hand_over: Arc<HandOver>,
    ) -> Self {
        TargetTap {
            stream: Some(stream),
            pool,
            request: Request::Head(HeadEnd::default()),
            answer: Progress::Heads(Answer::default()),
            unsent: BytesMut::new(),
            unsent_payload: 0,
            early: Vec::new(),
            trailers: Vec::new(),
            purpose,
            silence: Silence::new(clocks.silence),
            alarm: clocks.deadline.map(Alarm::of),
            wire,
            hand_over,
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
        let most = stream.part(most);
        if let Poll::Ready(read) = early::poll_read(stream, cx, buf, most) {
            self.silence.end();
            return Poll::Ready(read);
        }
        self.silence.poll_late(cx).map(Err)
    }

    /// Shows heads, and nothing of what comes after the last.
    fn poll_heads(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.poll_stream(cx, buf, usize::MAX))?;
        let Progress::Heads(answer) = &mut self.answer else {
            return Poll::Ready(Ok(()));
        };
        if let Some(count) = answer.end_of_last(&buf.filled()[before..]) {
            early::put_back(&mut self.early, &buf.filled()[before + count..]);
            buf.set_filled(before + count);
            self.end_heads();
        }
        Poll::Ready(Ok(()))
    }

    /// The last head was shown. After a 101 to a handshake nothing more is.
    fn end_heads(&mut self) {
        let is_101 = matches!(&self.answer, Progress::Heads(answer) if answer.is_101());
        self.answer = Progress::Told;
        if is_101
            && self.purpose == Purpose::Handshake
            && let Some(stream) = self.stream.take()
        {
            let early = std::mem::take(&mut self.early);
            self.hand_over.bring_target(End { stream, early });
        }
    }

    /// Shows a part of the body, as much as there is room for. Beyond the body there is nothing.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if matches!(self.answer, Progress::Told) {
            let framing = ready!(self.wire.poll_answer_framing(cx));
            self.answer = Progress::Body(framing.into());
        }
        let Progress::Body(body) = self.answer else {
            return Poll::Ready(Ok(()));
        };
        if body.is_over() {
            return Poll::Ready(Ok(()));
        }
        if self.wire.download.poll_room(cx).is_pending() {
            // It is the client that is slow.
            self.silence.end();
            return Poll::Pending;
        }
        let room = self.purpose.window();
        let shown = match body {
            Body::Chunked(chunks) => ready!(self.poll_chunks(cx, buf, chunks, room))?,
            body => ready!(self.poll_plain(cx, buf, body, room))?,
        };
        self.wire.download.give(shown);
        Poll::Ready(Ok(()))
    }

    fn poll_plain(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        mut body: Body,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        let most = match body {
            Body::Length(left) => usize::try_from(left).map_or(room, |left| left.min(room)),
            Body::Chunked(_) | Body::UntilClose => room,
        };
        let before = buf.filled().len();
        let count = ready!(self.poll_stream(cx, buf, most))?;
        body.count(&buf.filled()[before..]).map_err(invalid)?;
        self.answer = Progress::Body(body);
        Poll::Ready(Ok(count))
    }

    fn poll_chunks(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        mut chunks: Chunks,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        let mut trailers = std::mem::take(&mut self.trailers);
        let read = |buf: &mut ReadBuf<'_>, most| self.poll_stream(cx, buf, most);
        let shown = poll_chunk(&mut chunks, &mut trailers, buf, room, read);
        self.trailers = trailers;
        self.answer = Progress::Body(Body::Chunked(chunks));
        let (payload, beyond) = ready!(shown)?;
        early::put_back(&mut self.early, &beyond);
        if chunks.is_over() && !self.trailers.is_empty() {
            let trailers = trailers::parse(&self.trailers).map_err(invalid)?;
            self.wire.bring_trailers(trailers);
        }
        Poll::Ready(Ok(payload))
    }

    /// Whether what is written next is a piece of a chunk, and may wait for the others.
    fn is_gathering(&self, bytes: &[u8]) -> bool {
        let is_chunked = matches!(self.request, Request::Body(Body::Chunked(_)));
        is_chunked && self.unsent.len() + bytes.len() <= TOGETHER
    }

    fn gather(&mut self, piece: &[u8], payload: usize) {
        if self.unsent.capacity() - self.unsent.len() < piece.len() {
            self.unsent.reserve(piece.len() + ROOM);
        }
        self.unsent.extend_from_slice(piece);
        self.unsent_payload += payload;
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(()));
        };
        while !self.unsent.is_empty() {
            ready!(stream.poll_drained(cx))?;
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, &self.unsent))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(count);
        }
        self.unsent = BytesMut::new();
        self.wire
            .upload
            .take(std::mem::take(&mut self.unsent_payload));
        Poll::Ready(Ok(()))
    }

    /// Whether another request may follow.
    fn is_clean(&self) -> bool {
        let is_over = match self.answer {
            Progress::Heads(_) => false,
            Progress::Told => {
                let framing = self.wire.answer_framing();
                framing.is_some_and(|framing| Body::from(framing).is_over())
            }
            Progress::Body(body) => body.is_over(),
        };
        let is_sent = matches!(self.request, Request::Body(body) if body.is_over());
        let keeps = self.wire.keeps_target();
        is_over && is_sent && keeps && self.early.is_empty() && self.unsent.is_empty()
    }
}

impl Drop for TargetTap {
    fn drop(&mut self) {
        if !self.is_clean() {
            return;
        }
        if let (Some((pool, key)), Some(stream)) = (self.pool.take(), self.stream.take()) {
            pool.put(key, stream);
        }
    }
}

impl fmt::Debug for TargetTap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetTap")
            .field("request", &self.request)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for TargetTap {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        if tap.stream.is_none() {
            return match tap.hand_over.is_done() {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            };
        }
        if let Some(alarm) = &mut tap.alarm {
            alarm.check(cx)?;
        }
        match tap.answer {
            Progress::Heads(_) => tap.poll_heads(cx, buf),
            Progress::Told | Progress::Body(_) => tap.poll_body(cx, buf),
        }
    }
}

impl AsyncWrite for TargetTap {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tap = self.get_mut();
        if tap.stream.is_none() {
            return Poll::Ready(Ok(bytes.len()));
        }
        if let Some(alarm) = &mut tap.alarm {
            alarm.check(cx)?;
        }
        let mut after = tap.request;
        let mut payload = after.follow(bytes, &tap.wire)?;
        let mut count = bytes.len();
        let last = after.last_chunk(bytes, &tap.wire);
        let piece = last.as_deref().unwrap_or(bytes);
        let may_wait = tap.is_gathering(piece);
        if !may_wait {
            ready!(tap.poll_unsent(cx))?;
        }
        if may_wait || last.is_some() {
            tap.gather(piece, std::mem::take(&mut payload));
        } else {
            let Some(stream) = &mut tap.stream else {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            };
            ready!(stream.poll_drained(cx))?;
            count = ready!(Pin::new(stream).poll_write(cx, bytes))?;
            if count < bytes.len() {
                after = tap.request;
                payload = after.follow(&bytes[..count], &tap.wire)?;
            }
        }
        tap.request = after;
        // It may wait for just this.
        tap.silence.end();
        tap.wire.upload.take(payload);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        ready!(tap.poll_unsent(cx))?;
        match &mut tap.stream {
            Some(stream) => Pin::new(stream).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Pingora ends each connection after its answer. One that may go on is only let go.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        if tap.is_clean() && tap.pool.is_some() {
            return Poll::Ready(Ok(()));
        }
        match &mut tap.stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl VirtualSocket for TargetTap {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match (option, &self.stream) {
            (VirtualSockOpt::NoDelay, Some(stream)) => {
                let set = stream.socket().map(|socket| socket.set_nodelay(true));
                unless_unix(set.unwrap_or(Ok(())))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::stream::Framing;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

    /// A tap for a request that is framed so, its target's end, and where its connection goes.
    async fn tap(wire: &Arc<Wire>) -> (TargetTap, TcpStream, Arc<Pool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let (stream, target) = tokio::join!(stream, listener.accept());
        let pool = Arc::new(Pool::holding(8));
        let stream = TargetStream::Plain(stream.unwrap());
        let kept = Some((Arc::clone(&pool), 1));
        let (wire, hand_over) = (Arc::clone(wire), Arc::default());
        let clocks = Clocks {
            silence: std::time::Duration::from_secs(60),
            deadline: None,
        };
        let tap = TargetTap::new(stream, kept, Purpose::Request, clocks, wire, hand_over);
        (tap, target.unwrap().0, pool)
    }

    /// Sends these pieces, whose request is framed so, and reads the target's answer to its end.
    async fn exchange(framing: Framing, pieces: &[&str], answer: &[u8]) -> (bool, Vec<u8>, bool) {
        let wire = Arc::new(Wire::new());
        let (mut tap, mut target, pool) = tap(&wire).await;
        wire.send_request(framing);
        target.write_all(answer).await.unwrap();
        let mut is_sent = true;
        for piece in pieces {
            is_sent &= tap.write_all(piece.as_bytes()).await.is_ok();
            is_sent &= tap.flush().await.is_ok();
        }
        let mut head = [0; 128];
        let count = tap.read(&mut head).await.unwrap();
        wire.expect_answer(Framing::Length(2), true);
        let mut body = Vec::new();
        tap.read_to_end(&mut body).await.unwrap();
        drop(tap);
        let read = [&head[..count], &body].concat();
        (is_sent, read, !pool.is_empty())
    }

    #[tokio::test]
    async fn a_connection_is_kept_when_its_request_and_its_answer_are_over() {
        let head = "POST / HTTP/1.1\r\n\r\n";
        for (framing, pieces, is_kept) in [
            (Framing::Length(0), &[head][..], true),
            (Framing::Length(2), &[head, "ab"], true),
            (Framing::Length(3), &[head, "ab"], false),
            (
                Framing::Chunked,
                &[head, "2\r\n", "ab", "\r\n", "0\r\n\r\n"],
                true,
            ),
            (Framing::Chunked, &[head, "2\r\nab\r\n"], false),
        ] {
            let (is_sent, read, was_kept) = exchange(framing, pieces, ANSWER).await;
            assert!(is_sent && read == ANSWER, "{pieces:?}");
            assert_eq!(was_kept, is_kept, "{pieces:?}");
        }
        let longer = [ANSWER, b"HTTP/1.1 200 OK\r\n"].concat();
        let (_, read, was_kept) = exchange(Framing::Length(0), &[head], &longer).await;
        assert!(
            read == ANSWER && !was_kept,
            "what comes after the answer is nobody's"
        );
    }

    #[tokio::test]
    async fn no_more_than_a_request_is_sent() {
        let head = "POST / HTTP/1.1\r\n\r\n";
        for (framing, pieces) in [
            (Framing::Length(2), &[head, "abc"][..]),
            (Framing::Length(0), &[head, "0\r\n\r\n"]),
            (Framing::Chunked, &[head, "0\r\n\r\n", "0\r\n\r\n"]),
            (Framing::Chunked, &[head, "2\r\nabc"]),
        ] {
            let (is_sent, ..) = exchange(framing, pieces, ANSWER).await;
            assert!(!is_sent, "{pieces:?}");
        }
    }
}
