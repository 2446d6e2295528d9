//! Session tickets (RFC 8446 section 4.6.1, RFC 5077): what a client keeps of a session to take it
//! up again without a full handshake, sealed so that only those who have the key can open it.
//!
//! The keys are the process's, and outlive every reload: either those of a file, which several
//! machines may share, or its own, which change every six hours and go to the process that succeeds
//! it. A ticket begins with its key's name and a salt; both give a key that seals this ticket alone
//! (HKDF, AES-256-GCM), so no number of tickets wears a key out.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::secret_key::{self, SecretKey};

/// How long a key of our own seals, and how long a client may keep a ticket.
const TURN: Duration = Duration::from_secs(6 * 60 * 60);
/// How long it opens.
const LIFE: Duration = Duration::from_secs(2 * TURN.as_secs());
/// More keys of our own than come about by themselves.
const MOST_OWN: usize = 8;

const NAME: usize = 16;
const SALT: usize = 16;
/// It seals once: the nonce need not change.
const NONCE: [u8; 12] = [0; 12];

/// A key of our own on its way to the process that succeeds this one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OwnKey {
    key: SecretKey,
    made: SystemTime,
}

/// What seals and opens the tickets of all forwarding rules.
#[derive(Default)]
pub struct Tickets(Arc<ArcSwap<Keys>>);

impl Tickets {
    /// With the keys of the process before, if there was one.
    pub fn inherited(keys: Vec<OwnKey>) -> Self {
        let now = SystemTime::now();
        let mut own: Vec<_> = keys
            .into_iter()
            .map(|own| Arc::new(Key::new(own.key, own.made.min(now))))
            .collect();
        own.sort_by_key(|key| std::cmp::Reverse(key.made));
        own.truncate(MOST_OWN);
        let of_file = Vec::new();
        Tickets(Arc::new(ArcSwap::from_pointee(Keys { of_file, own })))
    }

    /// From now on the first of these seals, and all of them open; without any, keys of our own
    /// seal. Those open anyway.
    pub fn take(&self, of_file: &[SecretKey]) {
        let of_file: Vec<_> = of_file
            .iter()
            .map(|key| Arc::new(Key::new(key.clone(), SystemTime::UNIX_EPOCH)))
            .collect();
        self.0.rcu(|keys| Keys {
            of_file: of_file.clone(),
            own: keys.own.clone(),
        });
    }

    /// The keys of our own, for the process that succeeds this one.
    pub fn own(&self) -> Vec<OwnKey> {
        let keys = self.0.load();
        let live = keys.own.iter().filter(|key| key.opens(SystemTime::now()));
        live.map(|key| OwnKey {
            key: key.secret.clone(),
            made: key.made,
        })
        .collect()
    }

    /// What a forwarding rule issues. Only rules with the same `audience` open each other's
    /// tickets.
    pub(super) fn of(&self, audience: Vec<u8>) -> Arc<dyn ProducesTickets> {
        Arc::new(RuleTickets {
            keys: Arc::clone(&self.0),
            audience,
        })
    }
}

/// The keys of the file in its order; our own, the newest first.
#[derive(Default)]
struct Keys {
    of_file: Vec<Arc<Key>>,
    own: Vec<Arc<Key>>,
}

impl Keys {
    /// What seals now; `None` where a new key is needed.
    fn sealing(&self, now: SystemTime) -> Option<&Arc<Key>> {
        let own = self.own.first().filter(|key| key.age(now) < TURN);
        self.of_file.first().or(own)
    }

    fn named(&self, name: &[u8], now: SystemTime) -> Option<&Key> {
        let own = self.own.iter().filter(|key| key.opens(now));
        let mut all = self.of_file.iter().chain(own);
        all.find(|key| key.name == name).map(|key| &**key)
    }

    fn with(&self, new: &Arc<Key>, now: SystemTime) -> Self {
        let rest = self.own.iter().filter(|key| key.opens(now)).cloned();
        let own = std::iter::once(Arc::clone(new)).chain(rest);
        Keys {
            of_file: self.of_file.clone(),
            own: own.take(MOST_OWN).collect(),
        }
    }
}

struct Key {
    /// Tells nothing of the secret, and is the same wherever that is.
    name: [u8; NAME],
    secret: SecretKey,
    made: SystemTime,
}

