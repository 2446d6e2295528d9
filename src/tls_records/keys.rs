//! The keys of one direction: where they come from, and the protection of one record (RFC 8446
//! section 5.2, RFC 5288, RFC 7905).
//!
//! A number is given to one record only, before anything of that record leaves this file: so no
//! nonce is used twice with a key. Wherever sealing fails nothing of the plaintext is left behind.

use std::fmt;
use std::hint::black_box;

use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hkdf;
use rustls::ContentType;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::fault::Fault;
use super::state::{KeysState, Origin as Told, Suite};

/// A record's type, version and length.
pub(super) const HEAD: usize = 5;
/// How much a record carries at most (RFC 8446 section 5.1).
pub(super) const MOST_CONTENT: usize = 1 << 14;
const TAG: usize = 16;
/// The part of a nonce that goes with the record, with AES in TLS 1.2.
const EXPLICIT: usize = 8;
const LONGEST_KEY: usize = 32;
const LONGEST_SECRET: usize = 48;
/// How many times keys may have changed before they are taken over.
const MOST_CHANGES: usize = 256;

/// A traffic secret of TLS 1.3, wiped when it is dropped.
#[derive(Clone)]
pub(super) struct Secret {
    bytes: Zeroizing<[u8; LONGEST_SECRET]>,
    hash: hkdf::Algorithm,
}

impl Secret {
    /// The secret with these bytes: as many as the suite's hash has.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let hash = match bytes.len() {
            32 => hkdf::HKDF_SHA256,
            48 => hkdf::HKDF_SHA384,
            _ => return None,
        };
        let mut secret = Secret {
            bytes: Zeroizing::new([0; LONGEST_SECRET]),
            hash,
        };
        secret.bytes[..bytes.len()].copy_from_slice(bytes);
        Some(secret)
    }

    fn used(&self) -> &[u8] {
        &self.bytes[..hkdf::KeyType::len(&self.hash)]
    }

    /// HKDF-Expand-Label without a context (RFC 8446 section 7.1).
    fn expand(&self, label: &[u8], out: &mut [u8]) -> Result<(), Unspecified> {
        let length = u16::try_from(out.len()).map_err(|_| Unspecified)?;
        let name = [6 + label.len() as u8];
        let (length, length_of_out) = (length.to_be_bytes(), Length(out.len()));
        let info = [&length[..], &name, b"tls13 ", label, &[0]];
        let secret = hkdf::Prk::new_less_safe(self.hash, self.used());
        secret.expand(&info, length_of_out)?.fill(out)
    }

    /// The secret after a KeyUpdate (RFC 8446 section 7.2).
    fn next(&self) -> Result<Secret, Unspecified> {
        let mut next = self.clone();
        let used = hkdf::KeyType::len(&self.hash);
        self.expand(b"traffic upd", &mut next.bytes[..used])?;
        Ok(next)
    }
}

/// What a key is made of: that can be told to another process, unlike what ring makes of it.
enum Origin {
    /// The traffic secret of TLS 1.3.
    Secret(Secret),
    /// The key itself, in TLS 1.2.
    Key(Zeroizing<[u8; LONGEST_KEY]>),
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The keys of one direction, and the number of its next record.
pub(super) struct Keys {
    suite: Suite,
    key: LessSafeKey,
    iv: Zeroizing<[u8; NONCE_LEN]>,
    /// What the key is made of.
    origin: Origin,
    number: u64,
    most_records: u64,
}

impl Keys {
    /// The keys with which a direction goes on at this number. With the first secret of a
    /// connection in TLS 1.3 they are followed from it, however often they have changed since.
    pub(super) fn new(
        suite: Suite,
        key: &[u8],
        iv: &[u8],
        first: Option<&Secret>,
        number: u64,
    ) -> Result<Self, Unspecified> {
        let origin = match first {
            Some(first) => Origin::Secret(secret_of(suite, key, first)?),
            None => Origin::Key(padded(key)?),
        };
        Keys::of(suite, key, iv, origin, number)
    }

    fn of(
        suite: Suite,
        key: &[u8],
        iv: &[u8],
        origin: Origin,
        number: u64,
    ) -> Result<Self, Unspecified> {
        Ok(Keys {
            suite,
            key: LessSafeKey::new(UnboundKey::new(suite.algorithm(), key)?),
            iv: Zeroizing::new(iv.try_into().map_err(|_| Unspecified)?),
            origin,
            number,
            most_records: suite.most_records(),
        })
    }

