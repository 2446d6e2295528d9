//! What this node knows of the keys that all nodes have in common, and whether it is time for new
//! ones.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::shared_keys::{SharedKeys, copied, copy};
use crate::config::model;
use crate::config::secret_key::SecretKey;
use crate::serving;

/// The keys in common; without a key to open them there are none.
#[derive(Debug, Default)]
pub(super) struct KeyRing {
    /// The first seals, all open.
    sealing: Vec<SecretKey>,
    folder: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    keys: Option<SharedKeys>,
    at: At,
    /// Since when they are these.
    since: Option<Instant>,
}

/// What etcd has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// That has yet to be heard.
    #[default]
    Unheard,
    /// What was put there by this revision; 0: nothing.
    Revision(i64),
    /// Something that this node cannot open.
    Sealed,
}

/// New keys, sealed, for the place of what this revision put there.
pub(super) struct NewKeys {
    pub(super) sealed: Vec<u8>,
    pub(super) revision: i64,
}

impl KeyRing {
    /// With what the copy has.
    pub(super) fn of(etcd: &model::Etcd) -> Self {
        let sealed = copied(&etcd.path);
        let open = |sealed: Vec<u8>| SharedKeys::opened(&sealed, &etcd.sealing_keys);
        let known = Known {
            keys: sealed.and_then(open),
            at: At::Unheard,
            since: Some(Instant::now()),
        };
        KeyRing {
            sealing: etcd.sealing_keys.clone(),
            folder: etcd.path.clone(),
            known: Mutex::new(known),
        }
    }

    /// What is served with.
    pub(super) fn in_use(&self) -> Option<serving::SharedKeys> {
        self.known.lock().keys.as_ref().map(SharedKeys::in_use)
    }

    /// Notes what etcd has, and which revision put it there; returns what is to be served with, if
    /// that is new.
    pub(super) fn hear(&self, sealed: Option<&[u8]>, revision: i64) -> Option<serving::SharedKeys> {
        let mut known = self.known.lock();
        let Some(sealed) = sealed.filter(|_| !self.sealing.is_empty()) else {
            known.at = At::Revision(0);
            return None;
        };
        let Some(keys) = SharedKeys::opened(sealed, &self.sealing) else {
            if known.at != At::Sealed {
                log::error!(
                    "api.store.sealingKeyFile: none of its keys opens what the nodes have in \
                     common, or that is damaged: it stays, and tickets and cookies of other nodes \
                     are not known here"
                );
            }
            known.at = At::Sealed;
            return None;
        };
        known.at = At::Revision(revision);
        if let Err(error) = copy(&self.folder, sealed) {
            log::error!("api.store.path: the copy of the keys is behind: {error}");
        }
        let is_new = known.keys.as_ref() != Some(&keys);
        if is_new {
            known.since = Some(Instant::now());
        }
        let in_use = is_new.then(|| keys.in_use());
        known.keys = Some(keys);
        in_use
    }

    /// What is to be put into etcd, if anything is.
    pub(super) fn due(&self, now: SystemTime) -> Option<NewKeys> {
        let known = self.known.lock();
        let At::Revision(revision) = known.at else {
            return None;
        };
        let keys = match (&known.keys, revision) {
            (None, _) => SharedKeys::new(now)?,
            // It has lost them.
            (Some(keys), 0) => keys.clone(),
            (Some(keys), _) => {
                let since = known.since.map_or(Duration::ZERO, |since| since.elapsed());
                keys.rotated(now, since)?
            }
        };
        let sealed = keys.sealed(&self.sealing)?;
        Some(NewKeys { sealed, revision })
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn ring(folder: &std::path::Path, key: Option<u8>) -> KeyRing {
        KeyRing::of(&model::Etcd {
            path: folder.to_owned(),
            endpoints: Vec::new(),
            prefix: "/p/".to_owned(),
            authorities: Vec::new(),
            certificate: None,
            user: None,
            node: "a".to_owned(),
            sealing_keys: key
                .map(|byte| SecretKey::new(Zeroizing::new([byte; 32])))
                .into_iter()
                .collect(),
        })
    }

    #[test]
    fn keys_are_made_once_changed_when_it_is_time_and_put_back_where_they_are_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (ring_of_one, now) = (ring(folder.path(), Some(1)), SystemTime::now());
        // It is not known yet what there is.
        assert!(ring_of_one.due(now).is_none());
        ring_of_one.hear(None, 5);
        let new = ring_of_one.due(now).unwrap();
        assert_eq!(new.revision, 0);
        let in_use = ring_of_one.hear(Some(&new.sealed), 6).unwrap();
        assert!(ring_of_one.hear(Some(&new.sealed), 6).is_none());
        assert!(ring_of_one.due(now).is_none());
        let later = now + Duration::from_secs(6 * 60 * 60);
        assert_eq!(ring_of_one.due(later).unwrap().revision, 6);
        // Another start knows them, and etcd gets them back.
        let again = ring(folder.path(), Some(1));
        assert_eq!(again.in_use(), Some(in_use));
        again.hear(None, 0);
        assert_eq!(again.due(now).unwrap().revision, 0);
    }

    #[test]
    fn what_cannot_be_opened_stays() {
        let folder = tempfile::tempdir().unwrap();
        let one = ring(folder.path(), Some(1));
        one.hear(None, 0);
        let sealed = one.due(SystemTime::now()).unwrap().sealed;
        let folder = tempfile::tempdir().unwrap();
        for key in [Some(2), None] {
            let other = ring(folder.path(), key);
            assert!(other.hear(Some(&sealed), 1).is_none());
            assert!(other.due(SystemTime::now()).is_none());
        }
        // Without a key there is nothing to seal with either.
        let none = ring(folder.path(), None);
        none.hear(None, 0);
        assert!(none.due(SystemTime::now()).is_none());
    }
}
