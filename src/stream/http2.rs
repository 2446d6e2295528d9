//! A WebSocket on one stream of an HTTP/2 connection (RFC 8441), as an HTTP/1.1 connection of its
//! own.
//!
//! What is read is the handshake that an HTTP/1.1 client would have sent, then what the client's
//! DATA frames carry. What is written begins with the head of the answer, which becomes a HEADERS
//! frame: a 101 becomes a 200 (section 5). From there on bytes are passed as they are. END_STREAM
//! is a FIN, RST_STREAM a reset. Flow control is the stream's: nothing is read from it that is not
//! asked for here.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use pingora::http::RequestHeader;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head_end::HeadEnd;
use super::http2_heads::{Head, answer, handshake};
use super::http2_request::Http2Request;
use super::wire::{ClientEnd, Wire};

/// A WebSocket on one stream of HTTP/2.
pub struct Http2Stream {
    request: Box<Http2Request>,
    /// What was read and not yet shown: at first the handshake.
    unread: Bytes,
    answer: Answer,
    /// What carries it.
    carrier: Arc<Wire>,
}

/// How far the answer has come.
enum Answer {
    /// Its head is being written.
    Head { text: Vec<u8>, end: HeadEnd },
    /// What is written goes to the client.
    Passing(SendStream<Bytes>),
    /// Nothing more can be said.
    Over,
}

impl Http2Stream {
    /// The stream of an extended CONNECT for a WebSocket, on the connection with this wire.
    pub fn new(mut request: Box<Http2Request>, carrier: Arc<Wire>) -> Self {
        let unread = handshake(&request.head).into();
        // Nobody reads it again, and the tunnel may be open for days.
        if let Ok(nothing) = RequestHeader::build_no_case("GET", b"/", Some(0)) {
            request.head = nothing;
        }
        Http2Stream {
            request,
            unread,
            answer: Answer::Head {
                text: Vec::new(),
                end: HeadEnd::default(),
            },
            carrier,
        }
    }

    /// Takes what belongs to the head, and sends it when it is complete.
    fn write_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Answer::Head { text, end } = &mut self.answer else {
            return Ok(0);
        };
        let found = end.find(bytes);
        let count = found.unwrap_or(bytes.len());
        text.extend_from_slice(&bytes[..count]);
        if found.is_none() {
            return Ok(count);
        }
        let mut head = match answer(text)? {
            Head::Last(head) => head,
            Head::Interim(head) => {
                self.request.send_interim(&head);
                text.clear();
                return Ok(count);
            }
        };
        let sent = self.request.send_head(&mut head, false);
        let sent = sent.map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error))?;
        self.answer = Answer::Passing(sent);
        Ok(count)
    }

    /// What an error of the stream means: a FIN or a reset, of the stream or of what carries it.
    fn ending(&self, error: h2::Error) -> io::Result<()> {
        if error.is_io() && self.carrier.client_end() == ClientEnd::Closed {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::ConnectionReset, error))
    }
}

impl AsyncRead for Http2Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        while stream.unread.is_empty() {
            let data = ready!(stream.request.poll_data(cx));
            let data = data.map(|data| {
                let bytes = data?;
                stream.request.release(bytes.len()).map(|()| bytes)
            });
            match data {
                Some(Ok(bytes)) => stream.unread = bytes,
                Some(Err(error)) => return Poll::Ready(stream.ending(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = stream.unread.len().min(buf.remaining());
        buf.put_slice(&stream.unread.split_to(count));
        if stream.unread.is_empty() {
            stream.unread = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http2Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        match &mut stream.answer {
            Answer::Head { .. } => Poll::Ready(stream.write_head(bytes)),
            Answer::Passing(writer) => poll_send(writer, cx, bytes),
            Answer::Over => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let Answer::Passing(mut writer) = std::mem::replace(&mut stream.answer, Answer::Over)
        else {
            return Poll::Ready(Ok(()));
        };
        let ended = writer.send_data(Bytes::new(), true);
        Poll::Ready(ended.map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error)))
    }
}

/// Sends as much as there is room for, in the client's windows and in the send buffer.
fn poll_send(
    writer: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    writer.reserve_capacity(bytes.len());
    let room = match ready!(writer.poll_capacity(cx)) {
        Some(Ok(room)) => room.min(bytes.len()),
        Some(Err(_)) | None => return poll_broken(writer, cx),
    };
    match writer.send_data(Bytes::copy_from_slice(&bytes[..room]), false) {
        Ok(()) => Poll::Ready(Ok(room)),
        Err(_) => poll_broken(writer, cx),
    }
}

/// Why nothing can be sent: only asking whether the client has reset the stream tells (RFC 9113
/// section 6.4).
fn poll_broken(writer: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let kind = io::ErrorKind::BrokenPipe;
    Poll::Ready(Err(match ready!(writer.poll_reset(cx)) {
        Ok(Reason::NO_ERROR | Reason::CANCEL) => kind.into(),
        Ok(reason) => io::Error::new(kind, h2::Error::from(reason)),
        Err(error) => io::Error::new(kind, error),
    }))
}

impl fmt::Debug for Http2Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http2Stream")
    }
}
