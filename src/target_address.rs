//! Where a target is: an address of the network, or a Unix socket of this machine. It is also what
//! the target is called: in the log, in metrics, in the API, and from one process to the next.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::SocketAddr as UnixAddress;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use pingora::protocols::l4::socket::SocketAddr as PeerAddress;
use serde::{Deserialize, Serialize};

/// What the path of a Unix socket is told by.
const UNIX: &str = "unix:";

/// Where a target is. Those of the network come first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum TargetAddress {
    /// An IP address and a port: `ip:port`.
    Inet(SocketAddr),
    /// A Unix socket with this path: `unix:PATH`.
    Unix(Arc<Path>),
}

impl TargetAddress {
    /// The Unix socket with this path, however often it repeats its slashes. Errors: what a path
    /// has to be.
    pub fn unix(path: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "an absolute path of at most 107 bytes";
        let is_clean = path.starts_with('/') && !path.contains(char::is_control);
        match is_clean && UnixAddress::from_pathname(path).is_ok() {
            true => {
                let plain: PathBuf = Path::new(path).components().collect();
                Ok(TargetAddress::Unix(plain.into()))
            }
            false => Err(EXPECTED),
        }
    }

    /// Its address in the network.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            TargetAddress::Inet(address) => Some(*address),
            TargetAddress::Unix(_) => None,
        }
    }

    /// Its IP address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.inet().map(|address| address.ip())
    }

    /// The host that is asked for where nobody has said another (RFC 9110 section 7.2).
    pub fn host(&self) -> String {
        match self {
            TargetAddress::Inet(address) => address.to_string(),
            TargetAddress::Unix(_) => "localhost".to_owned(),
        }
    }

    /// The address in Pingora's words, which have the same order.
    pub fn in_pingoras_words(&self) -> PeerAddress {
        match self {
            TargetAddress::Inet(address) => PeerAddress::Inet(*address),
            TargetAddress::Unix(path) => {
                let address = UnixAddress::from_pathname(path).expect("a path that has been tried");
                PeerAddress::Unix(address)
            }
        }
    }
}

impl From<SocketAddr> for TargetAddress {
    fn from(address: SocketAddr) -> Self {
        TargetAddress::Inet(address)
    }
}

impl fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetAddress::Inet(address) => address.fmt(f),
            TargetAddress::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl From<TargetAddress> for String {
    fn from(address: TargetAddress) -> Self {
        address.to_string()
    }
}

impl FromStr for TargetAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix(UNIX) {
            Some(path) => TargetAddress::unix(path),
            None => {
                let address: Result<SocketAddr, _> = text.parse();
                address.map(Self::from).map_err(|_| "ip:port or unix:PATH")
            }
        }
    }
}

impl TryFrom<String> for TargetAddress {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["192.0.2.1:80", "[2001:db8::1]:443", "unix:/run/app.sock"] {
            let address: TargetAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        let long = format!("unix:/{}", "x".repeat(107));
        for text in [
            "",
            "chat",
            "192.0.2.1",
            "unix:",
            "unix:run/app.sock",
            &long,
            "unix:/a\nb",
        ] {
            assert!(text.parse::<TargetAddress>().is_err(), "{text}");
        }
        assert!(long[..long.len() - 1].parse::<TargetAddress>().is_ok());
    }

    #[test]
    fn the_order_is_pingoras() {
        let texts = [
            "unix:/b/c",
            "[::1]:1",
            "unix:/b.c",
            "192.0.2.1:9",
            "unix:/b",
            "192.0.2.1:80",
        ];
        let mut addresses: Vec<TargetAddress> =
            texts.iter().map(|text| text.parse().unwrap()).collect();
        addresses.sort();
        let peers = addresses.iter().map(TargetAddress::in_pingoras_words);
        assert!(peers.is_sorted(), "{addresses:?}");
    }
}
