//! One direction of a tunnel: what is read from the sender is written to the receiver, and nothing
//! is kept meanwhile but what the receiver does not take.
//!
//! It passes bytes on until the sender's FIN, which is passed on too. When the tunnel is to be
//! ended it goes on to the end of the frame that it is in, puts a Close frame there, and from then
//! on discards what still comes, up to the sender's own Close. A receiver from which no answer is
//! awaited any more gets a FIN as well: some notice nothing else.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use serde::{Deserialize, Serialize, Serializer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{CloseFrame, Follower};
use crate::base64_text;

/// How often one wake-up may read in one direction, so that a busy tunnel leaves room for the
/// others.
const READS: usize = 4;

/// One direction of a tunnel.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Flow {
    follower: Follower,
    stage: Stage,
    rest: Rest,
    passed: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Stage {
    /// Bytes pass.
    Passing,
    /// Bytes pass up to the end of their frame; then comes this.
    Closing(CloseFrame),
    /// Nothing passes any more; the sender's Close frame is awaited, or its FIN.
    Discarding { is_receiver_ended: bool },
    /// The sender has ended. What is left is written, then a FIN.
    Finishing,
    /// Nothing is left to do.
    Over,
}

/// What became of a direction in one wake-up.
#[derive(Debug)]
pub(super) enum Pumped {
    /// It waits: for bytes, for room, or for nothing any more.
    Waits,
    /// There may be more to do at once.
    HasMore,
    /// The sender's connection broke. What it sent before is still being written.
    SenderBroke(io::Error),
    /// The receiver's connection broke.
    ReceiverBroke(io::Error),
}

impl Flow {
    /// A direction in which `early` was read already.
    pub(super) fn new(mut follower: Follower, early: Vec<u8>) -> Self {
        follower.follow(&early);
        let passed = early.len() as u64;
        let rest = Rest {
            bytes: early,
            ..Rest::default()
        };
        Flow {
            follower,
            stage: Stage::Passing,
            rest,
            passed,
        }
    }

    /// Bytes that were passed on.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// What is known of the frames.
    pub(super) fn follower(&self) -> &Follower {
        &self.follower
    }

