//! Keys that all nodes have in common: those of session tickets, and those of sticky cookies. In
//! etcd, and in the copy, they are sealed with a key that nodes have in a file (AES-256-GCM).
//!
//! Each list begins with a key that is not in use yet, so that all nodes know a key before the
//! first of them seals with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::secret_key::SecretKey;
use crate::serving;

/// How long a key of session tickets is the first, and one of sticky cookies.
const TURN_OF_TICKETS: Duration = Duration::from_secs(6 * 60 * 60);
const TURN_OF_COOKIES: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How many are known: the next one, the present one and two from before.
const MOST: usize = 4;
/// What is sealed is for nothing else.
const PURPOSE: &[u8] = b"culvert: keys of a fleet";
/// More than they ever are.
const LONGEST: usize = 64 << 10;
/// The copy's name in the folder.
const NAME: &str = "keys";

/// The keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SharedKeys {
    tickets: Vec<Dated>,
    cookies: Vec<Dated>,
}

/// A key, and when it was made, in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Dated {
    key: SecretKey,
    made: u64,
}

impl SharedKeys {
    /// New ones. `None` where the system gives no randomness.
    pub(super) fn new(now: SystemTime) -> Option<Self> {
        let two = || Some(vec![Dated::new(now)?, Dated::new(now)?]);
        Some(SharedKeys {
            tickets: two()?,
            cookies: two()?,
        })
    }

    /// The same with new ones where it is time; `None` where it is not. They have been these for so
    /// long, as far as is known.
    pub(super) fn rotated(&self, now: SystemTime, known: Duration) -> Option<Self> {
        let tickets = rotated(&self.tickets, now, TURN_OF_TICKETS, known);
        let cookies = rotated(&self.cookies, now, TURN_OF_COOKIES, known);
        if tickets.is_none() && cookies.is_none() {
            return None;
        }
        Some(SharedKeys {
            tickets: tickets.unwrap_or_else(|| self.tickets.clone()),
            cookies: cookies.unwrap_or_else(|| self.cookies.clone()),
        })
    }

    /// What is served with: of each list the first is the one in use.
    pub(super) fn in_use(&self) -> serving::SharedKeys {
        serving::SharedKeys {
            tickets: in_use(&self.tickets),
            cookies: in_use(&self.cookies),
        }
    }

    /// Sealed with the first of these keys. `None` where there is none, or no randomness.
    pub(super) fn sealed(&self, with: &[SecretKey]) -> Option<Vec<u8>> {
        let key = sealing(with.first()?)?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut bytes = Zeroizing::new(serde_json::to_vec(self).ok()?);
        let tag = key.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(PURPOSE),
            &mut bytes,
        );
        Some([&nonce, &**bytes, tag.ok()?.as_ref()].concat())
    }

    /// What was sealed with one of these keys.
    pub(super) fn opened(sealed: &[u8], with: &[SecretKey]) -> Option<Self> {
        let (nonce, bytes) = sealed.split_first_chunk::<NONCE_LEN>()?;
        with.iter().find_map(|key| {
            let mut bytes = Zeroizing::new(bytes.to_vec());
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let key = sealing(key)?;
            let opened = key.open_in_place(nonce, Aad::from(PURPOSE), &mut bytes);
            serde_json::from_slice(opened.ok()?).ok()
        })
    }
}

impl Dated {
    fn new(now: SystemTime) -> Option<Self> {
        let made = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let key = SecretKey::random()?;
        Some(Dated { key, made })
    }
}

fn rotated(keys: &[Dated], now: SystemTime, turn: Duration, known: Duration) -> Option<Vec<Dated>> {
    let new = Dated::new(now)?;
    // Whose clock is wrong is not known: two nodes must not change keys in turns.
    let is_ahead = |first: &Dated| {
        let ahead = first.made.saturating_sub(new.made);
        ahead > turn.as_secs() && known >= TURN_OF_TICKETS
    };
    let is_due = |first: &Dated| new.made.saturating_sub(first.made) >= turn.as_secs();
    if !keys
        .first()
        .is_none_or(|first| is_due(first) || is_ahead(first))
    {
        return None;
    }
    if keys.first().is_some_and(is_ahead) {
        log::warn!(
            "api.store: a key that the nodes have in common was made in the future: a clock was \
             wrong, or is; there is a new one"
        );
    }
    let rest = keys.iter().take(MOST - 1).cloned();
    Some(std::iter::once(new).chain(rest).collect())
}

