//! The addresses that connections to a group's targets leave from, in turn.
//!
//! Between two addresses there are only as many connections as there are ports to leave from, about
//! 28,000. The system picks the port when it connects (`IP_BIND_ADDRESS_NO_PORT`), so that one port
//! can lead to several targets.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pingora::connectors::l4::BindTo;
use pingora::protocols::l4::ext;
use pingora::{BError, Error, ErrorType, Result};
use tokio::net::TcpStream;

use crate::os::open_files::is_out_of_ports;

/// Where connections leave from; with none of a target's family, the system decides.
#[derive(Default)]
pub struct Sources {
    addresses: Box<[IpAddr]>,
    turn: AtomicUsize,
}

impl Sources {
    /// These addresses of this machine.
    pub(super) fn new(addresses: &[IpAddr]) -> Self {
        Sources {
            addresses: addresses.into(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Whether connections to this target leave from one of them.
    pub fn serve(&self, target: SocketAddr) -> bool {
        self.of_family(target).next().is_some()
    }

    /// Connects from the address whose turn it is, or from the next one that has a port left.
    pub async fn connect(&self, target: SocketAddr) -> Result<TcpStream> {
        let count = self.of_family(target).count();
        let turn = self.turn.fetch_add(1, Relaxed);
        let in_turn = self.of_family(target).cycle().skip(turn % count.max(1));
        let mut failed = None;
        for source in in_turn.take(count) {
            match connect_from(source, target).await {
                Err(error) if is_out_of_ports(&error) => failed = Some(told(source, error)),
                connected => return connected,
            }
        }
        Err(failed.unwrap_or_else(|| Error::new_up(ErrorType::ConnectError)))
    }

    fn of_family(&self, target: SocketAddr) -> impl Iterator<Item = IpAddr> + Clone {
        let is_fit = move |source: &&IpAddr| source.is_ipv4() == target.is_ipv4();
        self.addresses.iter().filter(is_fit).copied()
    }
}

async fn connect_from(source: IpAddr, target: SocketAddr) -> Result<TcpStream> {
    let mut from = BindTo::default();
    from.addr = Some(SocketAddr::new(source, 0));
    ext::connect(&target, Some(&from)).await
}

/// The system says the same of an address that this machine does not have any more.
fn told(source: IpAddr, error: BError) -> BError {
    match UdpSocket::bind((source, 0)) {
        Ok(_) => error,
        Err(_) => {
            let why = std::io::Error::other(format!("{source} is no address of this machine"));
            Error::because(ErrorType::ConnectError, "connecting", why)
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn sources(addresses: &[&str]) -> Sources {
        let parsed: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        Sources::new(&parsed)
    }

    async fn leaves_from(sources: &Sources, target: SocketAddr) -> Result<IpAddr> {
        let stream = sources.connect(target).await?;
        Ok(stream.local_addr().unwrap().ip())
    }

    #[tokio::test]
    async fn connections_leave_from_the_addresses_in_turn() {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target.local_addr().unwrap();
        let sources = sources(&["127.0.0.2", "::1", "127.0.0.3"]);
        let mut left = Vec::new();
        for _ in 0..4 {
            left.push(leaves_from(&sources, target).await.unwrap().to_string());
        }
        assert_eq!(left, ["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3"]);
    }

    #[test]
    fn an_address_serves_targets_of_its_family() {
        let (v4, v6) = (
            "192.0.2.1:80".parse().unwrap(),
            "[2001:db8::1]:80".parse().unwrap(),
        );
        let serves = |list: &[&str]| [v4, v6].map(|target| sources(list).serve(target));
        assert_eq!(serves(&[]), [false, false]);
        assert_eq!(serves(&["127.0.0.2"]), [true, false]);
        assert_eq!(serves(&["::1", "127.0.0.2"]), [true, true]);
    }

    #[tokio::test]
    async fn an_address_that_is_gone_is_passed_over_and_told() {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target.local_addr().unwrap();
        let both = sources(&["192.0.2.1", "127.0.0.3"]);
        for _ in 0..2 {
            let left = leaves_from(&both, target).await.unwrap();
            assert_eq!(left.to_string(), "127.0.0.3");
        }
        let error = leaves_from(&sources(&["192.0.2.1"]), target)
            .await
            .unwrap_err();
        assert!(!is_out_of_ports(&error));
        assert!(
            error
                .to_string()
                .contains("192.0.2.1 is no address of this machine"),
            "{error}"
        );
    }
    #[tokio::test]
    async fn that_no_port_is_left_is_told_from_other_failures() {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target.local_addr().unwrap();
        let mut narrow = BindTo::default();
        narrow.addr = Some("127.0.0.2:0".parse().unwrap());
        let mut open = Vec::new();
        // Others may have such a port just now.
        for low in (40000..60000).step_by(2) {
            narrow.set_port_range(Some((low, low + 1))).unwrap();
            let connect = || ext::connect(&target, Some(&narrow));
            if let (Ok(one), Ok(two)) = (connect().await, connect().await) {
                open.extend([one, two]);
                break;
            }
        }
        let connect = ext::connect(&target, Some(&narrow)).await;
        let error = connect.unwrap_err();
        assert!(is_out_of_ports(&error), "{error}");
        assert!(is_out_of_ports(&error.more_context("Fail to connect")));
        drop(open);
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let refused = leaves_from(&sources(&["127.0.0.2"]), nobody).await;
        assert!(!is_out_of_ports(&refused.unwrap_err()));
    }
}
