//! Which listening addresses are taken. An unspecified address (`0.0.0.0`, `::`) takes the port on every address of its
//! family; the two families do not overlap.

use std::net::SocketAddr;

use super::super::tree::Mapping;

/// The addresses so far, each with its owner's place.
#[derive(Default)]
pub(super) struct Addresses(Vec<(SocketAddr, String)>);

impl Addresses {
    /// Notes a problem at `mapping`'s `key` if `address` overlaps with one that is taken.
    pub(super) fn enter(&mut self, address: SocketAddr, owner: &str, mapping: &Mapping, key: &str) {
        let taken = self.0.iter().find(|(other, _)| overlap(address, *other));
        match taken {
            Some((other, owner)) if *other == address => {
                mapping.problem::<()>(key, format!("{address} is already used by {owner}"));
            }
            Some((other, owner)) => {
                mapping.problem::<()>(
                    key,
                    format!("{address} overlaps with {other}, used by {owner}"),
                );
            }
            None => self.0.push((address, owner.to_owned())),
        }
    }
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && (a.ip() == b.ip() || any && a.is_ipv4() == b.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_overlaps_its_family() {
        let table = [
            ("10.0.0.1:80", "10.0.0.1:80", true),
            ("10.0.0.1:80", "10.0.0.1:81", false),
            ("10.0.0.1:80", "10.0.0.2:80", false),
            ("0.0.0.0:80", "10.0.0.2:80", true),
            ("0.0.0.0:80", "10.0.0.2:81", false),
            ("0.0.0.0:80", "0.0.0.0:80", true),
            ("[::]:80", "[::1]:80", true),
            ("[::]:80", "0.0.0.0:80", false),
            ("[::]:80", "10.0.0.1:80", false),
        ];
        for (a, b, expected) in table {
            let (x, y) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(
                (overlap(x, y), overlap(y, x)),
                (expected, expected),
                "{a} {b}"
            );
        }
    }
}
