//! What a client of HTTP/2 sends, on its way to h2: frames are followed, and a block of fields that
//! is malformed is exchanged for one that h2 takes for an error of its stream (RFC 9113 sections
//! 4.1, 6.2 and 8.1.1).
//!
//! Only such blocks are held back, until they are whole; small DATA frames are joined; all else
//! passes as it comes. Where something cannot be followed h2 sees what the client has sent, and
//! nothing is followed any more: it ends such a connection.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::fields::{Block, Fields};
use crate::stream::{
    END_STREAM, FRAME_HEAD as HEAD, FrameHead as Head, MOST_FRAME, PADDED, SmallFrames,
};
use crate::tap::Tap;

const HEADERS: u8 = 1;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const PRIORITY: u8 = 0x20;

/// A client's stream, followed.
#[derive(Debug)]
pub(super) struct Frames {
    tap: Tap,
    faults: Arc<Faults>,
    fields: Fields,
    small: SmallFrames,
    /// How large a block of fields may be to be looked at, in bytes.
    most_block: usize,
    /// How much passes before the next frame begins: at first the preface.
    passing: usize,
    /// What is held back: the beginning of a frame's head, or of a block.
    held: Vec<u8>,
    /// How much of that is done with, and how much after it is whole frames of a block.
    done: usize,
    whole: usize,
    /// What h2 is to read next.
    ready: Vec<u8>,
    /// The latest stream that was begun.
    latest: u32,
    is_lost: bool,
}

/// The malformed blocks of a connection that nobody has spoken of yet.
#[derive(Debug, Default)]
pub(super) struct Faults {
    found: Mutex<Vec<&'static str>>,
    heard: Notify,
}

impl Faults {
    /// More than anybody may have.
    const MOST: usize = 64;

    fn note(&self, fault: &'static str) {
        let mut found = self.found.lock();
        if found.len() < Faults::MOST {
            found.push(fault);
        }
        self.heard.notify_one();
    }

    /// The next ones.
    pub(super) async fn next(&self) -> Vec<&'static str> {
        self.heard.notified().await;
        std::mem::take(&mut *self.found.lock())
    }
}

impl Frames {
    /// Follows a stream that begins with a preface of so many bytes.
    pub(super) fn new(tap: Tap, preface: usize, most_block: usize) -> (Self, Arc<Faults>) {
        let faults = Arc::<Faults>::default();
        let frames = Frames {
            tap,
            faults: Arc::clone(&faults),
            fields: Fields::new(),
            small: SmallFrames::behind(preface),
            most_block,
            passing: preface,
            held: Vec::new(),
            done: 0,
            whole: 0,
            ready: Vec::new(),
            latest: 0,
            is_lost: false,
        };
        (frames, faults)
    }

    /// How much of what was read next passes at once. The rest is held back, or comes in another
    /// form.
    fn follow(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while self.held.is_empty() && passed < bytes.len() {
            let left = bytes.len() - passed;
            match (self.passing, Head::of(&bytes[passed..])) {
                (1.., _) => {
                    let count = self.passing.min(left);
                    self.passing -= count;
                    passed += count;
                }
                (0, Some(head)) if !matches!(head.kind, HEADERS | CONTINUATION | PUSH_PROMISE) => {
                    self.passing = HEAD + head.length;
                }
                (0, _) => break,
            }
        }
        self.held.extend_from_slice(&bytes[passed..]);
        while self.done < self.held.len() && self.advance() {}
        self.held.drain(..std::mem::take(&mut self.done));
        if self.held.is_empty() {
            self.held = Vec::new();
        }
        passed
    }

    /// Goes on with what is held. Whether there is more to do.
    fn advance(&mut self) -> bool {
        let next = self.done + self.whole;
        let Some(head) = Head::of(&self.held[next..]) else {
            return self.bound();
        };
        let is_of_block = matches!(head.kind, HEADERS | CONTINUATION | PUSH_PROMISE);
        if self.whole == 0 && !is_of_block {
            return self.pass(HEAD + head.length);
        }
        let expected = if self.whole > 0 {
            CONTINUATION
        } else {
            HEADERS
        };
        if head.kind != expected || head.length > MOST_FRAME {
            return self.lose();
        }
        if self.held.len() - next < HEAD + head.length {
            return self.bound();
        }
        self.whole += HEAD + head.length;
        match head.has(END_HEADERS) {
            true => self.examine(),
            false => true,
        }
    }

