//! Blocks of addresses by the hundred thousand, as ranges in order: an address is found by halving,
//! within 100 ns.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// Blocks of addresses. An IPv4 block written as IPv6 must be made of in its IPv4 form.
#[derive(Clone, Default)]
pub struct Blocks {
    /// Each from its first address to its last; none meet.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    count: usize,
}

impl Blocks {
    /// Whether an address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => is_in(&self.v4, u32::from(address)),
            IpAddr::V6(address) => is_in(&self.v6, u128::from(address)),
        }
    }

    /// How many they were made of.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

fn is_in<T: Ord>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    let before = after.checked_sub(1).and_then(|place| ranges.get(place));
    before.is_some_and(|(_, last)| *last >= address)
}

impl From<&Vec<IpNet>> for Blocks {
    fn from(all: &Vec<IpNet>) -> Self {
        let mut blocks = Blocks {
            count: all.len(),
            ..Blocks::default()
        };
        for block in IpNet::aggregate(all) {
            match block {
                IpNet::V4(block) => {
                    blocks
                        .v4
                        .push((block.network().into(), block.broadcast().into()));
                }
                IpNet::V6(block) => {
                    blocks
                        .v6
                        .push((block.network().into(), block.broadcast().into()));
                }
            }
        }
        blocks.v4.sort_unstable();
        blocks.v6.sort_unstable();
        blocks
    }
}

/// Whether the same addresses are in them.
impl PartialEq for Blocks {
    fn eq(&self, other: &Self) -> bool {
        (&self.v4, &self.v6) == (&other.v4, &other.v6)
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blocks({})", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(all: &[&str]) -> Blocks {
        let all: Vec<IpNet> = all.iter().map(|block| block.parse().unwrap()).collect();
        Blocks::from(&all)
    }

    #[test]
    fn an_address_is_in_a_block_of_its_own_family() {
        let some = [
            "10.1.2.3/32",
            "192.0.2.7/24",
            "10.1.0.0/16",
            "2001:db8::/32",
            "fe80::/10",
        ];
        let some = blocks(&some);
        for (address, expected) in [
            ("10.0.255.255", false),
            ("10.1.0.0", true),
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("192.0.2.255", true),
            ("255.255.255.255", false),
            ("0.0.0.0", false),
            ("::", false),
            ("2001:db8::1", true),
            ("fe80::1", true),
        ] {
            assert_eq!(
                some.contain(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
        assert_eq!((some.len(), Blocks::default().is_empty()), (5, true));
        let all = blocks(&["0.0.0.0/0"]);
        assert!(all.contain(IpAddr::from([0; 4])) && all.contain(IpAddr::from([255; 4])));
        assert!(!all.contain(IpAddr::from([0; 16])));
    }

    #[test]
    fn what_has_the_same_addresses_is_the_same() {
        let halves = blocks(&["10.0.0.128/25", "10.0.0.0/25", "10.0.0.1/32"]);
        assert_eq!(halves, blocks(&["10.0.0.0/24"]));
        assert_ne!(halves, blocks(&["10.0.0.0/23"]));
    }
}
