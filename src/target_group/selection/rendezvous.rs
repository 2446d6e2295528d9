//! Rendezvous hashing with weights: every target has a number for every key, and the lowest wins.
//!
//! A target that comes or goes moves only the keys that it wins, and a key's second choice is the
//! same for as long as its first is gone. The number is -ln(u) / weight, with u from 0 to 1 from
//! the hashes of both; so each target wins in proportion to its weight (logarithmic method). Of
//! targets of the same weight the highest u wins, and no logarithm is needed.
//!
//! Every node must choose the same, whatever its version: nothing of this may change.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use super::ranking::Rank;
use crate::os::random::mix;
use crate::target_address::TargetAddress;
use crate::target_group::Target;

/// The targets, by weight.
pub(super) struct Rendezvous(Box<[Class]>);

/// Targets of the same weight.
struct Class {
    weight: f64,
    /// The hash of each one's address, and its place.
    members: Box<[(u64, usize)]>,
}

impl Rendezvous {
    pub(super) fn new(targets: &[Arc<Target>]) -> Self {
        let mut classes: BTreeMap<u64, Vec<(u64, usize)>> = BTreeMap::new();
        for (place, target) in targets.iter().enumerate() {
            let members = classes.entry(target.weight()).or_default();
            members.push((hash_of_address(&target.address), place));
        }
        let class = |(weight, members): (u64, Vec<_>)| Class {
            weight: weight as f64,
            members: members.into(),
        };
        Rendezvous(classes.into_iter().map(class).collect())
    }

    /// The target that wins this key.
    pub(super) fn first(&self, key: u64) -> Option<Rank> {
        self.0.iter().filter_map(|class| class.first(key)).min()
    }

    /// All targets, for this key.
    pub(super) fn ranks(&self, key: u64) -> impl Iterator<Item = Rank> {
        self.0.iter().flat_map(move |class| class.ranks(key))
    }
}

impl Class {
    fn first(&self, key: u64) -> Option<Rank> {
        let mut first: Option<(u64, usize)> = None;
        // Of equal draws the first counts.
        for (target, place) in &self.members {
            let draw = mix(target ^ key);
            if first.is_none_or(|(most, _)| draw > most) {
                first = Some((draw, *place));
            }
        }
        first.map(|(draw, place)| rank(draw, self.weight, place))
    }

    fn ranks(&self, key: u64) -> impl Iterator<Item = Rank> {
        let members = self.members.iter();
        members.map(move |(target, place)| rank(mix(target ^ key), self.weight, *place))
    }
}

fn rank(draw: u64, weight: f64, place: usize) -> Rank {
    let chance = (draw as f64 + 0.5) / 2_f64.powi(64);
    Rank {
        score: -chance.ln() / weight,
        tie: !draw,
        place,
    }
}

/// The hash of a key: FNV-1a, mixed.
pub(in crate::target_group) fn hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
    mix(bytes.iter().fold(0xCBF2_9CE4_8422_2325, fold))
}

fn hash_of_address(address: &TargetAddress) -> u64 {
    let with_port = |ip: &[u8], port: u16| hash(&[ip, &port.to_be_bytes()].concat());
    match address {
        TargetAddress::Inet(SocketAddr::V4(v4)) => with_port(&v4.ip().octets(), v4.port()),
        TargetAddress::Inet(SocketAddr::V6(v6)) => with_port(&v6.ip().octets(), v6.port()),
        TargetAddress::Unix(path) => hash(path.as_os_str().as_bytes()),
    }
}
