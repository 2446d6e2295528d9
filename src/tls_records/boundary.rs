//! A socket below rustls, of which is known whether what was read ends with a record: what rustls
//! has of one that is not whole cannot be taken from it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::keys::HEAD;

/// A socket whose records are followed.
#[derive(Debug)]
pub(crate) struct Boundary<S> {
    socket: S,
    follower: Follower,
}

#[derive(Debug, Default)]
struct Follower {
    head: [u8; HEAD],
    /// How much of a head has come.
    begun: usize,
    /// How much of a body is still to come.
    left: usize,
}

impl<S> Boundary<S> {
    /// A socket from which whole records have been read, or nothing.
    pub(crate) fn new(socket: S) -> Self {
        Boundary {
            socket,
            follower: Follower::default(),
        }
    }

    /// The socket below.
    pub(crate) fn get_ref(&self) -> &S {
        &self.socket
    }

    /// The socket below, which is not followed any more.
    pub(crate) fn into_inner(self) -> S {
        self.socket
    }

    /// Whether what was read ends with a record.
    pub(crate) fn is_whole(&self) -> bool {
        (self.follower.begun, self.follower.left) == (0, 0)
    }
}

impl Follower {
    fn follow(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            if self.left > 0 {
                let count = self.left.min(bytes.len());
                self.left -= count;
                bytes = &bytes[count..];
                continue;
            }
            bytes = rest;
            self.head[self.begun] = *first;
            self.begun += 1;
            if self.begun == HEAD {
                let [.., high, low] = self.head;
                self.left = u16::from_be_bytes([high, low]).into();
                self.begun = 0;
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Boundary<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let boundary = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut boundary.socket).poll_read(cx, buf))?;
        boundary.follower.follow(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Boundary<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_whole_after_each_record_and_nowhere_else() {
        let records = [
            &[22, 3, 3, 0, 2, 9, 9][..],
            &[20, 3, 3, 0, 0],
            &[23, 3, 3, 1, 0],
        ]
        .concat();
        let all = [&records[..], &[7; 256]].concat();
        for step in [1, 3, all.len()] {
            let mut boundary = Boundary::new(());
            let mut read = 0;
            for part in all.chunks(step) {
                boundary.follower.follow(part);
                read += part.len();
                let is_end = [7, 12, all.len()].contains(&read);
                assert_eq!(boundary.is_whole(), is_end, "{read} in steps of {step}");
            }
        }
    }
}
