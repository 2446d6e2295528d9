//! What is wrong with objects that have no conditions, or whose conditions nobody would see.

use std::fmt;

use super::objects::{Kind, Meta, Name, Place};
use super::statuses::{Body, Statuses};
use super::store::{All, Store};

/// Something that an operator should know of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// Where it is written.
    pub place: Place,
    /// What is wrong: one line.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind.as_str(), self.name, self.message)
    }
}

/// All notes, by kind and name.
pub(super) fn of(store: &Store, statuses: &Statuses) -> Vec<Note> {
    let mut notes = Vec::new();
    flaws(
        Kind::ReferenceGrant,
        &store.grants,
        |one| &one.meta,
        &mut notes,
    );
    flaws(Kind::Service, &store.services, |one| &one.meta, &mut notes);
    flaws(
        Kind::EndpointSlice,
        &store.slices,
        |one| &one.meta,
        &mut notes,
    );
    flaws(
        Kind::Endpoints,
        &store.endpoints,
        |one| &one.meta,
        &mut notes,
    );
    flaws(Kind::Secret, &store.secrets, |one| &one.meta, &mut notes);
    flaws(
        Kind::ConfigMap,
        &store.config_maps,
        |one| &one.meta,
        &mut notes,
    );
    flaws(
        Kind::Namespace,
        &store.namespaces,
        |one| &one.meta,
        &mut notes,
    );
    notes.extend(untold(store, statuses));
    notes
}

fn flaws<T>(kind: Kind, all: &All<T>, meta: fn(&T) -> &Meta, notes: &mut Vec<Note>) {
    for (name, object) in all {
        let meta = meta(object);
        notes.extend(meta.fault().map(|message| Note {
            kind,
            name: name.clone(),
            place: meta.place.clone(),
            message,
        }));
    }
}

/// What is wrong with policies of which nothing is told, because they have no ancestor.
fn untold(store: &Store, statuses: &Statuses) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut note = |kind: Kind, meta: &Meta, why: &str| {
        let status = statuses.of(kind, &meta.name).map(|status| &status.body);
        let is_told = matches!(status, Some(Body::Ancestors(told)) if !told.is_empty());
        notes.extend((!is_told).then(|| Note {
            kind,
            name: meta.name.clone(),
            place: meta.place.clone(),
            message: meta.fault().unwrap_or_else(|| why.to_owned()),
        }));
    };
    for policy in store.tls_policies.values() {
        let why = "no route of a Gateway has use for it";
        note(Kind::BackendTlsPolicy, &policy.meta, why);
    }
    let why = "targetRefs name nothing";
    for policy in store.tunnel_policies.values() {
        note(Kind::TunnelPolicy, &policy.meta, why);
    }
    for policy in store.target_policies.values() {
        note(Kind::TargetPolicy, &policy.meta, why);
    }
    notes
}
