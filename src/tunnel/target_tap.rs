//! The target's side of a handshake: dials, and stands around the stream until the 101.
//!
//! It shows Pingora one head after the other, and nothing of what follows a 101: that head's last byte takes the socket to the
//! wire, where the tap of the client's side fetches it. After any other answer the stream is as it would be without it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::l4::Connect;
use pingora::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, OrErr as _, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Wire;
use super::heads::HeadEnd;
use super::relay::End;

/// Connects to the target of a handshake.
pub struct Dialler {
    wire: Arc<Wire>,
    limit: Duration,
}

impl Dialler {
    /// For the handshake on this connection; a connect may take `limit`.
    pub fn new(wire: Arc<Wire>, limit: Duration) -> Self {
        Dialler { wire, limit }
    }
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialler")
    }
}

#[async_trait]
impl Connect for Dialler {
    async fn connect(&self, address: &PeerAddress) -> Result<Stream> {
        let address = address.as_inet();
        let address = address.ok_or_else(|| Error::new_up(ErrorType::ConnectError))?;
        let connected = timeout(self.limit, TcpStream::connect(address)).await;
        let stream = connected
            .or_err(ErrorType::ConnectTimedout, "connecting")?
            .map_err(|error| Error::because(type_of(&error), "connecting", error))?;
        let tap = TargetTap::new(stream, Arc::clone(&self.wire));
        Ok(VirtualSocketStream::new(Box::new(tap)).into())
    }
}

fn type_of(error: &io::Error) -> ErrorType {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ErrorType::ConnectNoRoute
        }
        _ => ErrorType::ConnectError,
    }
}

/// A target's stream, tapped.
#[derive(Debug)]
struct TargetTap {
    /// `None` once it waits on the wire, or was handed over.
    stream: Option<TcpStream>,
    wire: Arc<Wire>,
    answer: Answer,
}

impl TargetTap {
    fn new(stream: TcpStream, wire: Arc<Wire>) -> Self {
        TargetTap {
            stream: Some(stream),
            wire,
            answer: Answer::default(),
        }
    }
}

impl AsyncRead for TargetTap {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        let Some(stream) = &mut tap.stream else {
            return if tap.wire.is_handed_over() {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            };
        };
        let before = buf.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buf))?;
        if let Some(count) = tap.answer.end_of_101(&buf.filled()[before..]) {
            let early = buf.filled()[before + count..].to_vec();
            buf.set_filled(before + count);
            if let Some(stream) = tap.stream.take() {
                tap.wire.bring_target(End { stream, early });
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TargetTap {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Some(stream) => Pin::new(stream).poll_write(cx, bytes),
            None => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Some(stream) => Pin::new(stream).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl VirtualSocket for TargetTap {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match (option, &self.stream) {
            (VirtualSockOpt::NoDelay, Some(stream)) => stream.set_nodelay(true),
            _ => Ok(()),
        }
    }
}

/// The heads of an answer, followed up to its last.
#[derive(Debug)]
struct Answer {
    head: HeadEnd,
    /// The beginning of the current head, up to its status: `HTTP/1.1 101`.
    start: Vec<u8>,
    is_last: bool,
}

const START: usize = "HTTP/1.1 101".len();

impl Default for Answer {
    fn default() -> Self {
        Answer {
            head: HeadEnd::default(),
            start: Vec::with_capacity(START),
            is_last: false,
        }
    }
}

impl Answer {
    /// Takes the next bytes of the answer; tells how many of them belong to heads if a 101 ends among them.
    fn end_of_101(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut passed = 0;
        while !self.is_last && passed < bytes.len() {
            let rest = &bytes[passed..];
            let end = self.head.find(rest);
            let head = &rest[..end.unwrap_or(rest.len())];
            let missing = (START - self.start.len()).min(head.len());
            self.start.extend_from_slice(&head[..missing]);
            passed += end?;
            match self.start.get(9..START) {
                Some(b"101") => return Some(passed),
                Some([b'1', ..]) => self.start.clear(),
                _ => self.is_last = true,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_101_is_found_however_the_answer_is_cut() {
        for (answer, end) in [
            ("HTTP/1.1 101 S\r\nA: b\r\n\r\n\x01\x02", Some(24)),
            (
                "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nA: b\r\n\r\nHTTP/1.1 101 S\r\n\r\nx",
                Some(60),
            ),
            ("HTTP/1.1 101 S\n\nHTTP/1.1 101 S\r\n\r\n", Some(16)),
            ("HTTP/1.1 403 F\r\n\r\nHTTP/1.1 101 S\r\n\r\n", None),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\nHTTP/1.1 101 S\r\n\r\n",
                None,
            ),
            ("garbage\r\n\r\nHTTP/1.1 101 S\r\n\r\n", None),
            ("", None),
        ] {
            for cut in 0..=answer.len() {
                let (first, second) = answer.as_bytes().split_at(cut);
                let mut heads = Answer::default();
                let found = heads.end_of_101(first);
                let found = found.or_else(|| Some(cut + heads.end_of_101(second)?));
                assert_eq!(found, end, "{answer:?} cut at {cut}");
            }
        }
    }
}
