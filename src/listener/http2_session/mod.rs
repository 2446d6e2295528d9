//! A plain request over HTTP/2, as Pingora reads it and answers it.
//!
//! Pingora's own session takes what a client sends as fast as it comes, and cannot tell what the
//! client has taken. This one reads as far as the target takes, tells how the answer goes, and lets
//! a client go that is too slow in either. A DATA frame without bytes is nothing, wherever it
//! stands (RFC 9113 section 6.1).

mod kept;
mod session;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use pingora::ErrorType::{
    H2Error, InternalError, InvalidHTTPHeader, ReadError, ReadTimedout, WriteError, WriteTimedout,
};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::{Error, OrErr as _, Result};

use self::kept::Kept;
use crate::stream::{ClientEnd, Framing, Http2Request, Parts, Wire};
use crate::tap::{Demand, Pace, are_few};

/// How much of a body may be on its way to a target that does not take it, in bytes; more waits in
/// the stream's window.
const WINDOW: usize = 4 << 10;

/// One stream.
pub(super) struct Http2Session {
    request: Box<Http2Request>,
    /// The answer's head, once it has gone.
    answered: Option<Box<ResponseHeader>>,
    /// Where its body goes, from then on.
    writer: Option<SendStream<Bytes>>,
    is_over: bool,
    wire: Arc<Wire>,
    demand: Demand,
    read_pace: Pace,
    write_pace: Pace,
    sent: usize,
    /// Read, and not yet shown; not more than the stream's window.
    unread: Parts,
    /// How much was shown in whose place nothing may be sent yet.
    unreleased: usize,
    /// How long the body is, if that was said.
    length: Option<usize>,
    /// All has been read, the trailers too.
    is_ended: bool,
    kept: Kept,
    timeouts: Timeouts,
}

/// What Pingora sets and asks for.
#[derive(Default)]
struct Timeouts {
    read: Option<Duration>,
    write: Option<Duration>,
    drain: Option<Duration>,
}