    /// The keys that another process had.
    pub(super) fn resume(state: &KeysState) -> Result<Self, Unspecified> {
        let (suite, iv, number) = (state.suite, &state.iv, state.number);
        match &state.origin {
            Told::Key(key) => Keys::of(suite, key, iv, Origin::Key(padded(key)?), number),
            Told::Secret(secret) => {
                let secret = Secret::new(secret).ok_or(Unspecified)?;
                let key = key_of(suite, &secret)?;
                Keys::of(suite, used(&key, suite), iv, Origin::Secret(secret), number)
            }
        }
    }

    /// What another process needs to go on with them.
    pub(super) fn state(&self) -> KeysState {
        let origin = match &self.origin {
            Origin::Secret(secret) => Told::Secret(Zeroizing::new(secret.used().to_vec())),
            Origin::Key(key) => Told::Key(Zeroizing::new(used(key, self.suite).to_vec())),
        };
        KeysState {
            suite: self.suite,
            origin,
            iv: Zeroizing::new(self.iv.to_vec()),
            number: self.number,
        }
    }

    pub(super) fn is_tls13(&self) -> bool {
        matches!(self.origin, Origin::Secret(_))
    }

    /// Whether only one more record may be sealed.
    pub(super) fn are_used_up(&self) -> bool {
        self.number >= self.most_records - 1
    }

    /// Goes on to the next keys of TLS 1.3, and their first number.
    pub(super) fn update(&mut self) -> Result<(), Unspecified> {
        let Origin::Secret(secret) = &self.origin else {
            return Err(Unspecified);
        };
        let secret = secret.next()?;
        let key = key_of(self.suite, &secret)?;
        secret.expand(b"iv", &mut *self.iv)?;
        self.key = LessSafeKey::new(UnboundKey::new(
            self.suite.algorithm(),
            used(&key, self.suite),
        )?);
        self.origin = Origin::Secret(secret);
        self.number = 0;
        Ok(())
    }

