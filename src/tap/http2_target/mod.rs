//! A stream to a target of HTTP/2, as Pingora sees it: a connection of HTTP/1.1, for one request
//! and its answer.
//!
//! Pingora's own session towards such targets keeps what a client does not take, knows no 1xx, and
//! hears nothing of its client while the target takes nothing. What Pingora writes here goes out as
//! a head of HTTP/2, which the exchange has made, and its body; what comes is written as an answer
//! of HTTP/1.1, of its body only as much as the client takes.

mod answer;
mod receiving;
mod sending;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::{Method, Response};
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::answer::Told;
use self::receiving::Receiving;
use self::sending::poll_send;
use crate::stream::{HeadEnd, Wire};
use crate::tap::body::Body;
use crate::tap::clocks::{Alarm, Clocks};
use crate::tap::purpose::Purpose;
use crate::tap::silence::Silence;
use crate::tap::trailers::LAST_CHUNK;
use crate::target_connection::{Ticket, failure};

/// How much of an answer may be on its way to a client that does not take it, in bytes; more waits
/// in the stream's window.
const WINDOW: usize = 8 << 10;

/// How much of what Pingora has written may wait. It writes no more than the client may have on its
/// way, and a little framing.
const MOST_UNSENT: usize = 32 << 10;

/// A stream to a target, tapped.
pub(super) struct Http2Tap {
    ticket: Ticket,
    sending: Sending,
    reading: Reading,
    /// Written by Pingora, and not taken by the target: a little, so that the answer is heard
    /// meanwhile.
    unsent: BytesMut,
    method: Method,
    /// Heads and lines that Pingora has not read yet.
    text: Bytes,
    silence: Silence,
    alarm: Option<Alarm>,
    purpose: Purpose,
    wire: Arc<Wire>,
}

/// How far the request has come.
enum Sending {
    Head(HeadEnd),
    Body {
        body: Body,
        stream: SendStream<Bytes>,
    },
}

/// How far its answer has come.
enum Reading {
    /// The request is not sent yet.
    Nothing,
    Head(ResponseFuture),
    Body(Receiving),
    Over,
}

impl Http2Tap {
    pub(super) fn new(ticket: Ticket, purpose: Purpose, clocks: Clocks, wire: Arc<Wire>) -> Self {
        Http2Tap {
            ticket,
            sending: Sending::Head(HeadEnd::default()),
            reading: Reading::Nothing,
            unsent: BytesMut::new(),
            method: Method::GET,
            text: Bytes::new(),
            silence: Silence::new(clocks.silence),
            alarm: clocks.deadline.map(Alarm::of),
            purpose,
            wire,
        }
    }

    /// Errors: the time of the request is over.
    fn check_deadline(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match &mut self.alarm {
            Some(alarm) => alarm.check(cx),
            None => Ok(()),
        }
    }

    /// Sends the head, once all of it has been written that Pingora would send.
    fn send_head(&mut self) -> io::Result<()> {
        let told = self.wire.fetch_head().zip(self.wire.sent_framing());
        let (head, framing) = told.ok_or_else(|| io::Error::other("a request without a head"))?;
        self.method = head.method().clone();
        let body = Body::from(framing);
        let sent = self.ticket.sender.send_request(head, body.is_over());
        let (answer, stream) = sent.map_err(failure::of_unsent)?;
        self.reading = Reading::Head(answer);
        self.sending = Sending::Body { body, stream };
        Ok(())
    }

    /// Sends what was written, as far as the target takes it.
    fn send_unsent(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Sending::Body { body, stream } = &mut self.sending else {
            return Ok(());
        };
        while !self.unsent.is_empty() {
            let Poll::Ready(sent) = poll_send(body, stream, &self.wire, cx, &self.unsent) else {
                self.ticket.stick(true);
                return Ok(());
            };
            let (count, payload) = sent?;
            self.unsent.advance(count);
            // It may wait for just this.
            self.silence.end();
            self.wire.upload.take(payload);
        }
        self.ticket.stick(false);
        Ok(())
    }