impl Http2Session {
    /// The stream behind this session, on a wire of its own beside the connection's.
    pub(super) fn new(
        request: Http2Request,
        wire: Arc<Wire>,
        carrier: Arc<Wire>,
        demand: Demand,
    ) -> Self {
        let length = request.head.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        Http2Session {
            request: Box::new(request),
            length,
            is_ended: false,
            answered: None,
            writer: None,
            is_over: false,
            wire,
            demand,
            read_pace: Pace::default(),
            write_pace: Pace::default(),
            sent: 0,
            unread: Parts::default(),
            unreleased: 0,
            kept: Kept::on(carrier),
            timeouts: Timeouts::default(),
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        while let Poll::Ready(read) = self.poll_more(cx) {
            read?;
            if self.is_ended {
                break;
            }
        }
        if self.wire.upload.poll_room(cx).is_pending() {
            return self.poll_reset(cx).map(Err);
        }
        self.release()?;
        // Nobody reads on behind the last byte, where trailers may come.
        let is_waiting = self.length == Some(self.request.read()) && !self.is_ended;
        if !self.unread.is_empty() && !is_waiting {
            return Poll::Ready(Ok(Some(self.show())));
        }
        if self.is_ended {
            self.wire.expect_body(Framing::Length(0));
            return Poll::Ready(Ok(None));
        }
        ready!(self.read_pace.poll_late(cx, self.demand));
        self.wire.ended(ClientEnd::BodyLate);
        Poll::Ready(Error::e_explain(ReadTimedout, "reading a stream's body"))
    }

    /// Shows a part of what was read. When it was taken, the client may send as much more.
    fn show(&mut self) -> Bytes {
        let part = self.unread.take(WINDOW);
        self.unreleased += part.len();
        self.note(&part);
        part
    }

    fn release(&mut self) -> Result<()> {
        match std::mem::take(&mut self.unreleased) {
            0 => Ok(()),
            count => {
                let released = self.request.release(count);
                released.or_err(ReadError, "reading a stream's body")
            }
        }
    }

    /// Reads a part of the body, or its end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.is_ended {
            return Poll::Ready(Ok(()));
        }
        if let Some(part) = ready!(self.request.poll_data(cx)) {
            let part = part.or_err(ReadError, "reading a stream's body")?;
            self.read_pace.moved(part.len());
            self.unread.keep(&part);
            return Poll::Ready(Ok(()));
        }
        let trailers = ready!(self.request.poll_trailers(cx));
        let trailers = trailers.or_err(ReadError, "reading a stream's trailers")?;
        self.is_ended = true;
        if let Some(trailers) = trailers {
            if !are_few(&trailers) {
                return Poll::Ready(Error::e_explain(InvalidHTTPHeader, "too many trailers"));
            }
            self.wire.bring_request_trailers(trailers);
        }
        Poll::Ready(Ok(()))
    }

    fn note(&mut self, part: &Bytes) {
        self.wire.upload.give(part.len());
        self.wire.body_read(part.len());
        self.kept.keep(part);
    }

    /// Ready when the client has given the stream up.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Box<Error>> {
        let reset = match &mut self.writer {
            Some(writer) => writer.poll_reset(cx),
            None => self.request.poll_reset(cx),
        };
        let reset = ready!(reset);
        Poll::Ready(match reset {
            Ok(reason) => is_reset(reason),
            Err(error) => Error::because(H2Error, "the stream's connection", error),
        })
    }

    /// Sends what there is room for, in the client's windows and in the send buffer.
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes, end: bool) -> Poll<Result<()>> {
        let Some(writer) = &mut self.writer else {
            return Poll::Ready(Error::e_explain(H2Error, "a body before its head"));
        };
        writer.reserve_capacity(data.len());
        let room = writer.poll_capacity(cx);
        self.wire.download.stick(room.is_pending());
        if room.is_pending() {
            ready!(self.write_pace.poll_late(cx, self.demand));
            self.wire.ended(ClientEnd::AnswerLate);
            return Poll::Ready(Error::e_explain(WriteTimedout, "writing a stream's body"));
        }
        let Poll::Ready(Some(room)) = room else {
            return self.poll_reset(cx).map(Err);
        };
        let room = room.or_err(H2Error, "waiting for a stream's window")?;
        let part = data.split_to(room.min(data.len()));
        let count = part.len();
        let sent = writer.send_data(part, end && data.is_empty());
        self.write_pace.moved(count);
        self.sent += count;
        Poll::Ready(sent.or_err(WriteError, "writing a stream's body"))
    }

    async fn send(&mut self, mut data: Bytes, end: bool) -> Result<()> {
        if self.is_over {
            return Ok(());
        }
        let trailers = end.then(|| self.wire.fetch_trailers()).flatten();
        let is_last = end && trailers.is_none();
        while !data.is_empty() {
            poll_fn(|cx| self.poll_send(cx, &mut data, is_last)).await?;
            self.is_over |= is_last && data.is_empty();
        }
        match trailers {
            Some(trailers) => self.send_trailers(trailers),
            None if end => self.end(),
            None => Ok(()),
        }
    }

    /// Whether there is nothing more of the body.
    fn is_read(&self) -> bool {
        self.unread.is_empty() && (self.is_empty() || self.request.is_over())
    }

    /// Whether there is nothing of the body at all.
    fn is_empty(&self) -> bool {
        let length = self.request.head.headers.get(CONTENT_LENGTH);
        let has_none = length.is_some_and(|length| length.as_bytes() == b"0");
        self.request.read() == 0 && (self.request.is_over() || has_none)
    }

    fn end(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.is_over, true) {
            return Ok(());
        }
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let ended = match self.wire.fetch_trailers() {
            Some(trailers) => writer.send_trailers(trailers),
            None => writer.send_data(Bytes::new(), true),
        };
        ended.or_err(WriteError, "ending a stream's body")
    }

    fn send_head(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.is_over || self.writer.is_some() {
            return Ok(());
        }
        if head.status.is_informational() {
            self.request.send_interim(&head);
            return Ok(());
        }
        let sent = self.request.send_head(&mut head, end);
        self.writer = Some(sent.or_err(WriteError, "writing a stream's head")?);
        self.answered = Some(head);
        self.is_over = end;
        Ok(())
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if self.is_over {
            return Ok(());
        }
        let Some(writer) = &mut self.writer else {
            return Error::e_explain(H2Error, "trailers before a head");
        };
        self.is_over = true;
        let sent = writer.send_trailers(trailers);
        sent.or_err(WriteError, "writing a stream's trailers")
    }

    /// Whether the answer ends with this.
    async fn send_task(&mut self, task: HttpTask) -> Result<bool> {
        match task {
            HttpTask::Header(head, end) => {
                let end = end && !head.status.is_informational();
                self.send_head(head, end).map(|()| end)
            }
            HttpTask::Body(data, end) => {
                self.send(data.unwrap_or_default(), end).await?;
                Ok(end)
            }
            HttpTask::Trailer(Some(trailers)) => self.send_trailers(*trailers).map(|()| true),
            HttpTask::Trailer(None) | HttpTask::Done => Ok(true),
            HttpTask::Failed(error) => Err(error),
            HttpTask::UpgradedBody(..) => {
                Error::e_explain(InternalError, "an upgraded body on a stream of HTTP/2")
            }
        }
    }

    async fn drain(&mut self) -> Result<()> {
        self.wire.upload.unmeter();
        while !self.is_read() && poll_fn(|cx| self.poll_body(cx)).await?.is_some() {}
        Ok(())
    }
}

fn is_reset(reason: Reason) -> Box<Error> {
    Error::explain(H2Error, format!("the client gave the stream up: {reason}"))
}
