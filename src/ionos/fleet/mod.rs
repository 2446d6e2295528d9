//! Several nodes that share their objects in etcd.
//!
//! Under a prefix are `head`, which names the last write and the one before it, `objects/…` by
//! their paths, `requests/…` by their numbers, `nodes/…`, by a lease: what each node serves, and
//! `keys`: those of session tickets and of cookies, sealed. A write is one transaction that
//! compares `head`, so that of two writes that come after the same one, one is made. Every node
//! follows the prefix, and reads it anew where a `head` does not come after the last that it knows.
//! The first write names the fleet; a node that has objects takes nothing over from another one.
//!
//! `record` is what a store writes to, `cluster` commits, `follow` takes over what others have
//! written, of which `items` makes the difference, and `report` says what this node serves, of
//! which `nodes` knows all. `import` is for operators. A `key_ring` knows the `shared_keys`.

mod cluster;
mod follow;
mod import;
mod items;
mod key_ring;
mod keys;
mod nodes;
mod record;
mod report;
mod shared_keys;

pub(super) use import::import;
pub(super) use record::Fleet;

use key_ring::KeyRing;

use crate::config::model;
use crate::serving::SharedKeys;

/// The keys that the nodes have in common, as the copy has them.
pub(super) fn copied_keys(etcd: &model::Etcd) -> Option<SharedKeys> {
    KeyRing::of(etcd).in_use()
}
