//! What of an answer Pingora does not write as it should be: its trailers leave with the last
//! chunk, and a 426 names its upgrade.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use tokio::io::AsyncWrite as _;

use super::Tap;
use crate::stream::ClientEnd;
use crate::tap::trailers::last_chunk;

impl Tap {
    /// Writes a part of an answer in chunks, and its trailers in their place.
    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.chunked_answer.enter(self.wire.exchanges());
        if self.chunked_answer.ends_with(bytes)
            && let Some(trailers) = self.wire.fetch_trailers()
        {
            self.chunked_answer.unsent = last_chunk(&trailers).into();
        }
        if self.chunked_answer.unsent.is_empty() {
            let count = ready!(self.poll_out(cx, bytes))?;
            self.chunked_answer.follow(&bytes[..count]);
            return Poll::Ready(Ok(count));
        }
        ready!(self.poll_unsent(cx))?;
        self.chunked_answer.follow(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.chunked_answer.unsent.is_empty() {
            let unsent = self.chunked_answer.unsent.clone();
            match ready!(self.poll_out(cx, &unsent))? {
                0 => {
                    self.wire.ended(ClientEnd::Broken);
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                count => self.chunked_answer.unsent.advance(count),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes a short answer of ours whose `Connection` has to name its `Upgrade` (RFC 9110 section
    /// 7.8): Pingora says nothing there but how the connection goes on.
    pub(super) fn poll_upgrade_required(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(text) = with_upgrade(bytes) else {
            return self.poll_out(cx, bytes);
        };
        if self.chunked_answer.unsent.is_empty() {
            self.chunked_answer.unsent = text.into();
        }
        ready!(self.poll_unsent(cx))?;
        Poll::Ready(Ok(bytes.len()))
    }

    /// Writes a part of what goes to the client.
    pub(super) fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(bytes.len()));
        };
        let written = match stream.get_mut().poll_drained(cx) {
            Poll::Ready(Ok(())) => Pin::new(stream).poll_write(cx, bytes),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        let written = ready!(self.bound(cx, written, |count| *count));
        match &written {
            Ok(count) => {
                self.wire.count_written(&bytes[..*count]);
                self.note_answer(&bytes[..*count]);
            }
            Err(_) => self.wire.ended(ClientEnd::Broken),
        }
        Poll::Ready(written)
    }
}

/// A head whose `Connection` has one more word; `None` if it is none.
fn with_upgrade(head: &[u8]) -> Option<Vec<u8>> {
    const NAME: &[u8] = b"\r\nConnection: ";
    let place = head.windows(NAME.len()).position(|bytes| bytes == NAME)?;
    let (before, after) = head.split_at(place + NAME.len());
    Some([before, b"upgrade, ", after].concat())
}
