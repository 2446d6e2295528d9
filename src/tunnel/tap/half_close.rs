//! A client that has ended its side after a whole request may still want the answer (RFC 9112 section 9.6), and may be gone: one
//! sends the same FIN as the other. Who is gone is found out when something is written, or when too long nothing is.

use std::io;
use std::task::{Context, Poll, ready};

use super::Tap;
use crate::tunnel::Framing;

const LATE: &str =
    "the answer had not begun within halfCloseTimeout of the end of the client's side";

impl Tap {
    /// Ready, with an error, when the client is gone, or has waited for its answer to begin for as long as it may.
    pub(super) fn poll_half_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_gone(cx, Framing::Length(0)) {
            return Poll::Ready(Err(error));
        }
        if self.wire.answer_framing().is_some() {
            return Poll::Pending;
        }
        ready!(self.poll_clock(cx, self.wire.half_close_limit()));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, LATE)))
    }
}