impl Key {
    fn new(secret: SecretKey, made: SystemTime) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.bytes());
        let tag = hmac::sign(&key, b"culvert: the name of a session ticket key");
        let mut name = [0; NAME];
        name.copy_from_slice(&tag.as_ref()[..NAME]);
        Key { name, secret, made }
    }

    fn random(random: &SystemRandom, now: SystemTime) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; secret_key::LENGTH]);
        random.fill(bytes.as_mut_slice()).ok()?;
        Some(Key::new(SecretKey::new(bytes), now))
    }

    /// A clock that was set back makes it young.
    fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.made).unwrap_or_default()
    }

    fn opens(&self, now: SystemTime) -> bool {
        self.age(now) < LIFE
    }

    fn for_salt(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let key = Salt::new(HKDF_SHA256, salt).extract(self.secret.bytes());
        let key = key.expand(&[b"culvert: a session ticket"], &AES_256_GCM);
        Some(LessSafeKey::new(UnboundKey::from(key.ok()?)))
    }

    fn seal(&self, plain: &[u8], audience: &[u8], random: &SystemRandom) -> Option<Vec<u8>> {
        let mut salt = [0; SALT];
        random.fill(&mut salt).ok()?;
        let mut sealed = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key(NONCE);
        self.for_salt(&salt)?
            .seal_in_place_append_tag(nonce, Aad::from(audience), &mut sealed)
            .ok()?;
        Some([&self.name, &salt, sealed.as_slice()].concat())
    }

    fn open(&self, salt: &[u8], sealed: &[u8], audience: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(NONCE);
        let key = self.for_salt(salt)?;
        let plain = key.open_in_place(nonce, Aad::from(audience), &mut sealed);
        Some(plain.ok()?.to_vec())
    }
}

/// What a forwarding rule issues.
struct RuleTickets {
    keys: Arc<ArcSwap<Keys>>,
    audience: Vec<u8>,
}

impl RuleTickets {
    fn seal(&self, plain: &[u8], now: SystemTime) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        if let Some(key) = self.keys.load().sealing(now) {
            return key.seal(plain, &self.audience, &random);
        }
        let new = Arc::new(Key::random(&random, now)?);
        // Of several that find this out at once the first wins.
        self.keys.rcu(|keys| match keys.sealing(now) {
            Some(_) => Arc::clone(keys),
            None => Arc::new(keys.with(&new, now)),
        });
        let keys = self.keys.load();
        keys.sealing(now)?.seal(plain, &self.audience, &random)
    }

    fn open(&self, ticket: &[u8], now: SystemTime) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (salt, sealed) = rest.split_at_checked(SALT)?;
        let keys = self.keys.load();
        keys.named(name, now)?.open(salt, sealed, &self.audience)
    }
}

impl ProducesTickets for RuleTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        TURN.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, SystemTime::now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, SystemTime::now())
    }
}

