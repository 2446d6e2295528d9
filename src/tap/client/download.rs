//! What of an answer Pingora does not write as it should be: its trailers leave with the last chunk, and a 426 names its upgrade.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite as _;

use super::Tap;
use crate::stream::Answer;
use crate::stream::ClientEnd;
use crate::tap::chunks::Chunks;
use crate::tap::trailers::{LAST_CHUNK, last_chunk};

/// An answer in chunks, as far as it has been written.
#[derive(Debug, Default)]
pub(super) struct Download {
    /// The number of its exchange.
    exchange: u64,
    place: Place,
    /// What is written in the place of what Pingora writes, as far as it has not left.
    unsent: Bytes,
}

#[derive(Debug, Default)]
enum Place {
    Heads(Answer),
    Body(Chunks),
    /// It is not what it was said to be, or is over.
    #[default]
    Nowhere,
}

impl Download {
    fn enter(&mut self, exchange: u64) {
        if self.exchange != exchange {
            self.exchange = exchange;
            self.place = Place::Heads(Answer::default());
        }
    }

    /// Whether the body ends with these bytes, which are its last chunk.
    fn ends_with(&self, bytes: &[u8]) -> bool {
        match self.place {
            Place::Body(mut chunks) if bytes == LAST_CHUNK => {
                chunks.count(bytes).is_ok() && chunks.is_over()
            }
            Place::Body(_) | Place::Heads(_) | Place::Nowhere => false,
        }
    }

    /// Takes note of what has been written.
    fn follow(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if let Place::Heads(heads) = &mut self.place {
            let Some(end) = heads.end_of_last(rest) else {
                return;
            };
            rest = &rest[end..];
            self.place = Place::Body(Chunks::default());
        }
        if let Place::Body(chunks) = &mut self.place
            && (chunks.count(rest).is_err() || chunks.is_over())
        {
            self.place = Place::Nowhere;
        }
    }
}

impl Tap {
    /// Writes a part of an answer in chunks, and its trailers in their place.
    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.download.enter(self.wire.exchanges());
        if self.download.ends_with(bytes)
            && let Some(trailers) = self.wire.fetch_trailers()
        {
            self.download.unsent = last_chunk(&trailers).into();
        }
        if self.download.unsent.is_empty() {
            let count = ready!(self.poll_out(cx, bytes))?;
            self.download.follow(&bytes[..count]);
            return Poll::Ready(Ok(count));
        }
        ready!(self.poll_unsent(cx))?;
        self.download.follow(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.download.unsent.is_empty() {
            let unsent = self.download.unsent.clone();
            match ready!(self.poll_out(cx, &unsent))? {
                0 => {
                    self.wire.ended(ClientEnd::Broken);
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                count => self.download.unsent.advance(count),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes a short answer of ours whose `Connection` has to name its `Upgrade` (RFC 9110 section 7.8): Pingora says nothing
    /// there but how the connection goes on.
    pub(super) fn poll_upgrade_required(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(text) = with_upgrade(bytes) else {
            return self.poll_out(cx, bytes);
        };
        if self.download.unsent.is_empty() {
            self.download.unsent = text.into();
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
        let written = Pin::new(stream).poll_write(cx, bytes);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_chunk_is_known_however_the_answer_was_cut() {
        let answer = b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n5\r\n0\r\n\r\n\r\n";
        for cut in 0..=answer.len() {
            let mut download = Download::default();
            download.enter(1);
            download.follow(&answer[..cut]);
            // Before the only chunk, and behind it.
            let is_between = [answer.len() - 10, answer.len()].contains(&cut);
            assert_eq!(download.ends_with(LAST_CHUNK), is_between, "{cut}");
            download.follow(&answer[cut..]);
            assert!(download.ends_with(LAST_CHUNK));
            download.follow(LAST_CHUNK);
            assert!(!download.ends_with(LAST_CHUNK));
        }
    }

    #[test]
    fn an_answer_that_is_not_in_chunks_has_no_last_one() {
        let mut download = Download::default();
        download.enter(1);
        download.follow(b"HTTP/1.1 502 No\r\n\r\n502 no");
        assert!(!download.ends_with(LAST_CHUNK));
    }
}