    /// Appends a record that holds this, at most `MOST_CONTENT` long.
    pub(super) fn seal(
        &mut self,
        kind: ContentType,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unspecified> {
        let (number, nonce) = self.next_nonce()?;
        let start = out.len();
        let explicit = &nonce[NONCE_LEN - self.explicit()..];
        let inner = usize::from(self.is_tls13());
        let length = explicit.len() + content.len() + inner + TAG;
        let shown = if self.is_tls13() {
            ContentType::ApplicationData
        } else {
            kind
        };
        let head = head(shown, length)?;
        out.extend_from_slice(&head);
        out.extend_from_slice(explicit);
        let begin = out.len();
        out.extend_from_slice(content);
        if self.is_tls13() {
            out.push(kind.into());
        }
        let additional = self.additional(number, head, content.len());
        let (nonce, additional) = (Nonce::assume_unique_for_key(nonce), additional.as_ref());
        let sealed =
            self.key
                .seal_in_place_separate_tag(nonce, Aad::from(additional), &mut out[begin..]);
        match sealed {
            Ok(tag) => out.extend_from_slice(tag.as_ref()),
            Err(error) => {
                out[start..].zeroize();
                out.truncate(start);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Opens the record with this head. `record` ends with its body, which begins at `body`; its
    /// content is moved to the beginning. Returns what it is, and how long.
    pub(super) fn open(
        &mut self,
        head: [u8; HEAD],
        record: &mut [u8],
        body: usize,
    ) -> Result<(ContentType, usize), Fault> {
        let explicit = self.explicit();
        let sealed = (record.len() - body).checked_sub(explicit + TAG);
        let sealed = sealed.ok_or(Fault::BadTag)?;
        let (number, mut nonce) = self.next_nonce().map_err(|Unspecified| Fault::UsedUp)?;
        nonce[NONCE_LEN - explicit..].copy_from_slice(&record[body..body + explicit]);
        let additional = self.additional(number, head, sealed);
        let (nonce, additional) = (
            Nonce::assume_unique_for_key(nonce),
            Aad::from(additional.as_ref()),
        );
        let opened = self
            .key
            .open_within(nonce, additional, record, body + explicit..);
        let content = opened.map_err(|Unspecified| Fault::BadTag)?;
        match self.is_tls13() {
            true => unpadded(content),
            false if content.len() > MOST_CONTENT => Err(Fault::TooLong),
            false => Ok((ContentType::from(head[0]), content.len())),
        }
    }

    fn explicit(&self) -> usize {
        match self.suite {
            Suite::Aes128Gcm | Suite::Aes256Gcm if !self.is_tls13() => EXPLICIT,
            Suite::Aes128Gcm | Suite::Aes256Gcm | Suite::ChaCha20Poly1305 => 0,
        }
    }

    /// Gives away the next number, and the nonce of it.
    fn next_nonce(&mut self) -> Result<(u64, [u8; NONCE_LEN]), Unspecified> {
        let number = self.number;
        self.number = number.checked_add(1).ok_or(Unspecified)?;
        let mut nonce = *self.iv;
        let digits = nonce[NONCE_LEN - 8..].iter_mut().zip(number.to_be_bytes());
        digits.for_each(|(digit, with)| *digit ^= with);
        Ok((number, nonce))
    }

    /// What a tag vouches for besides: in TLS 1.3 the head, in TLS 1.2 the number and the head as
    /// it would be without protection.
    fn additional(&self, number: u64, head: [u8; HEAD], content: usize) -> Additional {
        let mut bytes = [0; 8 + HEAD];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bytes[8..].copy_from_slice(&head);
        if self.is_tls13() {
            return Additional { bytes, from: 8 };
        }
        // A record's length has two bytes.
        bytes[8 + 3..].copy_from_slice(&(content as u16).to_be_bytes());
        Additional { bytes, from: 0 }
    }
}

impl Drop for Keys {
    /// ring does not wipe what it has made of a key: that of zeros is written over it.
    fn drop(&mut self) {
        let zeros = [0; LONGEST_KEY];
        if let Ok(zeros) = UnboundKey::new(self.suite.algorithm(), used(&zeros, self.suite)) {
            self.key = LessSafeKey::new(zeros);
        }
        black_box(&self.key);
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

struct Additional {
    bytes: [u8; 8 + HEAD],
    from: usize,
}

impl AsRef<[u8]> for Additional {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

fn head(kind: ContentType, length: usize) -> Result<[u8; HEAD], Unspecified> {
    let length = u16::try_from(length).map_err(|_| Unspecified)?;
    let [high, low] = length.to_be_bytes();
    Ok([kind.into(), 3, 3, high, low])
}

/// The content of a record of TLS 1.3, without its padding and its type (RFC 8446 section 5.4).
fn unpadded(inner: &[u8]) -> Result<(ContentType, usize), Fault> {
    if inner.len() > MOST_CONTENT + 1 {
        return Err(Fault::TooLong);
    }
    let end = inner.iter().rposition(|byte| *byte != 0);
    let end = end.ok_or(Fault::Unexpected)?;
    Ok((ContentType::from(inner[end]), end))
}

fn used(key: &[u8; LONGEST_KEY], suite: Suite) -> &[u8] {
    &key[..suite.algorithm().key_len()]
}

fn padded(key: &[u8]) -> Result<Zeroizing<[u8; LONGEST_KEY]>, Unspecified> {
    let mut padded = Zeroizing::new([0; LONGEST_KEY]);
    let part = padded.get_mut(..key.len()).ok_or(Unspecified)?;
    part.copy_from_slice(key);
    Ok(padded)
}

/// The key that comes from a secret.
pub(super) fn key_of(
    suite: Suite,
    secret: &Secret,
) -> Result<Zeroizing<[u8; LONGEST_KEY]>, Unspecified> {
    let mut key = Zeroizing::new([0; LONGEST_KEY]);
    secret.expand(b"key", &mut key[..suite.algorithm().key_len()])?;
    Ok(key)
}

/// The secret that this key was derived from: the first of the connection, or one that follows.
fn secret_of(suite: Suite, key: &[u8], first: &Secret) -> Result<Secret, Unspecified> {
    let mut secret = first.clone();
    for _ in 0..=MOST_CHANGES {
        if bool::from(used(&*key_of(suite, &secret)?, suite).ct_eq(key)) {
            return Ok(secret);
        }
        secret = secret.next()?;
    }
    Err(Unspecified)
}

#[cfg(test)]
impl Keys {
    pub(super) fn limit(&mut self, most_records: u64) {
        self.most_records = most_records;
    }

    pub(super) fn most_records(&self) -> u64 {
        self.most_records
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn set_number(&mut self, number: u64) {
        self.number = number;
    }

    /// The same keys once more, as a peer has them.
    pub(super) fn copy(&self) -> Keys {
        let mut keys = Keys::resume(&self.state()).unwrap();
        keys.most_records = u64::MAX;
        keys
    }
}
