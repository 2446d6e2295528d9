//! A stream to a target of HTTP/2, as Pingora sees it: a connection of HTTP/1.1, for one request and its answer.
//!
//! Pingora's own session towards such targets keeps what a client does not take, knows no 1xx, and hears nothing of its client
//! while the target takes nothing. What Pingora writes here goes out as a head of HTTP/2, which the exchange has made, and its
//! body; what comes is written as an answer of HTTP/1.1, of its body only as much as the client takes.

mod answer;
mod carrier;
mod failure;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::{Method, Response};
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::answer::{CHUNK_OVERHEAD, Told, chunk_line};
pub(super) use self::carrier::{Carrier, Ticket};
pub use self::failure::{Unprocessed, WantsHttp1};
use super::body::Body;
use super::heads::HeadEnd;
use super::silence::Silence;
use super::target_tap::Purpose;
use super::trailers::{LAST_CHUNK, are_few};
use super::wire::with_wire;

/// How much of an answer may be on its way to a client that does not take it, in bytes, beside what the stream's window holds.
const WINDOW: usize = 8 << 10;

/// How much of what Pingora has written may wait. It writes no more than the client may have on its way, and a little framing.
const MOST_UNSENT: usize = 32 << 10;

/// A stream to a target, tapped.
pub(super) struct Http2Tap {
    ticket: Ticket,
    sending: Sending,
    reading: Reading,
    /// Written by Pingora, and not taken by the target: a little, so that the answer is heard meanwhile.
    unsent: BytesMut,
    method: Method,
    /// Heads and lines that Pingora has not read yet.
    text: Bytes,
    silence: Silence,
    purpose: Purpose,
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

struct Receiving {
    stream: RecvStream,
    told: Told,
    /// Read, and not shown yet. It is copied: h2 would keep all that came with it.
    part: BytesMut,
    is_over: bool,
}

impl Http2Tap {
    pub(super) fn new(ticket: Ticket, purpose: Purpose, silence: Duration) -> Self {
        Http2Tap {
            ticket,
            sending: Sending::Head(HeadEnd::default()),
            reading: Reading::Nothing,
            unsent: BytesMut::new(),
            method: Method::GET,
            text: Bytes::new(),
            silence: Silence::new(silence),
            purpose,
        }
    }

    /// Sends the head, once all of it has been written that Pingora would send.
    fn send_head(&mut self) -> io::Result<()> {
        let told = with_wire(|wire| wire.fetch_head().zip(wire.sent_framing())).flatten();
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
            let Poll::Ready(sent) = poll_send(body, stream, cx, &self.unsent) else {
                self.ticket.stick(true);
                return Ok(());
            };
            let (count, payload) = sent?;
            self.unsent.advance(count);
            // It may wait for just this.
            self.silence.end();
            with_wire(|wire| wire.upload.take(payload));
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
        self.reading = Reading::Body(Receiving {
            stream,
            told,
            part: BytesMut::new(),
            is_over: false,
        });
    }

    /// Shows a part of the body, as much as there is room for.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Reading::Body(receiving) = &mut self.reading else {
            return Poll::Ready(Ok(()));
        };
        receiving.take_parts(cx)?;
        let window = WINDOW.min(self.purpose.window());
        let room = with_wire(|wire| wire.download.poll_room(cx, window));
        let Poll::Ready(room) = room.unwrap_or(Poll::Ready(window)) else {
            // It is the client that is slow.
            self.silence.end();
            return Poll::Pending;
        };
        if receiving.shown() == 0 && !receiving.is_over {
            return self.poll_late(cx);
        }
        self.silence.end();
        if receiving.part.is_empty() {
            if receiving.told == Told::Chunks {
                self.text = Bytes::from_static(LAST_CHUNK);
            }
            self.reading = Reading::Over;
            return Poll::Ready(Ok(()));
        }
        let shown = receiving.show(buf, room)?;
        with_wire(|wire| wire.download.give(shown));
        Poll::Ready(Ok(()))
    }

    /// Ready with an error when the target has been silent for too long. Nobody else need wait for it then.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let late = ready!(self.silence.poll_late(cx));
        self.ticket.retire();
        Poll::Ready(Err(late))
    }
}

