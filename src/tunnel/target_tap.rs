//! The target's side of a handshake: dials, with TLS where the target has it, and stands around the stream until the 101.
//!
//! It shows Pingora one head after the other, and nothing of what follows a 101: that head's last byte takes the socket to the
//! wire, where the tap of the client's side fetches it. After any other answer the stream is as it would be without it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
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
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::heads::Answer;
use super::relay::End;
use super::{TargetStream, Wire};
use crate::target_group::{Sources, Target, Tls};

/// Connects to the target of a handshake.
pub struct Dialler {
    wire: Arc<Wire>,
    limit: Duration,
    header: Vec<u8>,
    target: Arc<Target>,
}

impl Dialler {
    /// For the handshake on this connection; a connect, with its TLS, may take `limit`, and what the handshake has left. `header`
    /// is what the target hears before all else.
    pub fn new(wire: Arc<Wire>, limit: Duration, header: Vec<u8>, target: Arc<Target>) -> Self {
        Dialler {
            wire,
            limit,
            header,
            target,
        }
    }

    async fn open(&self, address: &PeerAddress) -> Result<TargetStream> {
        let socket = open(address, &self.header, &self.target.sources).await?;
        match &self.target.tls {
            None => Ok(TargetStream::Plain(socket)),
            Some(tls) => shake_hands(tls, socket).await,
        }
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
        let limit = self.limit.min(self.wire.handshake_left());
        let stream = within(limit, self.open(address)).await?;
        let tap = TargetTap::new(stream, Arc::clone(&self.wire));
        Ok(VirtualSocketStream::new(Box::new(tap)).into())
    }
}

/// Connects to a target within `limit`, and sends it these bytes before all else.
pub async fn dial(
    address: &PeerAddress,
    limit: Duration,
    header: &[u8],
    sources: &Sources,
) -> Result<TcpStream> {
    within(limit, open(address, header, sources)).await
}

async fn within<T>(limit: Duration, connecting: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(limit, connecting)
        .await
        .or_err(ErrorType::ConnectTimedout, "connecting")?
}

async fn open(address: &PeerAddress, header: &[u8], sources: &Sources) -> Result<TcpStream> {
    let address = address.as_inet();
    let address = *address.ok_or_else(|| Error::new_up(ErrorType::ConnectError))?;
    let failed = |error: io::Error| Error::because(type_of(&error), "connecting", error);
    let mut stream = match sources.serve(address) {
        true => sources.connect(address).await?,
        false => connect(address).await.map_err(failed)?,
    };
    stream.write_all(header).await.map_err(failed)?;
    Ok(stream)
}

/// Boxed, so that plain connections do not pay for its size.
async fn shake_hands(tls: &Tls, socket: TcpStream) -> Result<TargetStream> {
    let stream = Box::pin(tls.connect(socket)).await;
    let stream = stream.or_err(ErrorType::TLSHandshakeFailure, "TLS handshake")?;
    Ok(TargetStream::Tls(Box::new(stream)))
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // The request follows at once. Its packet carries the ACK of the target's SYN, which would be one of its own otherwise, and
    // wake the target for nothing.
    SockRef::from(&socket).set_tcp_quickack(false)?;
    socket.connect(address).await
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
    stream: Option<TargetStream>,
    wire: Arc<Wire>,
    answer: Answer,
}

impl TargetTap {
    fn new(stream: TargetStream, wire: Arc<Wire>) -> Self {
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
            (VirtualSockOpt::NoDelay, Some(stream)) => stream.socket().set_nodelay(true),
            _ => Ok(()),
        }
    }
}
