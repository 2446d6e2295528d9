//! Objects of which something would come that is called as something of the configuration is: a
//! target group of a Service, the certificate of a Secret. Each is left aside by itself, as if it
//! were not there, and that is told.

use std::borrow::Cow;

use super::notes::Note;
use super::objects::{Kind, Meta, Name};
use super::store::Store;
use crate::config::Config;
use crate::config::model::Origin;

/// The objects without those whose names are taken, and what is to be told of these.
pub(super) fn leave_out<'a>(store: &'a Store, config: &Config) -> (Cow<'a, Store>, Vec<Note>) {
    let mut store = Cow::Borrowed(store);
    let mut notes = Vec::new();
    let mut leave = |kind: Kind, name: Option<Name>, what: &str, taken: &str| {
        let Some(name) = name else { return };
        let Some(meta) = meta(&store, kind, &name).cloned() else {
            return;
        };
        store.to_mut().remove(kind, &name);
        notes.push(Note {
            kind,
            name,
            place: meta.place,
            message: format!("is not used: the configuration has another {what} named {taken:?}"),
        });
    };
    let groups = config.target_groups.iter();
    for group in groups.filter(|one| one.source.origin() != Origin::Gateway) {
        leave(
            Kind::Service,
            service_of(&group.name),
            "target group",
            &group.name,
        );
    }
    let certificates = config.certificates.iter();
    for one in certificates.filter(|one| one.source.origin() != Origin::Gateway) {
        leave(Kind::Secret, name_of(&one.name), "certificate", &one.name);
    }
    (store, notes)
}

fn meta<'s>(store: &'s Store, kind: Kind, name: &Name) -> Option<&'s Meta> {
    match kind {
        Kind::Service => store.services.get(name).map(|one| &one.meta),
        _ => store.secrets.get(name).map(|one| &one.meta),
    }
}

/// The Service of which a group of this name comes: `namespace/service:port`, and what follows.
fn service_of(group: &str) -> Option<Name> {
    let own = group.split_once(' ').map_or(group, |(own, _)| own);
    let (service, port) = own.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    name_of(service)
}

fn name_of(text: &str) -> Option<Name> {
    let (namespace, name) = text.split_once('/')?;
    Some(Name::new(namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_tells_its_service() {
        for (group, expected) in [
            ("apps/chat:8080", Some("apps/chat")),
            ("apps/chat:8080 of infra/edge", Some("apps/chat")),
            ("apps/chat:8080 for apps/r/0", Some("apps/chat")),
            ("apps/chat", None),
            ("chat:8080", None),
            ("apps/chat:http", None),
        ] {
            let found = service_of(group).map(|name| name.to_string());
            assert_eq!(found.as_deref(), expected, "{group}");
        }
    }
}
