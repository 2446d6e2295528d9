//! Dials targets: TCP, what is said before all else, and TLS where the target has it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::{Error, ErrorType, OrErr as _, Result};
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::carrier::{Carrier, Ticket};
use super::pool::Pool;
use crate::stream::TargetStream;
use crate::target_address::TargetAddress;
use crate::target_group::{Target, Tls, unix_socket};

/// Connects to a target for one exchange, or finds a connection that waits.
pub struct Dialler {
    /// Where connections wait that may be used again, and under which key; `None` where there are
    /// none.
    pub pool: Option<(Arc<Pool>, u64)>,
    /// What the target hears before all else.
    pub header: Vec<u8>,
    /// The target.
    pub target: Arc<Target>,
    /// Whether the target is offered HTTP/2.
    pub offers_http2: bool,
    /// Whether the request has a body.
    pub has_body: bool,
}

/// A connection to a target.
#[derive(Debug)]
pub(crate) enum Found {
    /// For one exchange at a time.
    Own(TargetStream),
    /// For many: the right to use it for one.
    Shared(Ticket),
}

impl Dialler {
    /// A connection that is there already.
    pub(crate) fn waiting(&self) -> Option<Found> {
        let (pool, key) = self.pool.as_ref()?;
        if self.offers_http2
            && let Some(ticket) = pool.ticket(*key, self.has_body)
        {
            return Some(Found::Shared(ticket));
        }
        pool.take(*key).map(Found::Own)
    }

    /// A new connection, within this time.
    pub(crate) async fn open(&self, limit: Duration) -> Result<Found> {
        timeout(limit, self.begin())
            .await
            .or_err(ErrorType::ConnectTimedout, "connecting")?
    }

    /// Connects, and begins HTTP/2 where the target is for it.
    async fn begin(&self) -> Result<Found> {
        let stream = self.open_stream().await?;
        if !self.offers_http2 {
            return Ok(Found::Own(stream));
        }
        if !stream.has_chosen_http2() {
            self.target.chose_http1();
            return Ok(Found::Own(stream));
        }
        let carrier = Box::pin(Carrier::begin(stream)).await.map_err(failed)?;
        let ticket = carrier
            .ticket(self.has_body)
            .ok_or_else(|| Error::new_up(ErrorType::ConnectError))?;
        if let Some((pool, key)) = &self.pool {
            pool.share(*key, carrier);
        }
        Ok(Found::Shared(ticket))
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
    Ok(TargetStream::Tls(stream))
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // The request follows at once. Its packet carries the ACK of the target's SYN, which would be
    // one of its own otherwise, and wake the target for nothing.
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
