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
    let unused = || "no route of a Gateway has use for it".to_owned();
    let policies = &store.tls_policies;
    let kind = Kind::BackendTlsPolicy;
    untold(
        kind,
        policies,
        |one| &one.meta,
        unused,
        statuses,
        &mut notes,
    );
    let nowhere = || "targetRefs name nothing".to_owned();
    let policies = &store.tunnel_policies;
    let kind = Kind::TunnelPolicy;
    untold(
        kind,
        policies,
        |one| &one.meta,
        nowhere,
        statuses,
        &mut notes,
    );
    let policies = &store.target_policies;
    let kind = Kind::TargetPolicy;
    untold(
        kind,
        policies,
        |one| &one.meta,
        nowhere,
        statuses,
        &mut notes,
    );
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

/// Policies of which nothing is told, because they have no ancestor.
fn untold<T>(
    kind: Kind,
    all: &All<T>,
    meta: fn(&T) -> &Meta,
    why: fn() -> String,
    statuses: &Statuses,
    notes: &mut Vec<Note>,
) {
    for (name, policy) in all {
        let status = statuses.of(kind, name).map(|status| &status.body);
        let is_told = matches!(status, Some(Body::Ancestors(told)) if !told.is_empty());
        let meta = meta(policy);
        notes.extend((!is_told).then(|| Note {
            kind,
            name: name.clone(),
            place: meta.place.clone(),
            message: meta.fault().unwrap_or_else(why),
        }));
    }
}
