//! The body of a target's answer: what has come of it, and what is shown.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use tokio::io::ReadBuf;

use super::answer::{CHUNK_OVERHEAD, Told, chunk_line};
use crate::stream::{Parts, Wire};
use crate::tap::trailers::are_few;
use crate::target_connection::failure;

/// The body of an answer, as far as it has come.
pub(super) struct Receiving {
    stream: RecvStream,
    told: Told,
    /// Read, and not shown yet.
    unread: Parts,
    /// How much was shown in whose place nothing may be sent yet.
    unreleased: usize,
    is_over: bool,
}

impl Receiving {
    pub(super) fn new(stream: RecvStream, told: Told) -> Self {
        Receiving {
            stream,
            told,
            unread: Parts::default(),
            unreleased: 0,
            is_over: false,
        }
    }

    pub(super) fn is_in_chunks(&self) -> bool {
        self.told == Told::Chunks
    }

    /// Whether all that was read has been shown.
    pub(super) fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }

    /// Whether it is the target that is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.shown() == 0 && !self.is_over
    }

    /// Reads what there is, as far as the window lets the target send.
    pub(super) fn take_parts(&mut self, wire: &Wire, cx: &mut Context<'_>) -> io::Result<()> {
        while let Poll::Ready(Some(part)) = self.poll_more(wire, cx) {
            self.unread.keep(&part?);
        }
        Ok(())
    }

    fn poll_more(&mut self, wire: &Wire, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
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
            wire.bring_trailers(trailers);
        }
        Poll::Ready(None)
    }

    /// How much may be shown. The last byte of a body of a known length waits for the
    /// stream's end, with which trailers come: nobody reads on behind it.
    fn shown(&self) -> usize {
        match self.told == Told::Length && !self.is_over {
            true => self.unread.len().saturating_sub(1),
            false => self.unread.len(),
        }
    }

    /// Shows a part, and tells how much payload there is in it.
    pub(super) fn show(&mut self, buf: &mut ReadBuf<'_>, room: usize) -> io::Result<usize> {
        let overhead = match self.told {
            Told::Chunks => CHUNK_OVERHEAD,
            Told::Length | Told::Nothing => 0,
        };
        let fits = buf.remaining().saturating_sub(overhead);
        let part = self.unread.take(self.shown().min(room).min(fits));
        let count = part.len();
        if count == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if self.is_in_chunks() {
            buf.put_slice(chunk_line(count).as_bytes());
        }
        buf.put_slice(&part);
        if self.is_in_chunks() {
            buf.put_slice(b"\r\n");
        }
        self.unreleased += count;
        Ok(count)
    }

    /// What was shown has gone on: as much more may be sent.
    pub(super) fn release(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.unreleased) {
            0 => Ok(()),
            count => {
                let released = self.stream.flow_control().release_capacity(count);
                released.map_err(failure::words)
            }
        }
    }
}
