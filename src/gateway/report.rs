//! What a node says to those who write statuses and keep leases.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::held::All;
use super::objects::{Kind, Name};
use super::statuses::{Body, Condition, Statuses, Truth};
use super::store::Store;

/// What a node serves, and what is to be told of the objects.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// What is told of each object.
    pub(super) statuses: Statuses,
    /// The objects that have statuses, as they were seen last.
    pub(super) seen: All,
    /// The Gateways that this node has programmed.
    pub(super) gateways: BTreeMap<Name, Form>,
    /// Whether that serves.
    pub(super) is_served: bool,
    /// Whether it is known what there is; nothing is reported before.
    pub(super) is_known: bool,
}

/// What of a Gateway serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    /// `uid`
    pub(super) uid: Arc<str>,
    /// Its generation.
    pub(super) generation: i64,
    /// Where it is listened for it at this node: others may have addresses of their own.
    pub(super) addresses: Vec<Arc<str>>,
}

impl Report {
    /// Of what was compiled from these objects.
    pub(super) fn of(store: &Store, statuses: Statuses, seen: &All) -> Self {
        let mut gateways = BTreeMap::new();
        for (name, gateway) in &store.gateways {
            let status = statuses.of(Kind::Gateway, name);
            let Some(Body::Gateway {
                addresses,
                conditions,
                ..
            }) = status.map(|status| &status.body)
            else {
                continue;
            };
            if is_programmed(conditions) {
                let form = Form {
                    uid: Arc::clone(&gateway.meta.uid),
                    generation: gateway.meta.generation,
                    addresses: addresses.clone(),
                };
                gateways.insert(name.clone(), form);
            }
        }
        let seen = seen.iter().filter(|((kind, _), _)| kind.has_status());
        let seen = seen.map(|(key, seen)| (key.clone(), Arc::clone(seen)));
        Report {
            statuses,
            seen: seen.collect(),
            gateways,
            is_served: false,
            is_known: true,
        }
    }
}

pub(super) fn is_programmed(conditions: &[Condition]) -> bool {
    let mut all = conditions.iter();
    all.any(|one| one.kind == "Programmed" && one.status == Truth::True)
}
