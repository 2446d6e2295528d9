//! What routes refer to: as long as all of it is what it was, so is what each reference leads to.

use std::sync::Arc;

use super::store::{All, Store};

/// All objects on which references of routes depend.
#[derive(Debug, Default)]
pub(super) struct World(Store);

impl World {
    /// Those of a store; and whether they are all the same as these.
    pub(super) fn renew(&mut self, store: &Store) -> bool {
        let before = &self.0;
        let is_same = same(&before.services, &store.services)
            && same(&before.grants, &store.grants)
            && same(&before.tls_policies, &store.tls_policies)
            && same(&before.health_policies, &store.health_policies)
            && same(&before.target_policies, &store.target_policies)
            && same(&before.config_maps, &store.config_maps)
            && same(&before.secrets, &store.secrets);
        if !is_same {
            let mut now = Store::default();
            now.services.clone_from(&store.services);
            now.grants.clone_from(&store.grants);
            now.tls_policies.clone_from(&store.tls_policies);
            now.health_policies.clone_from(&store.health_policies);
            now.target_policies.clone_from(&store.target_policies);
            now.config_maps.clone_from(&store.config_maps);
            now.secrets.clone_from(&store.secrets);
            self.0 = now;
        }
        is_same
    }
}

fn same<T>(one: &All<T>, other: &All<T>) -> bool {
    let mut pairs = one.values().zip(other.values());
    one.len() == other.len() && pairs.all(|(one, other)| Arc::ptr_eq(one, other))
}
