//! The head of a request: gathered as it comes, and shown to Pingora whole.
//!
//! Until then a connection costs what has come of the head. One that must not go on is answered
//! here.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{LAST_CHANCE, Tap};
use crate::stream::{ClientEnd, HeadEnd, status_of};
use crate::tap::absolute_form::mended;
use crate::tap::own_answer::without_body;
use crate::tap::request_head::{RequestHead, answer, answer_instead};

/// How much is read at a time of a head.
const PIECE: usize = 2048;
/// How long a client that was refused may go on sending: closing on it would take its answer from
/// it (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(1);

impl Tap {
    /// Waits for a whole head; whether one has come. A client whose head must not go on has been
    /// told.
    pub async fn has_head(&mut self) -> bool {
        (self.head, self.request_head) = (HeadEnd::default(), RequestHead::default());
        self.head_left = 0;
        let has_come = poll_fn(|cx| self.poll_whole_head(cx)).await;
        if self.is_refused {
            poll_fn(|cx| self.poll_linger(cx)).await;
        }
        has_come
    }

    fn poll_whole_head(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if let Some(has_come) = self.look_for_head(cx) {
                return Poll::Ready(has_come);
            }
            let is_silent = self.early.is_empty();
            match self.poll_more(cx) {
                Poll::Ready(0) => return Poll::Ready(false),
                Poll::Ready(_) => {}
                Poll::Pending => return self.poll_late_head(cx, is_silent).map(|()| false),
            }
            if is_silent {
                (self.clock, self.leaves) = (None, None);
            }
        }
    }

    /// Looks at the bytes that have come last; tells whether a head has come, as soon as that is
    /// certain. Empty lines may come before it (RFC 9112 section 2.2).
    fn look_for_head(&mut self, cx: &mut Context<'_>) -> Option<bool> {
        while self.head_left < self.early.len() {
            let fresh = &self.early[self.head_left..];
            let end = self.head.find(fresh);
            let fresh = &fresh[..end.unwrap_or(fresh.len())];
            self.head_left += fresh.len();
            self.wire.count_read(fresh.len());
            if let Some(fault) = self.request_head.take(fresh, end.is_some(), self.bounds) {
                self.refuse_head(cx, fault);
                return Some(false);
            }
            let is_empty = |byte: &u8| matches!(byte, b'\r' | b'\n');
            if end.is_some() && !self.early[..self.head_left].iter().all(is_empty) {
                if let Some(head) = mended(&self.early[..self.head_left]) {
                    let rest = &self.early[self.head_left..];
                    (self.head_left, self.early) = (head.len(), [&head, rest].concat());
                }
                self.is_of_head = is_of_head(&self.early);
                return Some(true);
            }
        }
        None
    }

    /// Reads what there is, and keeps it; nothing is the end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(0);
        };
        let mut piece = [0; PIECE];
        let mut buf = ReadBuf::new(&mut piece);
        let read = ready!(Pin::new(stream).poll_read(cx, &mut buf));
        if buf.filled().is_empty() {
            self.wire.ended(match read {
                Ok(()) => ClientEnd::Closed,
                Err(_) => ClientEnd::Broken,
            });
        }
        self.early.extend_from_slice(buf.filled());
        Poll::Ready(buf.filled().len())
    }

    /// Ready when nothing more is waited for, and the client has been told, if it has begun.
    fn poll_late_head(&mut self, cx: &mut Context<'_>, is_silent: bool) -> Poll<()> {
        let mut limit = self.wire.client_limit();
        if is_silent && self.poll_leaving(cx).is_ready() {
            if self.wire.exchanges() > 0 {
                return Poll::Ready(());
            }
            limit = limit.min(LAST_CHANCE);
        }
        ready!(self.poll_clock(cx, limit));
        self.refuse_head(cx, ClientEnd::HeadExpired);
        Poll::Ready(())
    }

    /// The head that has come.
    pub fn head_text(&self) -> &[u8] {
        self.early.get(..self.head_left).unwrap_or_default()
    }

    /// Shows the head that has come, and nothing of what comes after it.
    pub(super) fn poll_head(&mut self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let shown = self.head_left.min(buf.remaining());
        buf.put_slice(&self.early[..shown]);
        self.early.drain(..shown);
        self.head_left -= shown;
        if self.head_left == 0 {
            self.early.shrink_to_fit();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what the client still sends, for a while.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ignored = [0; 4096];
        while self.poll_clock(cx, LINGER).is_pending() {
            let Some(stream) = &mut self.stream else {
                break;
            };
            let mut buf = ReadBuf::new(&mut ignored);
            let read = ready!(Pin::new(stream).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(())
    }

    /// Pingora answers a head of which it makes no exchange: what it says is said in the form of
    /// all answers of ours.
    pub(super) fn poll_answer_head(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(stream) = self
            .stream
            .as_mut()
            .filter(|_| self.wire.head_answer().is_none())
        else {
            return Poll::Ready(Ok(bytes.len()));
        };
        let mut answer = answer_instead(status_of(bytes));
        if self.is_of_head {
            answer = without_body(answer);
        }
        // There is room for all of it.
        let written = Pin::new(stream).poll_write(cx, &answer);
        let count = ready!(self.bound(cx, written, |count| *count))?;
        self.wire.count_written(&answer[..count]);
        Poll::Ready(Ok(bytes.len()))
    }

    /// Tells a client that has begun a head; one that has said nothing is left without a word.
    pub(super) fn refuse_head(&mut self, cx: &mut Context<'_>, end: ClientEnd) {
        self.wire.ended(end);
        self.is_refused = true;
        let Some(stream) = self.stream.as_mut().filter(|_| self.wire.head_read() > 0) else {
            return;
        };
        let stream = stream.get_mut();
        let mut answer = answer(end).unwrap_or_default();
        if is_of_head(&self.early) {
            answer = without_body(answer);
        }
        if let Poll::Ready(Ok(count)) = Pin::new(&mut *stream).poll_write(cx, &answer) {
            self.wire.count_written(&answer[..count]);
        }
        if Pin::new(stream).poll_shutdown(cx).is_pending() {
            log::debug!("the end of a refused connection has yet to leave");
        }
    }
}

/// Whether a request that begins so wants no more than a head.
fn is_of_head(request: &[u8]) -> bool {
    request.trim_ascii_start().starts_with(b"HEAD ")
}