fn in_use(keys: &[Dated]) -> Vec<SecretKey> {
    let mut keys: Vec<SecretKey> = keys.iter().map(|one| one.key.clone()).collect();
    if keys.len() > 1 {
        keys.swap(0, 1);
    }
    keys
}

fn sealing(key: &SecretKey) -> Option<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, key.bytes()).ok()?;
    Some(LessSafeKey::new(key))
}

/// What was kept in a folder, sealed; `None` where there is nothing that could be it.
pub(super) fn copied(folder: &Path) -> Option<Vec<u8>> {
    let sealed = fs::read(path(folder)).ok()?;
    (sealed.len() <= LONGEST).then_some(sealed)
}

/// Keeps what is sealed in a folder.
pub(super) fn copy(folder: &Path, sealed: &[u8]) -> io::Result<()> {
    let (path, new) = (path(folder), folder.join(format!("{NAME}.new")));
    fs::write(&new, sealed)?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(new, path)
}

fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SecretKey {
        SecretKey::new(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn only_whoever_has_the_key_opens_what_is_sealed() {
        let keys = SharedKeys::new(SystemTime::now()).unwrap();
        let sealed = keys.sealed(&[key(1), key(2)]).unwrap();
        let opened = |with: &[SecretKey]| SharedKeys::opened(&sealed, with);
        assert_eq!(opened(&[key(3), key(1)]), Some(keys.clone()));
        assert_eq!(opened(&[key(2)]), None);
        assert_ne!(keys.sealed(&[key(1)]).unwrap(), sealed);
        for cut in 0..sealed.len() {
            assert_eq!(SharedKeys::opened(&sealed[..cut], &[key(1)]), None);
        }
        let mut changed = sealed.clone();
        changed[NONCE_LEN] ^= 1;
        assert_eq!(SharedKeys::opened(&changed, &[key(1)]), None);
        assert_eq!(keys.sealed(&[]), None);
    }

    #[test]
    fn a_key_is_known_before_it_is_used_and_for_two_turns_after() {
        let mut now = SystemTime::now();
        let mut keys = SharedKeys::new(now).unwrap();
        assert_eq!(keys.rotated(now, Duration::ZERO), None);
        let first = keys.in_use().tickets[0].clone();
        let next = keys.in_use().tickets[1].clone();
        let cookies = keys.in_use().cookies;
        for turn in 1..=4 {
            now += TURN_OF_TICKETS;
            keys = keys.rotated(now, Duration::ZERO).unwrap();
            let used = keys.in_use().tickets;
            match turn {
                1 => assert_eq!((&used[0], &used[2]), (&next, &first)),
                2 => assert!(used.contains(&first)),
                _ => assert!(!used.contains(&first)),
            }
            assert!(used.len() <= MOST);
        }
        assert_eq!(keys.in_use().cookies, cookies);
        // A clock that is behind changes nothing.
        assert_eq!(keys.rotated(now - TURN_OF_TICKETS, TURN_OF_TICKETS), None);
    }

    #[test]
    fn a_key_from_the_future_is_changed_once_it_was_known_for_a_turn() {
        let now = SystemTime::now();
        let keys = SharedKeys::new(now + 10 * TURN_OF_TICKETS).unwrap();
        assert_eq!(keys.rotated(now, Duration::ZERO), None);
        let changed = keys.rotated(now, TURN_OF_TICKETS).unwrap();
        assert_eq!(changed.tickets[1], keys.tickets[0]);
        assert_eq!(changed.cookies, keys.cookies);
        assert_eq!(changed.rotated(now, TURN_OF_TICKETS), None);
    }

    #[test]
    fn the_copy_is_what_was_copied_last() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(copied(folder.path()), None);
        for sealed in [&b"one"[..], b"another"] {
            copy(folder.path(), sealed).unwrap();
            assert_eq!(copied(folder.path()).as_deref(), Some(sealed));
        }
    }
}
