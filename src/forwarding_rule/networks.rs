//! Blocks of addresses: whose word is taken for where a connection or a request comes from.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// Some blocks of addresses, often none.
#[derive(Debug, Default)]
pub struct Networks(Box<[IpNet]>);

impl Networks {
    /// Whether the address, in its canonical form, is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl From<&[IpNet]> for Networks {
    fn from(networks: &[IpNet]) -> Self {
        Networks(networks.into())
    }
}

/// A client in IPv6 has all addresses of its /64.
pub fn network_of(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
impl Networks {
    /// The networks that are written like this.
    pub(crate) fn of(networks: &[&str]) -> Self {
        let parse = |network: &&str| network.parse().unwrap();
        Networks(networks.iter().map(parse).collect())
    }
}