    /// Whether the sender has ended.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Finishing | Stage::Over)
    }

    /// Whether the sender has said its last, or its Close would not be known for one.
    pub(super) fn is_not_awaited(&self) -> bool {
        self.has_ended() || self.follower.is_off()
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over) && self.rest.is_empty()
    }

    /// Nothing of it matters any more.
    pub(super) fn give_up(&mut self) {
        self.stage = Stage::Over;
        self.rest = Rest::default();
    }

    /// Ends the direction: with this frame where the framing is known and nobody has said Close in
    /// it yet.
    pub(super) fn close(&mut self, frame: CloseFrame) {
        if matches!(self.stage, Stage::Passing) {
            self.stage = Stage::Closing(frame);
        }
    }

    /// Whether neither this direction nor the other has anything left to pass once one of them has
    /// ended: the other is over, or both have had a Close frame, after which nothing comes (RFC
    /// 6455 section 5.5.1).
    pub(super) fn is_last(&self, other: &Flow) -> bool {
        let have_said_close = self.follower.close().is_some() && other.follower.close().is_some();
        other.is_over() || have_said_close && other.rest.is_empty()
    }

    /// Does what can be done now, within bounds. When it ends last nobody has to be sent a FIN, for
    /// the sockets are closed anyway.
    pub(super) fn pump<S: AsyncRead + Unpin, R: AsyncWrite + Unpin>(
        &mut self,
        sender: &mut S,
        receiver: &mut R,
        scratch: &mut [u8],
        other: &Flow,
        cx: &mut Context<'_>,
    ) -> Pumped {
        for _ in 0..READS {
            match self.step(sender, receiver, scratch, other, cx) {
                Poll::Pending => return Pumped::Waits,
                Poll::Ready(Ok(())) if self.is_over() => return Pumped::Waits,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(fault)) => return fault,
            }
        }
        Pumped::HasMore
    }

    fn step<S: AsyncRead + Unpin, R: AsyncWrite + Unpin>(
        &mut self,
        sender: &mut S,
        receiver: &mut R,
        scratch: &mut [u8],
        other: &Flow,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Pumped>> {
        ready!(self.rest.poll_write(receiver, cx)).map_err(|error| self.receiver_broke(error))?;
        match &self.stage {
            Stage::Over => return Poll::Ready(Ok(())),
            Stage::Finishing if self.is_last(other) => {
                self.stage = Stage::Over;
                return Poll::Ready(Ok(()));
            }
            Stage::Finishing => {
                let ended = ready!(Pin::new(receiver).poll_shutdown(cx));
                self.stage = Stage::Over;
                return Poll::Ready(ended.map_err(|error| self.receiver_broke(error)));
            }
            Stage::Closing(frame) if self.follower.is_at_boundary() || self.follower.is_off() => {
                let frame = frame.clone();
                self.say_close(&frame);
                return Poll::Ready(Ok(()));
            }
            Stage::Discarding {
                is_receiver_ended: false,
            } if self.follower.is_off() || other.is_not_awaited() => {
                // Whether it hears that or is gone already: it has been told all that it will be.
                let is_receiver_ended = Pin::new(&mut *receiver).poll_shutdown(cx).is_ready();
                self.stage = Stage::Discarding { is_receiver_ended };
            }
            Stage::Passing | Stage::Closing(_) | Stage::Discarding { .. } => {}
        }
        let mut buf = ReadBuf::new(scratch);
        let read = ready!(Pin::new(sender).poll_read(cx, &mut buf));
        Poll::Ready(match read {
            Ok(()) if buf.filled().is_empty() => {
                self.sender_ended();
                Ok(())
            }
            Ok(()) => self.take(buf.filled(), receiver, cx),
            Err(error) => {
                self.sender_ended();
                Err(Pumped::SenderBroke(error))
            }
        })
    }

    /// Puts our Close frame where the stream stands between two frames. Where the sender has said
    /// Close itself there is nothing to say, and where the framing is not known nothing but a FIN.
    fn say_close(&mut self, frame: &CloseFrame) {
        if self.follower.close().is_some() {
            self.stage = Stage::Over;
            return;
        }
        if !self.follower.is_off() {
            self.rest.push(frame);
        }
        self.stage = Stage::Discarding {
            is_receiver_ended: false,
        };
    }

    fn sender_ended(&mut self) {
        self.stage = match self.stage {
            Stage::Discarding { .. } | Stage::Over => Stage::Over,
            Stage::Passing | Stage::Closing(_) | Stage::Finishing => Stage::Finishing,
        };
    }

    fn receiver_broke(&mut self, error: io::Error) -> Pumped {
        self.stage = Stage::Over;
        self.rest = Rest::default();
        Pumped::ReceiverBroke(error)
    }

    fn take<R: AsyncWrite + Unpin>(
        &mut self,
        bytes: &[u8],
        receiver: &mut R,
        cx: &mut Context<'_>,
    ) -> Result<(), Pumped> {
        match &self.stage {
            Stage::Passing => {
                self.follower.follow(bytes);
                self.pass(bytes, receiver, cx)
            }
            Stage::Closing(frame) => {
                let frame = frame.clone();
                let (passing, discarded) = bytes.split_at(self.follower.follow_to_boundary(bytes));
                self.pass(passing, receiver, cx)?;
                if self.follower.is_at_boundary() || self.follower.is_off() {
                    self.say_close(&frame);
                }
                self.discard(discarded);
                Ok(())
            }
            Stage::Discarding { .. } | Stage::Finishing | Stage::Over => {
                self.discard(bytes);
                Ok(())
            }
        }
    }

    fn pass<R: AsyncWrite + Unpin>(
        &mut self,
        bytes: &[u8],
        receiver: &mut R,
        cx: &mut Context<'_>,
    ) -> Result<(), Pumped> {
        self.passed += bytes.len() as u64;
        let written = self.rest.write(bytes, receiver, cx);
        written.map_err(|error| self.receiver_broke(error))
    }

    fn discard(&mut self, bytes: &[u8]) {
        self.follower.follow(bytes);
        if self.follower.close().is_some() {
            self.stage = Stage::Over;
        }
    }
}

/// Bytes that the receiver has not taken yet. No memory is held while there are none.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rest {
    #[serde(with = "base64_text")]
    bytes: Vec<u8>,
    #[serde(skip)]
    written: usize,
    /// The receiver has taken bytes that have not left it yet: TLS has a buffer of its own.
    is_stuck: bool,
}

/// What is left of it alone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Left<'a> {
    #[serde(serialize_with = "base64_text::serialize")]
    bytes: &'a [u8],
    is_stuck: bool,
}

impl Serialize for Rest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let left = Left {
            bytes: self.bytes.get(self.written..).unwrap_or_default(),
            is_stuck: self.is_stuck,
        };
        left.serialize(serializer)
    }
}

impl Rest {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.is_stuck
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes bytes, and keeps those for which there is no room.
    fn write<R: AsyncWrite + Unpin>(
        &mut self,
        mut bytes: &[u8],
        receiver: &mut R,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            match Pin::new(&mut *receiver).poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => bytes = &bytes[count..],
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    *self = Rest {
                        bytes: bytes.to_vec(),
                        ..Rest::default()
                    };
                    break;
                }
            }
        }
        match self.poll_flush(receiver, cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }

    fn poll_flush<R: AsyncWrite + Unpin>(
        &mut self,
        receiver: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let flushed = Pin::new(receiver).poll_flush(cx);
        self.is_stuck = flushed.is_pending();
        flushed
    }

    fn poll_write<R: AsyncWrite + Unpin>(
        &mut self,
        receiver: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.written < self.bytes.len() {
            let left = &self.bytes[self.written..];
            match ready!(Pin::new(&mut *receiver).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        ready!(self.poll_flush(receiver, cx))?;
        *self = Rest::default();
        Poll::Ready(Ok(()))
    }
}
