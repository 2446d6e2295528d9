//! The endpoints of a group: what its Service's slices, or its Endpoints, have ready on its port.
//!
//! Those that serve while they end are used only where nothing else is left.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::compiled::Group;
use super::objects::{Endpoint, EndpointSlice, Endpoints};
use super::store::Store;

/// From what the endpoints of a group were made.
#[derive(Debug)]
struct Sources {
    slices: Vec<Arc<EndpointSlice>>,
    plain: Option<Arc<Endpoints>>,
    port: Arc<str>,
}

impl Sources {
    fn of(store: &Store, group: &Group) -> Self {
        let service = &group.name.service;
        let slices: Vec<_> = store.slices_of(service).cloned().collect();
        // A cluster makes slices of Endpoints by itself.
        let plain = store.endpoints.get(service).filter(|_| slices.is_empty());
        Sources {
            plain: plain.cloned(),
            port: Arc::clone(&group.port_name),
            slices,
        }
    }

    fn is(&self, other: &Sources) -> bool {
        let same = |one: &Arc<EndpointSlice>, other: &Arc<EndpointSlice>| Arc::ptr_eq(one, other);
        let pairs = self.slices.iter().zip(&other.slices);
        let same_plain = match (&self.plain, &other.plain) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (None, Some(_)) | (Some(_), None) => false,
        };
        self.slices.len() == other.slices.len()
            && pairs.into_iter().all(|(one, other)| same(one, other))
            && same_plain
            && self.port == other.port
    }

    fn addresses(&self) -> Arc<[SocketAddr]> {
        let slices = self
            .slices
            .iter()
            .map(|slice| (&slice.ports, &slice.endpoints));
        let subsets = self.plain.iter().flat_map(|plain| &plain.subsets);
        let subsets = subsets.map(|subset| (&subset.ports, &subset.endpoints));
        let (mut ready, mut ending) = (BTreeSet::new(), BTreeSet::new());
        for (ports, endpoints) in slices.chain(subsets) {
            let ports: Vec<u16> = self.numbers(ports).collect();
            for endpoint in endpoints {
                match endpoint {
                    Endpoint { is_ready: true, .. } => add(&mut ready, endpoint, &ports),
                    Endpoint {
                        is_serving: true, ..
                    } => add(&mut ending, endpoint, &ports),
                    _ => {}
                }
            }
        }
        let all = if ready.is_empty() { ending } else { ready };
        all.into_iter().collect()
    }

    fn numbers<'a>(&'a self, ports: &'a [(Arc<str>, u16)]) -> impl Iterator<Item = u16> + 'a {
        let own = ports.iter().filter(|(name, _)| *name == self.port);
        own.map(|(_, number)| *number)
    }
}

fn add(to: &mut BTreeSet<SocketAddr>, endpoint: &Endpoint, ports: &[u16]) {
    for address in &endpoint.addresses {
        to.extend(ports.iter().map(|port| SocketAddr::new(*address, *port)));
    }
}

/// The endpoints of groups, kept as long as nothing of theirs changes.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<Arc<str>, (Sources, Arc<[SocketAddr]>)>);

impl Known {
    /// Those of one group.
    pub(super) fn of(&mut self, store: &Store, group: &Group) -> Arc<[SocketAddr]> {
        let sources = Sources::of(store, group);
        let name = &group.name.text;
        if let Some((known, addresses)) = self.0.get(name)
            && known.is(&sources)
        {
            return Arc::clone(addresses);
        }
        let mut addresses = sources.addresses();
        // What changes nothing is nothing new.
        if let Some((_, known)) = self.0.get(name).filter(|(_, known)| *known == addresses) {
            addresses = Arc::clone(known);
        }
        let entry = (sources, Arc::clone(&addresses));
        self.0.insert(Arc::clone(name), entry);
        addresses
    }

    /// Forgets those of groups that are not among these.
    pub(super) fn keep(&mut self, groups: &BTreeMap<Arc<str>, Arc<Group>>) {
        self.0.retain(|name, _| groups.contains_key(name));
    }
}
