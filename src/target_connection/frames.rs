//! What a target of HTTP/2 sends, on its way to h2: small frames are joined.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::{SmallFrames, TargetStream};

/// A target's stream, followed.
#[derive(Debug)]
pub(super) struct Frames {
    stream: TargetStream,
    small: SmallFrames,
}

impl Frames {
    pub(super) fn new(stream: TargetStream) -> Self {
        Frames {
            stream,
            small: SmallFrames::behind(0),
        }
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
        let before = buf.filled().len();
        let Poll::Ready(read) = Pin::new(&mut frames.stream).poll_read(cx, buf) else {
            frames.small.rest();
            return Poll::Pending;
        };
        read?;
        let count = frames.small.join(&mut buf.filled_mut()[before..]);
        buf.set_filled(before + count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Frames {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
