//! A client that has ended its side after a whole request may still want the answer (RFC 9112
//! section 9.6), and may be gone: one sends the same FIN as the other. Who is gone is found out
//! when something is written, or when too long nothing is.
//!
//! Behind the request may lie the next, whole or in part: it waits here, and is served in its turn.
//! Little of it is read, so that the end behind it is not seen by reading: the system is asked.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::Tap;
use crate::stream::{ClientEnd, Framing};

const LATE: &str =
    "the answer had not begun within halfCloseTimeout of the end of the client's side";
/// How much is read at most of what comes before its turn.
const MOST_EARLY: usize = 512;

impl Tap {
    /// Reads a little of what comes before its turn. Ready when the client has ended its side.
    pub(super) fn poll_early(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut piece = [0; MOST_EARLY];
        while self.early.len() < MOST_EARLY {
            let Some(stream) = &mut self.stream else {
                return Poll::Ready(Ok(()));
            };
            let mut buf = ReadBuf::new(&mut piece[..MOST_EARLY - self.early.len()]);
            if let Err(error) = ready!(Pin::new(stream).poll_read(cx, &mut buf)) {
                self.wire.ended(ClientEnd::Broken);
                return Poll::Ready(Err(error));
            }
            if buf.filled().is_empty() {
                self.note_half_close();
                return Poll::Ready(Ok(()));
            }
            self.early.extend_from_slice(buf.filled());
        }
        Poll::Pending
    }

    /// What waits here may be a request, which the end comes after.
    fn note_half_close(&self) {
        self.wire.half_closed();
        if self.early.is_empty() {
            self.wire.ended(ClientEnd::Closed);
        }
    }

    /// Ready, with an error, when the client is gone, or has waited for its answer to begin for as
    /// long as it may.
    pub(super) fn poll_half_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() && !self.wire.is_half_closed() {
            return Poll::Pending;
        }
        if let Poll::Ready(error) = self.poll_gone(cx, Framing::Length(0)) {
            return Poll::Ready(Err(error));
        }
        if !self.wire.is_half_closed() || self.wire.answer_framing().is_some() {
            return Poll::Pending;
        }
        ready!(self.poll_clock(cx, self.wire.half_close_limit()));
        self.wire.ended(ClientEnd::Closed);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, LATE)))
    }
}
