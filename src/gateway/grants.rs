//! ReferenceGrants: which references from one namespace into another are allowed.

use std::collections::HashMap;
use std::sync::Arc;

use super::objects::{Granted, Name, ReferenceGrant};
use super::store::Store;

/// All grants, by the namespace into which they allow references.
#[derive(Debug)]
pub(super) struct Grants<'a>(HashMap<&'a str, Vec<&'a ReferenceGrant>>);

/// From where a reference is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Referrer<'a> {
    pub(super) group: &'a str,
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
}

impl<'a> Grants<'a> {
    pub(super) fn of(store: &'a Store) -> Self {
        let mut grants: HashMap<&str, Vec<&ReferenceGrant>> = HashMap::new();
        for (name, grant) in &store.grants {
            grants.entry(&name.namespace).or_default().push(grant);
        }
        Grants(grants)
    }

    /// Whether this object may be referred to.
    pub(super) fn allow(&self, from: Referrer, group: &str, kind: &str, to: &Name) -> bool {
        if *from.namespace == *to.namespace {
            return true;
        }
        let is_from = |(group, kind, namespace): &(Arc<str>, Arc<str>, Arc<str>)| {
            (&**group, &**kind, &**namespace) == (from.group, from.kind, from.namespace)
        };
        let is_to = |(of, is, name): &Granted| {
            let names_it = name.as_ref().is_none_or(|name| *name == to.name);
            (&**of, &**is) == (group, kind) && names_it
        };
        let grants = self.0.get(&*to.namespace).into_iter().flatten();
        let mut allowing = grants.filter(|grant| grant.from.iter().any(is_from));
        allowing.any(|grant| grant.to.iter().any(is_to))
    }
}