    /// A block that is too large is h2's to refuse.
    fn bound(&mut self) -> bool {
        self.held.len() - self.done > self.most_block && self.lose()
    }

    fn lose(&mut self) -> bool {
        self.is_lost = true;
        self.ready.extend_from_slice(&self.held[self.done..]);
        self.done = self.held.len();
        false
    }

    /// Lets a frame pass that has nothing to do with fields.
    fn pass(&mut self, length: usize) -> bool {
        let held = &self.held[self.done..];
        let count = length.min(held.len());
        self.ready.extend_from_slice(&held[..count]);
        self.done += count;
        self.passing = length - count;
        self.passing == 0
    }

    /// Looks at a whole block. Even streams are not for clients to begin (RFC 9113 section 5.1.1).
    fn examine(&mut self) -> bool {
        let end = self.done + std::mem::take(&mut self.whole);
        let frames = &self.held[self.done..end];
        let block = block_of(frames).filter(|(head, _)| head.stream % 2 == 1);
        let Some((head, block)) = block else {
            return self.lose();
        };
        let is_trailers = head.stream <= self.latest;
        self.latest = self.latest.max(head.stream);
        match self.fields.read(&block, is_trailers) {
            Block::Unreadable => return self.lose(),
            Block::Sound => self.ready.extend_from_slice(frames),
            Block::Malformed(fault, instead) => {
                self.faults.note(fault);
                put_block(head, &instead, &mut self.ready);
            }
        }
        self.done = end;
        true
    }

    /// Reads what is there already, or from the client. `None` where all of that is held back.
    fn poll_some(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<()>>> {
        if !self.ready.is_empty() {
            let count = self.ready.len().min(buf.remaining());
            buf.put_slice(&self.ready[..count]);
            self.ready.drain(..count);
            if self.ready.is_empty() {
                self.ready = Vec::new();
            }
            return Poll::Ready(Ok(Some(())));
        }
        let before = buf.filled().len();
        let Poll::Ready(read) = Pin::new(&mut self.tap).poll_read(cx, buf) else {
            self.small.rest();
            return Poll::Pending;
        };
        read?;
        if self.is_lost || buf.filled().len() == before {
            return Poll::Ready(Ok(Some(())));
        }
        let count = self.small.join(&mut buf.filled_mut()[before..]);
        let passed = self.follow(&buf.filled()[before..before + count]);
        buf.set_filled(before + passed);
        Poll::Ready(Ok((passed > 0).then_some(())))
    }
}

/// The block that these frames carry, and the first one's head. `None` where they are not
/// well-formed.
fn block_of(frames: &[u8]) -> Option<(Head, Cow<'_, [u8]>)> {
    let first = Head::of(frames)?;
    let (mut payload, mut rest) = frames[HEAD..].split_at_checked(first.length)?;
    let mut padding = 0;
    if first.has(PADDED) {
        let (count, unpadded) = payload.split_first()?;
        (padding, payload) = (usize::from(*count), unpadded);
    }
    if first.has(PRIORITY) {
        payload = payload.get(5..)?;
    }
    let mut block = Cow::from(payload.get(..payload.len().checked_sub(padding)?)?);
    while let Some(head) = Head::of(rest).filter(|head| head.stream == first.stream) {
        let (payload, after) = rest[HEAD..].split_at_checked(head.length)?;
        block.to_mut().extend_from_slice(payload);
        rest = after;
    }
    rest.is_empty().then_some((first, block))
}

/// Appends frames that carry a block on the same stream.
fn put_block(first: Head, block: &[u8], frames: &mut Vec<u8>) {
    let parts = block.len().div_ceil(MOST_FRAME);
    for (number, part) in block.chunks(MOST_FRAME).enumerate() {
        let (kind, flags) = match number {
            0 => (HEADERS, first.flags & END_STREAM),
            _ => (CONTINUATION, 0),
        };
        let is_last = number + 1 == parts;
        let head = Head {
            length: part.len(),
            kind,
            flags: flags | if is_last { END_HEADERS } else { 0 },
            stream: first.stream,
        };
        frames.extend_from_slice(&head.bytes());
        frames.extend_from_slice(part);
    }
}

impl AsyncRead for Frames {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let frames = self.get_mut();
        ready!(frames.small.poll_turn(cx));
        while ready!(frames.poll_some(cx, buf))?.is_none() {}
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Frames {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tap).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tap).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tap).poll_shutdown(cx)
    }
}
