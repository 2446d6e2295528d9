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
    for (name, policy) in &store.tls_policies {
        let status = statuses
            .of(Kind::BackendTlsPolicy, name)
            .map(|status| &status.body);
        let is_told = matches!(status, Some(Body::Ancestors(told)) if !told.is_empty());
        let unused = || "no route of a Gateway has use for it".to_owned();
        notes.extend((!is_told).then(|| Note {
            kind: Kind::BackendTlsPolicy,
            name: name.clone(),
            place: policy.meta.place.clone(),
            message: policy.meta.fault().unwrap_or_else(unused),
        }));
    }
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