impl fmt::Debug for RuleTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RuleTickets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn of(tickets: &Tickets, audience: &str) -> RuleTickets {
        RuleTickets {
            keys: Arc::clone(&tickets.0),
            audience: audience.into(),
        }
    }

    fn key(byte: u8) -> SecretKey {
        SecretKey::new(Zeroizing::new([byte; secret_key::LENGTH]))
    }

    fn with_keys(keys: &[u8]) -> RuleTickets {
        let tickets = Tickets::default();
        let keys: Vec<_> = keys.iter().map(|byte| key(*byte)).collect();
        tickets.take(&keys);
        of(&tickets, "")
    }

    #[test]
    fn what_is_foreign_cut_or_changed_opens_nothing() {
        let tickets = Tickets::default();
        let rule = of(&tickets, "a");
        let ticket = rule.encrypt(b"session").unwrap();
        assert_eq!(rule.decrypt(&ticket).unwrap(), b"session");
        for end in 0..ticket.len() {
            assert_eq!(rule.decrypt(&ticket[..end]), None, "{end}");
        }
        for place in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[place] ^= 1;
            assert_eq!(rule.decrypt(&changed), None, "{place}");
        }
        assert_eq!(rule.decrypt(&[ticket.clone(), vec![0]].concat()), None);
        assert_eq!(of(&Tickets::default(), "a").decrypt(&ticket), None);
        assert_eq!(of(&tickets, "b").decrypt(&ticket), None);
        assert_eq!(of(&tickets, "a").decrypt(&ticket).unwrap(), b"session");
    }

    #[test]
    fn no_two_tickets_are_alike_and_none_shows_what_is_in_it() {
        let rule = of(&Tickets::default(), "");
        let [one, two] = [rule.encrypt(b"session"), rule.encrypt(b"session")].map(Option::unwrap);
        assert_ne!(one, two);
        assert_eq!(one[..NAME], two[..NAME]);
        let shows = one.windows(7).any(|part| part == b"session");
        assert!(!shows);
        assert_eq!(format!("{rule:?} {:?}", key(7)), "RuleTickets SecretKey");
    }

    #[test]
    fn a_key_of_our_own_seals_for_six_hours_and_opens_for_twelve() {
        let rule = of(&Tickets::default(), "");
        let start = SystemTime::now();
        let name = |ticket: &[u8]| ticket[..NAME].to_vec();
        let first = rule.seal(b"1", start).unwrap();
        let last = rule.seal(b"2", start + 6 * HOUR - Duration::from_secs(1));
        assert_eq!(name(&last.unwrap()), name(&first));
        let turned = rule.seal(b"3", start + 6 * HOUR).unwrap();
        assert_ne!(name(&turned), name(&first));
        let almost = start + 12 * HOUR - Duration::from_secs(1);
        assert_eq!(rule.open(&first, almost).unwrap(), b"1");
        assert_eq!(rule.open(&first, start + 12 * HOUR), None);
        assert_eq!(rule.open(&turned, start + 12 * HOUR).unwrap(), b"3");
        for turn in 2..50 {
            rule.seal(b"4", start + turn * 6 * HOUR).unwrap();
            assert!(rule.keys.load().own.len() <= 2);
        }
        // A clock that is set back.
        assert!(rule.seal(b"5", start - 6 * HOUR).is_some());
    }

    #[test]
    fn the_first_key_of_a_file_seals_and_all_of_them_open() {
        let (old, both, new) = (with_keys(&[1]), with_keys(&[2, 1]), with_keys(&[2]));
        let sealed = old.encrypt(b"old").unwrap();
        assert_eq!(both.decrypt(&sealed).unwrap(), b"old");
        assert_eq!(new.decrypt(&sealed), None);
        let sealed = both.encrypt(b"new").unwrap();
        assert_eq!(new.decrypt(&sealed).unwrap(), b"new");
        assert_eq!(old.decrypt(&sealed), None);
    }

    #[test]
    fn keys_that_left_the_file_open_nothing_any_more() {
        let tickets = Tickets::default();
        let rule = of(&tickets, "");
        let own = rule.encrypt(b"own").unwrap();
        tickets.take(&[key(1)]);
        let of_file = rule.encrypt(b"file").unwrap();
        assert_eq!(rule.decrypt(&own).unwrap(), b"own");
        tickets.take(&[key(2)]);
        assert_eq!(rule.decrypt(&of_file), None);
        assert_eq!(rule.decrypt(&own).unwrap(), b"own");
    }

    #[test]
    fn the_next_process_opens_and_seals_with_the_same_keys() {
        let tickets = Tickets::default();
        let ticket = of(&tickets, "a").encrypt(b"session").unwrap();
        let keys = serde_json::to_string(&tickets.own()).unwrap();
        let next = Tickets::inherited(serde_json::from_str(&keys).unwrap());
        assert_eq!(of(&next, "a").decrypt(&ticket).unwrap(), b"session");
        let later = of(&next, "a").encrypt(b"later").unwrap();
        assert_eq!(later[..NAME], ticket[..NAME]);
        assert!(!format!("{:?}", tickets.own()).contains("[0"));
    }

    #[test]
    fn a_process_that_says_nonsense_leaves_few_keys() {
        let made = SystemTime::now() + 1000 * HOUR;
        let many = (0..100).map(|byte| OwnKey {
            key: key(byte),
            made,
        });
        let tickets = Tickets::inherited(many.collect());
        assert_eq!(tickets.own().len(), MOST_OWN);
    }
}
