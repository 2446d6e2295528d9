//! Dials targets: TCP, what is said before all else, and TLS where the target has it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::l4::Connect;
use pingora::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::VirtualSocketStream;
use pingora::{Error, ErrorType, OrErr as _, Result};
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::target_tap::{Purpose, TargetTap};
use super::wire::with_wire;
use super::{Pool, TargetStream};
use crate::target_group::{Sources, Target, Tls};

/// Connects to a target for one exchange, or finds a connection that waits.
pub struct Dialler {
    /// Where connections wait that may be used again, and under which key; `None` where there are none.
    pub pool: Option<(Arc<Pool>, u64)>,
    /// How long a connect, with its TLS, may take; that of a handshake no longer than it has left.
    pub limit: Duration,
    /// What the target hears before all else.
    pub header: Vec<u8>,
    /// The target.
    pub target: Arc<Target>,
    /// What for.
    pub purpose: Purpose,
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialler")
    }
}

#[async_trait]
impl Connect for Dialler {
    async fn connect(&self, address: &PeerAddress) -> Result<Stream> {
        let kept = self.pool.as_ref().and_then(|(pool, key)| pool.take(*key));
        let left = with_wire(|wire| {
            wire.connected(kept.is_some());
            wire.handshake_left()
        });
        let limit = match self.purpose {
            Purpose::Handshake => self.limit.min(left.unwrap_or_default()),
            Purpose::Request | Purpose::Stream => self.limit,
        };
        let stream = match kept {
            Some(stream) => stream,
            None => within(limit, open_stream(address, &self.header, &self.target)).await?,
        };
        let tap = TargetTap::new(stream, self.pool.clone(), self.purpose);
        Ok(VirtualSocketStream::new(Box::new(tap)).into())
    }
}

/// Connects to a target of HTTP/2, from where its group says; what goes over the connection is Pingora's.
pub struct SharedDialler {
    /// How long a connect may take.
    pub limit: Duration,
    /// Where it leaves from.
    pub sources: Arc<Sources>,
}

impl fmt::Debug for SharedDialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedDialler")
    }
}

#[async_trait]
impl Connect for SharedDialler {
    async fn connect(&self, address: &PeerAddress) -> Result<Stream> {
        let connecting = open(address, &[], &self.sources);
        Ok(within(self.limit, connecting).await?.into())
    }
}

/// Connects to a target, with TLS where it has it.
async fn open_stream(
    address: &PeerAddress,
    header: &[u8],
    target: &Target,
) -> Result<TargetStream> {
    let socket = open(address, header, &target.sources).await?;
    match &target.tls {
        None => Ok(TargetStream::Plain(socket)),
        Some(tls) => shake_hands(tls, socket).await,
    }
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
