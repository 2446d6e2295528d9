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

use super::carrier::{Carrier, Ticket};
use super::pool::Pool;
use crate::stream::{TargetStream, with_wire};
use crate::tap::{Http2Tap, Purpose, TargetTap};
use crate::target_address::TargetAddress;
use crate::target_group::{Target, Tls, unix_socket};

/// Connects to a target for one exchange, or finds a connection that waits.
pub struct Dialler {
    /// Where connections wait that may be used again, and under which key; `None` where there are none.
    pub pool: Option<(Arc<Pool>, u64)>,
    /// How long a connect, with its TLS, may take; that of a handshake no longer than it has left.
    pub limit: Duration,
    /// How long the target may be silent while something is awaited from it.
    pub silence: Duration,
    /// What the target hears before all else.
    pub header: Vec<u8>,
    /// The target.
    pub target: Arc<Target>,
    /// What for.
    pub purpose: Purpose,
    /// Whether the target is offered HTTP/2.
    pub offers_http2: bool,
    /// Whether the request has a body.
    pub has_body: bool,
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialler")
    }
}

#[async_trait]
impl Connect for Dialler {
    async fn connect(&self, _: &PeerAddress) -> Result<Stream> {
        if let Some(ticket) = self.ticket() {
            with_wire(|wire| wire.connected(true, true));
            return Ok(self.tap_shared(ticket));
        }
        let kept = self.pool.as_ref().and_then(|(pool, key)| pool.take(*key));
        let left = with_wire(|wire| {
            wire.connected(kept.is_some(), false);
            wire.handshake_left()
        });
        let limit = match self.purpose {
            Purpose::Handshake => self.limit.min(left.unwrap_or_default()),
            Purpose::Request | Purpose::Stream => self.limit,
        };
        let stream = match kept {
            Some(stream) => stream,
            None => match within(limit, self.open()).await? {
                Opened::Own(stream) => stream,
                Opened::Shared(ticket) => {
                    with_wire(|wire| wire.connected(false, true));
                    return Ok(self.tap_shared(ticket));
                }
            },
        };
        let tap = TargetTap::new(stream, self.pool.clone(), self.purpose, self.silence);
        Ok(VirtualSocketStream::new(Box::new(tap)).into())
    }
}

/// A connection to a target.
enum Opened {
    /// For one exchange at a time.
    Own(TargetStream),
    /// For many.
    Shared(Ticket),
}

impl Dialler {
    /// The right to use a connection of HTTP/2 that is there already.
    fn ticket(&self) -> Option<Ticket> {
        let (pool, key) = self.pool.as_ref().filter(|_| self.offers_http2)?;
        pool.ticket(*key, self.has_body)
    }

    fn tap_shared(&self, ticket: Ticket) -> Stream {
        let tap = Http2Tap::new(ticket, self.purpose, self.silence);
        VirtualSocketStream::new(Box::new(tap)).into()
    }

    /// Connects, and begins HTTP/2 where the target is for it.
    async fn open(&self) -> Result<Opened> {
        let stream = self.open_stream().await?;
        if !self.offers_http2 {
            return Ok(Opened::Own(stream));
        }
        if !stream.has_chosen_http2() {
            self.target.chose_http1();
            return Ok(Opened::Own(stream));
        }
        let carrier = Box::pin(Carrier::begin(stream)).await.map_err(failed)?;
        let ticket = carrier
            .ticket(self.has_body)
            .ok_or_else(|| Error::new_up(ErrorType::ConnectError))?;
        if let Some((pool, key)) = &self.pool {
            pool.share(*key, carrier);
        }
        Ok(Opened::Shared(ticket))
    }

    /// Connects, with TLS where the target has it.
    async fn open_stream(&self) -> Result<TargetStream> {
        let socket = open(&self.target, &self.header).await?;
        match &self.target.tls {
            None => Ok(TargetStream::Plain(socket)),
            Some(tls) => shake_hands(tls, socket, self.offers_http2).await,
        }
    }
}

async fn within<T>(limit: Duration, connecting: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(limit, connecting)
        .await
        .or_err(ErrorType::ConnectTimedout, "connecting")?
}

async fn open(target: &Target, header: &[u8]) -> Result<TcpStream> {
    let sources = &target.sources;
    let mut stream = match &target.address {
        TargetAddress::Unix(path) => unix_socket::connect(path).await.map_err(failed)?,
        TargetAddress::Inet(address) if sources.serve(*address) => {
            sources.connect(*address).await?
        }
        TargetAddress::Inet(address) => connect(*address).await.map_err(failed)?,
    };
    stream.write_all(header).await.map_err(failed)?;
    Ok(stream)
}

fn failed(error: io::Error) -> Box<Error> {
    Error::because(type_of(&error), "connecting", error)
}

/// Boxed, so that plain connections do not pay for its size.
async fn shake_hands(tls: &Tls, socket: TcpStream, offers_http2: bool) -> Result<TargetStream> {
    let stream = Box::pin(tls.connect(socket, offers_http2)).await;
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
