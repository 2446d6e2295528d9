//! Which addresses a Gateway has: those that it names, or one of those that are given out.
//!
//! A Gateway that names none gets one to itself. Which one depends on the names of the Gateways and
//! on the addresses alone, not on the order in which they come, so that it is the same on every
//! node and after every start; what its status says already comes first. Where there is but one
//! address, all share it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use super::certificates::Fault;
use super::objects::{Gateway, Name};

/// The addresses of a Gateway, and what is wrong with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Assigned {
    /// Where is listened.
    pub(super) addresses: Vec<IpAddr>,
    /// Why it is not accepted.
    pub(super) unsupported: Option<Fault>,
    /// Why it is not programmed.
    pub(super) unusable: Option<Fault>,
}

/// Azure's name of a frontend, which is none of ours: as if nothing were said.
const IGNORED: &str = "alb.networking.azure.io/alb-frontend";

/// What a Gateway asks for.
enum Wish {
    /// These.
    These(Vec<IpAddr>),
    /// Whatever is free.
    Any,
    /// What there is not.
    Unsupported(String),
}

fn wish(gateway: &Gateway) -> Wish {
    let mut addresses = Vec::new();
    for (kind, value) in &gateway.addresses {
        match (&**kind, &**value) {
            (IGNORED, _) | ("IPAddress", "") => {}
            ("IPAddress", value) => match value.parse::<IpAddr>() {
                Ok(ip) if !addresses.contains(&ip.to_canonical()) => {
                    addresses.push(ip.to_canonical());
                }
                Ok(_) => {}
                Err(_) => return Wish::Unsupported(format!("{value:?} is no IP address")),
            },
            (kind, _) => {
                return Wish::Unsupported(format!("addresses of type {kind} are not supported"));
            }
        }
    }
    match addresses.is_empty() {
        true => Wish::Any,
        false => Wish::These(addresses),
    }
}

/// The addresses of each of these Gateways, the oldest first. `unusable` are those on which this
/// node cannot listen.
pub(super) fn assign(
    gateways: &[Arc<Gateway>],
    pool: &[IpAddr],
    unusable: &BTreeSet<IpAddr>,
) -> BTreeMap<Name, Assigned> {
    let mut assigned: BTreeMap<Name, Assigned> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let mut open = Vec::new();
    for gateway in gateways {
        let name = gateway.meta.name.clone();
        let mut entry = Assigned::default();
        match wish(gateway) {
            Wish::Unsupported(message) => {
                entry.unsupported = Some(("UnsupportedAddress", message));
            }
            Wish::Any => open.push(gateway),
            Wish::These(addresses) => {
                taken.extend(addresses.iter().copied());
                if let Some(bad) = addresses.iter().find(|ip| unusable.contains(ip)) {
                    let message = format!("this node cannot listen on {bad}");
                    entry.unusable = Some(("AddressNotUsable", message));
                }
                entry.addresses = addresses;
            }
        }
        assigned.insert(name, entry);
    }
    give_out(&open, pool, taken, &mut assigned);
    assigned
}

fn give_out(
    open: &[&Arc<Gateway>],
    pool: &[IpAddr],
    mut taken: BTreeSet<IpAddr>,
    assigned: &mut BTreeMap<Name, Assigned>,
) {
    if let [only] = pool {
        for gateway in open {
            let entry = assigned.entry(gateway.meta.name.clone()).or_default();
            entry.addresses = vec![*only];
        }
        return;
    }
    let mut rest = Vec::new();
    for gateway in open {
        let given = gateway.given.iter().filter_map(|text| text.parse().ok());
        let mut given = given.filter(|ip| pool.contains(ip) && !taken.contains(ip));
        match given.next() {
            Some(ip) => {
                taken.insert(ip);
                let entry = assigned.entry(gateway.meta.name.clone()).or_default();
                entry.addresses = vec![ip];
            }
            None => rest.push(gateway),
        }
    }
    for gateway in rest {
        let free = pool.iter().filter(|ip| !taken.contains(ip));
        let best = free.max_by_key(|ip| (score(&gateway.meta.name, ip), **ip));
        let entry = assigned.entry(gateway.meta.name.clone()).or_default();
        match best.copied() {
            Some(ip) => {
                taken.insert(ip);
                entry.addresses = vec![ip];
            }
            None => entry.unusable = Some(("AddressNotAssigned", none_left(pool))),
        }
    }
}

fn none_left(pool: &[IpAddr]) -> String {
    match pool.len() {
        0 => "gateway.addresses names no address that could be given out".to_owned(),
        all => format!("all {all} addresses of gateway.addresses are taken"),
    }
}

/// How well an address suits a Gateway: a figure that is the same wherever it is made, so that one
/// Gateway more or less changes little for the others.
fn score(gateway: &Name, address: &IpAddr) -> u128 {
    let text = format!("{gateway} {address}");
    Uuid::new_v5(&Uuid::NAMESPACE_URL, text.as_bytes()).as_u128()
}
