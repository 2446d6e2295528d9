//! One health check: what is asked of a target, and whether it can do it.
//!
//! What its target answers is read with bounds, and a reason is a few words without anything of the
//! target's in them that could break a line of the log.

mod http;
mod websocket;

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::model::{self, ProxyProtocol};
use crate::os::keepalive::unless_unix;
use crate::os::open_files;
use crate::target_address::TargetAddress;
use crate::target_group::Target;
use crate::target_group::unix_socket;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 120;

/// "UNKNOWN" and "LOCAL": the connection is nobody's but ours.
const OURS_V1: &[u8] = b"PROXY UNKNOWN\r\n";
const OURS_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// Why a check did not pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// This process or machine has run out of something: nothing is known of the target.
    Shortage,
    /// The target failed, and how.
    Because(String),
}

impl Failure {
    fn because(words: impl Into<String>) -> Self {
        let words: String = words.into();
        let plain = words.chars().map(|c| if c.is_control() { ' ' } else { c });
        Failure::Because(plain.take(LONGEST_REASON).collect())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let is_out_of_ports = Errno::from_io_error(&error) == Some(Errno::ADDRNOTAVAIL);
        if is_out_of_ports || open_files::is_short(&error) {
            return Failure::Shortage;
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::because("connection refused"),
            io::ErrorKind::ConnectionReset => Failure::because("connection reset"),
            io::ErrorKind::UnexpectedEof => Failure::because("the connection was closed"),
            io::ErrorKind::TimedOut => Failure::because("connecting timed out"),
            io::ErrorKind::HostUnreachable => Failure::because("host unreachable"),
            io::ErrorKind::NetworkUnreachable => Failure::because("network unreachable"),
            _ => Failure::because(error.to_string()),
        }
    }
}

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
            None => self.speak(socket, &host).await,
            Some(tls) => {
                let shaking_hands = tls.connect(socket, false).await;
                let stream =
                    shaking_hands.map_err(|error| Failure::because(format!("no TLS: {error}")))?;
                self.speak(stream, &host).await
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

    async fn speak<S>(&self, stream: S, host: &str) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        match &self.check {
            model::Check::Tcp => Ok(()),
            model::Check::Http(check) => http::check(check, stream, host).await,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_short_and_on_one_line() {
        let Failure::Because(words) = Failure::because(format!("a\nb\u{1b}[1m{}", "x".repeat(999)))
        else {
            panic!("no reason");
        };
        assert_eq!(words.len(), LONGEST_REASON);
        assert!(words.starts_with("a b [1mxxx"), "{words}");
    }

    #[test]
    fn want_of_files_or_ports_is_not_the_targets_fault() {
        let failure = |errno: rustix::io::Errno| Failure::from(io::Error::from(errno));
        assert_eq!(failure(rustix::io::Errno::MFILE), Failure::Shortage);
        assert_eq!(failure(rustix::io::Errno::ADDRNOTAVAIL), Failure::Shortage);
        let refused = Failure::Because("connection refused".to_owned());
        assert_eq!(failure(rustix::io::Errno::CONNREFUSED), refused);
    }
}
