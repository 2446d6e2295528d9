//! Which listening addresses are taken. An unspecified address (`0.0.0.0`, `::`) takes the port on
//! every address of its family, and `::` without `v6only` on those of both.

use std::net::SocketAddr;

use super::super::tree::Mapping;

/// The addresses so far, each with its families and its owner's place.
#[derive(Default)]
pub(super) struct Addresses(Vec<(SocketAddr, Families, String)>);

/// Whose clients an address takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Families {
    Own,
    Both,
}

impl Families {
    pub(in crate::config) fn of(address: SocketAddr, v6_only: bool) -> Self {
        match v6_only || address.is_ipv4() {
            true => Families::Own,
            false => Families::Both,
        }
    }
}

impl Addresses {
    /// Notes a problem at `mapping`'s `key` if `address` overlaps with one that is taken.
    pub(super) fn enter(
        &mut self,
        address: SocketAddr,
        families: Families,
        owner: &str,
        mapping: &Mapping,
        key: &str,
    ) {
        let mut all = self.0.iter();
        let this = (address, families);
        let taken = all.find(|(other, families, _)| overlap(this, (*other, *families)));
        match taken {
            Some((other, _, owner)) => {
                let message = match *other == address {
                    true => format!("{address} is already used by"),
                    false => format!("{address} overlaps with {other}, used by"),
                };
                mapping.problem_beside::<()>(key, &message, owner);
            }
            None => self.0.push((address, families, owner.to_owned())),
        }
    }
}

/// Whether two addresses take the same clients.
pub(in crate::config) fn overlap(
    (a, of_a): (SocketAddr, Families),
    (b, of_b): (SocketAddr, Families),
) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    let meet = a.is_ipv4() == b.is_ipv4() || of_a == Families::Both || of_b == Families::Both;
    a.port() == b.port() && (a.ip() == b.ip() || any && meet)
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
            let [x, y] = [a, b].map(|text| (text.parse().unwrap(), Families::Own));
            assert_eq!(
                (overlap(x, y), overlap(y, x)),
                (expected, expected),
                "{a} {b}"
            );
        }
    }

    #[test]
    fn an_address_for_both_families_overlaps_both() {
        let both = ("[::]:80".parse().unwrap(), Families::Both);
        for (address, expected) in [
            ("10.0.0.1:80", true),
            ("0.0.0.0:80", true),
            ("[2001:db8::1]:80", true),
            ("10.0.0.1:81", false),
        ] {
            let other = (address.parse().unwrap(), Families::Own);
            let found = (overlap(both, other), overlap(other, both));
            assert_eq!(found, (expected, expected), "{address}");
        }
    }
}
