//! One health check: what is asked of a target, and whether it can do it.
//!
//! What its target answers is read with bounds.

mod failure;
mod grpc;
mod http;
mod websocket;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::model::{self, ProxyProtocol};
use crate::os::keepalive::unless_unix;
use crate::target_address::TargetAddress;
use crate::target_group::Target;
use crate::target_group::unix_socket;
pub(super) use failure::Failure;

/// "UNKNOWN" and "LOCAL": the connection is nobody's but ours.
const OURS_V1: &[u8] = b"PROXY UNKNOWN\r\n";
const OURS_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// How the targets of a group are checked.
pub(super) struct HealthCheck {
    check: model::Check,
    port: Option<u16>,
    timeout: Duration,
}

impl HealthCheck {
    pub(super) fn new(settings: &model::HealthCheck) -> Self {
        HealthCheck {
            check: settings.check.clone(),
            port: settings.port,
            timeout: settings.check_timeout,
        }
    }

    /// Checks a target, once.
    pub(super) async fn run(&self, target: &Target) -> Result<(), Failure> {
        let late = |_| Failure::because(format!("no result within {:?}", self.timeout));
        timeout(self.timeout, self.check(target))
            .await
            .map_err(late)?
    }

    async fn check(&self, target: &Target) -> Result<(), Failure> {
        let address = self.address(target);
        let mut socket = connect(&address).await?;
        if let model::Check::Tcp = self.check {
            return Ok(());
        }
        unless_unix(socket.set_nodelay(true))?;
        socket.write_all(ours(target.proxy_protocol)).await?;
        let host = target.tls.as_ref().and_then(|tls| tls.host());
        let host = host.map_or_else(|| address.host(), str::to_owned);
        match &target.tls {
            None => self.speak(socket, &host, false).await,
            Some(tls) => {
                let needs_http2 = matches!(self.check, model::Check::Grpc(_));
                let shaking_hands = tls.connect(socket, needs_http2).await;
                let stream =
                    shaking_hands.map_err(|error| Failure::because(format!("no TLS: {error}")))?;
                if needs_http2 && !stream.has_chosen_http2() {
                    return Err(Failure::because("no HTTP/2 was agreed upon (ALPN)"));
                }
                self.speak(stream, &host, true).await
            }
        }
    }

    /// Where the target is checked. A Unix socket has no ports.
    fn address(&self, target: &Target) -> TargetAddress {
        let mut address = target.address.clone();
        let port = target.check_port.or(self.port);
        if let (TargetAddress::Inet(address), Some(port)) = (&mut address, port) {
            address.set_port(port);
        }
        address
    }

    async fn speak<S>(&self, stream: S, host: &str, is_tls: bool) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        match &self.check {
            model::Check::Tcp => Ok(()),
            model::Check::Http(check) => http::check(check, stream, host).await,
            model::Check::Grpc(check) => grpc::check(check, stream, host, is_tls).await,
            model::Check::WebSocket(check) => websocket::check(check, stream, host).await,
        }
    }
}

async fn connect(address: &TargetAddress) -> io::Result<TcpStream> {
    match address {
        TargetAddress::Inet(address) => TcpStream::connect(address).await,
        TargetAddress::Unix(path) => unix_socket::connect(path).await,
    }
}

/// The header with which a connection of nobody's begins.
fn ours(version: Option<ProxyProtocol>) -> &'static [u8] {
    match version {
        None => b"",
        Some(ProxyProtocol::V1) => OURS_V1,
        Some(ProxyProtocol::V2 | ProxyProtocol::V2Ssl) => OURS_V2,
    }
}