impl Receiving {
    /// Reads what there is, as far as the window lets the target send.
    fn take_parts(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Poll::Ready(Some(part)) = self.poll_more(cx) {
            self.part.extend_from_slice(&part?);
        }
        Ok(())
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(part) = ready!(self.stream.poll_data(cx)) {
            return Poll::Ready(Some(part.map_err(failure::words)));
        }
        let trailers = match ready!(self.stream.poll_trailers(cx)) {
            // It has what it wants of the request (RFC 9113 section 8.1).
            Err(error) if error.reason() == Some(h2::Reason::NO_ERROR) => None,
            Err(error) => return Poll::Ready(Some(Err(failure::words(error)))),
            Ok(trailers) => trailers,
        };
        self.is_over = true;
        if let Some(trailers) = trailers {
            if !are_few(&trailers) {
                let error = io::Error::new(io::ErrorKind::InvalidData, "too many trailers");
                return Poll::Ready(Some(Err(error)));
            }
            with_wire(|wire| wire.bring_trailers(trailers));
        }
        Poll::Ready(None)
    }

    /// How much of the part may be shown. The last byte of a body of a known length waits for the stream's end, with which trailers
    /// come: nobody reads on behind it.
    fn shown(&self) -> usize {
        match self.told == Told::Length && !self.is_over {
            true => self.part.len().saturating_sub(1),
            false => self.part.len(),
        }
    }

    /// Shows a part, and tells how much payload there is in it. As much more may be sent.
    fn show(&mut self, buf: &mut ReadBuf<'_>, room: usize) -> io::Result<usize> {
        let overhead = match self.told {
            Told::Chunks => CHUNK_OVERHEAD,
            Told::Length | Told::Nothing => 0,
        };
        let fits = buf.remaining().saturating_sub(overhead);
        let count = self.shown().min(room).min(fits);
        if count == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let part = self.part.split_to(count);
        if self.told == Told::Chunks {
            buf.put_slice(chunk_line(count).as_bytes());
        }
        buf.put_slice(&part);
        if self.told == Told::Chunks {
            buf.put_slice(b"\r\n");
        }
        let released = self.stream.flow_control().release_capacity(count);
        released.map_err(failure::words)?;
        Ok(count)
    }
}

/// Sends of the body what there is room for; of bytes that are framing alone, all. Returns how many bytes were taken, and how much
/// payload is in them.
///
/// Errors: they are more than the request.
fn poll_send(
    body: &mut Body,
    stream: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<(usize, usize)>> {
    let invalid = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut after = *body;
    let all = after.count(bytes).map_err(invalid)?;
    if all.bytes < bytes.len() {
        let more = "more than the request was about to be sent";
        return Poll::Ready(Err(io::Error::other(more)));
    }
    let mut most = bytes.len();
    if all.payload > 0 {
        stream.reserve_capacity(all.payload);
        // It is polled for more alone; what is there already it does not tell.
        let room = match stream.capacity() {
            0 => ready!(stream.poll_capacity(cx)),
            room => Some(Ok(room)),
        };
        match room {
            Some(Ok(room)) => most = most.min(room),
            // The target wants no more of it. Its answer says why, or how it has failed.
            Some(Err(_)) | None => {
                *body = after;
                with_wire(|wire| wire.upload.unmeter());
                return Poll::Ready(Ok((bytes.len(), 0)));
            }
        }
    }
    let mut part = bytes[..most].to_vec();
    let taken = body.take_payload(&mut part).map_err(invalid)?;
    part.truncate(taken.payload);
    send(stream, part, body.is_over());
    Poll::Ready(Ok((most, taken.payload)))
}

/// Sends a part of the body, and with the last the trailers. A stream that is over takes nothing: the answer says why.
fn send(stream: &mut SendStream<Bytes>, part: Vec<u8>, is_over: bool) {
    let trailers = is_over.then(|| with_wire(|wire| wire.request_trailers()));
    let trailers = trailers.flatten().flatten();
    let is_last = is_over && trailers.is_none();
    if !part.is_empty() || is_last {
        stream.send_data(part.into(), is_last).ok();
    }
    if let Some(trailers) = trailers {
        stream.send_trailers(trailers).ok();
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