    /// Shows what was written of the answer here.
    fn show_text(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.text.len().min(buf.remaining());
        buf.put_slice(&self.text[..count]);
        self.text.advance(count);
    }

    /// Ready when there is text to show.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Reading::Head(future) = &mut self.reading else {
            return Poll::Ready(Ok(()));
        };
        if let Poll::Ready(Some(interim)) = future.poll_informational(cx) {
            let (head, ()) = interim.map_err(failure::of_request)?.into_parts();
            self.text = answer::head(head.status, &head.headers, b"").into();
            self.silence.end();
            return Poll::Ready(Ok(()));
        }
        match Pin::new(future).poll(cx) {
            Poll::Ready(answer) => {
                self.silence.end();
                self.begin_body(answer.map_err(failure::of_request)?);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => self.poll_late(cx),
        }
    }

    fn begin_body(&mut self, answer: Response<RecvStream>) {
        let (head, stream) = answer.into_parts();
        let is_over = stream.is_end_stream();
        let told = answer::told(&self.method, head.status, &head.headers, is_over);
        let is_bare = self.method == Method::HEAD || matches!(head.status.as_u16(), 204 | 304);
        let framing: &[u8] = match told {
            Told::Chunks => b"transfer-encoding: chunked\r\n",
            Told::Nothing if !is_bare => b"content-length: 0\r\n",
            Told::Nothing | Told::Length => b"",
        };
        self.text = answer::head(head.status, &head.headers, framing).into();
        self.reading = Reading::Body(Receiving::new(stream, told));
    }

    /// Shows a part of the body, as much as there is room for.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Reading::Body(receiving) = &mut self.reading else {
            return Poll::Ready(Ok(()));
        };
        receiving.take_parts(&self.wire, cx)?;
        if self.wire.download.poll_room(cx).is_pending() {
            // It is the client that is slow.
            self.silence.end();
            return Poll::Pending;
        }
        receiving.release()?;
        if receiving.is_waiting() {
            return self.poll_late(cx);
        }
        self.silence.end();
        if receiving.is_empty() {
            if receiving.is_in_chunks() {
                self.text = Bytes::from_static(LAST_CHUNK);
            }
            self.reading = Reading::Over;
            return Poll::Ready(Ok(()));
        }
        let room = WINDOW.min(self.purpose.window());
        let shown = receiving.show(buf, room)?;
        self.wire.download.give(shown);
        Poll::Ready(Ok(()))
    }

    /// Ready with an error when the target has been silent for too long. Nobody else need wait for
    /// it then.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let late = ready!(self.silence.poll_late(cx));
        self.ticket.retire();
        Poll::Ready(Err(late))
    }
}

impl fmt::Debug for Http2Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Tap")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Http2Tap {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        tap.check_deadline(cx)?;
        tap.send_unsent(cx)?;
        let before = buf.filled().len();
        loop {
            if !tap.text.is_empty() {
                tap.show_text(buf);
            }
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            match &tap.reading {
                Reading::Head(_) => ready!(tap.poll_head(cx))?,
                Reading::Body(_) => ready!(tap.poll_body(cx, buf))?,
                Reading::Nothing | Reading::Over => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncWrite for Http2Tap {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tap = self.get_mut();
        tap.check_deadline(cx)?;
        if let Sending::Head(head) = &mut tap.sending {
            let end = head.find(bytes);
            if end.is_some() {
                tap.send_head()?;
            }
            return Poll::Ready(Ok(end.unwrap_or(bytes.len())));
        }
        tap.send_unsent(cx)?;
        let room = MOST_UNSENT.saturating_sub(tap.unsent.len());
        if room == 0 {
            return Poll::Pending;
        }
        let count = bytes.len().min(room);
        tap.unsent.extend_from_slice(&bytes[..count]);
        tap.send_unsent(cx)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Pingora ends each connection after its answer; this stream ends when it is dropped.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl VirtualSocket for Http2Tap {
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}
