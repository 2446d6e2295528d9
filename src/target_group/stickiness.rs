//! What of ours keeps a client with its target: a cookie, or a header.
//!
//! Each target has a value, made once when the group is built: the start of an HMAC-SHA256 of the
//! group's name and the target's address. It tells nobody the address, cannot be made without the
//! key, and is the same on every node that has the key. Where it is to last for a while only, its
//! end stands behind it, and another HMAC of both.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::SET_COOKIE;
use http::{HeaderName, HeaderValue};
use ring::hmac;
use subtle::ConstantTimeEq as _;

use super::Target;
use crate::config::model::{self, HashKey, SameSite, Stickiness, StickyCookie};
use crate::config::secret_key::SecretKey;

/// How many bytes of the HMAC are used.
const TAG: usize = 16;

/// What the clients of a group bring.
pub(super) struct Tokens {
    carrier: Carrier,
    attributes: Box<str>,
    /// By the target's place.
    values: Box<[Box<str>]>,
    places: HashMap<Box<[u8]>, usize>,
    lifetime: Option<Lifetime>,
}

/// What a client brings the value in.
pub enum Carrier {
    /// A cookie of this name.
    Cookie(Box<str>),
    /// A header.
    Header(HeaderName),
}

/// How long a value is known.
struct Lifetime {
    seconds: u64,
    group: Box<str>,
    keys: Box<[hmac::Key]>,
}

impl Tokens {
    /// Those of this group, if it is to have any. The first key makes them, all of them know them.
    pub(super) fn of(
        group: &model::TargetGroup,
        targets: &[Arc<Target>],
        keys: &[SecretKey],
    ) -> Option<Self> {
        let (carrier, attributes, lifetime) = match group.stickiness.as_ref()? {
            Stickiness::Cookie(cookie) => {
                let carrier = Carrier::Cookie(cookie.name.as_str().into());
                (carrier, attributes(cookie), cookie.lifetime)
            }
            Stickiness::Header(header) => {
                let carrier = Carrier::Header(header.name.clone());
                (carrier, String::new(), header.lifetime)
            }
            Stickiness::ApplicationCookie(_) => return None,
        };
        let keys: Box<[hmac::Key]> = keys
            .iter()
            .map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.bytes()))
            .collect();
        let name = group.name.as_str();
        let values = |key| targets.iter().map(move |target| value(key, name, target));
        let known = keys.iter().flat_map(|key| values(key).zip(0..));
        Some(Tokens {
            carrier,
            attributes: attributes.into(),
            places: known
                .map(|(value, place)| (value.into_boxed_bytes(), place))
                .collect(),
            values: keys.first().into_iter().flat_map(values).collect(),
            lifetime: lifetime.map(|lifetime| Lifetime {
                seconds: lifetime.as_secs(),
                group: name.into(),
                keys,
            }),
        })
    }

    /// What all of them are brought in.
    pub(super) fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    /// The place of the target that this value tells.
    pub(super) fn place(&self, value: &[u8]) -> Option<usize> {
        let Some(lifetime) = &self.lifetime else {
            return self.places.get(value).copied();
        };
        let tag = lifetime.tag_of(value, now())?;
        self.places.get(tag).copied()
    }

    /// The header that gives a client the value of the target at this place.
    pub(super) fn header(
        &self,
        place: usize,
        is_secure: bool,
    ) -> Option<(HeaderName, HeaderValue)> {
        let value = self.values.get(place)?;
        let value = match &self.lifetime {
            Some(lifetime) => lifetime.until(value, now())?,
            None => value.to_string(),
        };
        let (header, text) = match &self.carrier {
            Carrier::Header(name) => (name.clone(), value),
            Carrier::Cookie(name) => {
                let secure = if is_secure { "; Secure" } else { "" };
                let text = [&**name, "=", &value, &*self.attributes, secure].concat();
                (SET_COOKIE, text)
            }
        };
        let text = HeaderValue::try_from(text).ok()?;
        Some((header, text))
    }
}

impl Lifetime {
    /// A value with its end.
    fn until(&self, tag: &str, now: u64) -> Option<String> {
        let end = now.saturating_add(self.seconds);
        let seal = self.seal(self.keys.first()?, tag.as_bytes(), end);
        Some(format!("{tag}.{end:x}.{seal}"))
    }

    /// What such a value has before its end, if that has yet to come and is no further away than it
    /// may be.
    fn tag_of<'v>(&self, value: &'v [u8], now: u64) -> Option<&'v [u8]> {
        let mut parts = value.splitn(3, |byte| *byte == b'.');
        let (tag, end, seal) = (parts.next()?, parts.next()?, parts.next()?);
        let end = u64::from_str_radix(std::str::from_utf8(end).ok()?, 16).ok()?;
        let is_now = now < end && end <= now.saturating_add(self.seconds);
        let is_ours = |key| bool::from(self.seal(key, tag, end).as_bytes().ct_eq(seal));
        (is_now && self.keys.iter().any(is_ours)).then_some(tag)
    }

    fn seal(&self, key: &hmac::Key, tag: &[u8], end: u64) -> String {
        let mut context = hmac::Context::with_key(key);
        context.update(b"culvert: the end of a session\0");
        context.update(&(self.group.len() as u64).to_be_bytes());
        context.update(self.group.as_bytes());
        context.update(&end.to_be_bytes());
        context.update(tag);
        URL_SAFE_NO_PAD.encode(&context.sign().as_ref()[..TAG])
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.as_ref().map_or(0, Duration::as_secs)
}

/// The cookie of the application that decides, where one does.
pub(super) fn application_cookie(group: &model::TargetGroup) -> Option<HashKey> {
    match group.stickiness.as_ref()? {
        Stickiness::ApplicationCookie(name) => Some(HashKey::Cookie(name.clone())),
        Stickiness::Cookie(_) | Stickiness::Header(_) => None,
    }
}

fn value(key: &hmac::Key, group: &str, target: &Target) -> Box<str> {
    let mut context = hmac::Context::with_key(key);
    context.update(b"culvert: a sticky cookie\0");
    context.update(&(group.len() as u64).to_be_bytes());
    context.update(group.as_bytes());
    context.update(target.address.to_string().as_bytes());
    let tag = context.sign();
    URL_SAFE_NO_PAD.encode(&tag.as_ref()[..TAG]).into()
}

fn attributes(cookie: &StickyCookie) -> String {
    let same_site = match cookie.same_site {
        SameSite::Lax => "Lax",
        SameSite::Strict => "Strict",
        SameSite::None => "None",
    };
    let age = cookie.duration.map(|duration| duration.as_secs());
    let age = age.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
    format!("; Path=/; HttpOnly; SameSite={same_site}{age}")
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::super::tests::{built, described};
    use super::super::{PickContext, TargetGroup, Unavailable};
    use super::*;
    use crate::config::model::Algorithm;

    fn key(byte: u8) -> SecretKey {
        SecretKey::new(Zeroizing::new([byte; 32]))
    }

    fn sticky() -> StickyCookie {
        StickyCookie {
            name: "culvert".into(),
            duration: None,
            lifetime: None,
            same_site: SameSite::Lax,
        }
    }

    /// A group of this name with two targets.
    fn group(name: &str, cookie: StickyCookie) -> TargetGroup {
        let mut group = described(Algorithm::RoundRobin, &[1, 0]);
        group.name = name.into();
        group.stickiness = Some(Stickiness::Cookie(cookie));
        built(&group)
    }

    fn cookies(name: &str, keys: &[SecretKey]) -> Tokens {
        let mut described = described(Algorithm::RoundRobin, &[1, 0]);
        described.name = name.into();
        described.stickiness = Some(Stickiness::Cookie(sticky()));
        Tokens::of(&described, &built(&described).targets, keys).unwrap()
    }

    #[test]
    fn a_value_never_changes_and_depends_on_the_key_the_group_and_the_target() {
        let values = |name, byte| cookies(name, &[key(byte)]).values;
        let expected = ["xoLpLUVSbtImWsOqBe3T3Q", "ki3sURathwAsb_FSc50RlQ"].map(Box::from);
        assert_eq!(*values("chat", 7), expected);
        let mut all: Vec<_> = [values("chat", 7), values("chat", 8), values("chat1", 7)]
            .into_iter()
            .flatten()
            .collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
        assert!(all.iter().all(|value| value.len() == 22));
    }

    #[test]
    fn all_keys_are_known_and_the_first_makes() {
        let (old, both) = (
            cookies("chat", &[key(1)]),
            cookies("chat", &[key(2), key(1)]),
        );
        assert_eq!(both.places.get(old.values[1].as_bytes()), Some(&1));
        assert_ne!(both.values, old.values);
        assert_eq!(old.places.get(both.values[1].as_bytes()), None);
    }

    #[test]
    fn the_header_says_what_the_configuration_says() {
        let lax = group("chat", sticky());
        let header = |group: &TargetGroup, secure| {
            let (name, header) = group.token(&group.targets[0], secure).unwrap();
            assert_eq!(name, SET_COOKIE);
            let text = header.to_str().unwrap().to_owned();
            let (value, attributes) = text.split_once("; ").unwrap();
            let (name, value) = value.split_once('=').unwrap();
            assert_eq!(group.place_told(value.as_bytes()), Some(0));
            let is_it =
                |carrier: &Carrier| matches!(carrier, Carrier::Cookie(own) if **own == *name);
            assert!(group.carrier().is_some_and(is_it));
            (name.to_owned(), attributes.to_owned())
        };
        let found = header(&lax, false);
        assert_eq!(
            found,
            ("culvert".into(), "Path=/; HttpOnly; SameSite=Lax".into())
        );
        let strict = group(
            "chat",
            StickyCookie {
                name: "s".into(),
                duration: Some(Duration::from_secs(3600)),
                lifetime: None,
                same_site: SameSite::Strict,
            },
        );
        let attributes = "Path=/; HttpOnly; SameSite=Strict; Max-Age=3600; Secure";
        assert_eq!(header(&strict, true), ("s".into(), attributes.into()));
    }

    #[test]
    fn a_sticky_client_gets_its_target_of_weight_0_and_nothing_it_was_sent_to_in_vain() {
        let group = group("chat", sticky());
        let context = PickContext {
            sticky: Some(1),
            ..PickContext::default()
        };
        assert_eq!(group.pick(&context).unwrap().0.place, 1);
        assert_eq!(group.foresee(&context).unwrap().place, 1);
        let tried = [group.targets[1].address.clone()];
        let again = PickContext {
            tried: &tried,
            ..context
        };
        assert_eq!(group.pick(&again).unwrap().0.place, 0);
        assert_eq!(group.pick(&PickContext::default()).unwrap().0.place, 0);
        let nobody = group.targets.iter().map(|target| target.address.clone());
        let nobody: Vec<_> = nobody.collect();
        let nobody = PickContext {
            tried: &nobody,
            ..context
        };
        assert_eq!(group.pick(&nobody).err(), Some(Unavailable::None));
    }

    #[test]
    fn what_was_made_for_another_group_or_by_nobody_tells_nothing() {
        let (chat, other) = (group("chat", sticky()), group("other", sticky()));
        let cookies = other.tokens.as_ref().unwrap();
        for value in [cookies.values[0].as_bytes(), b"", b"0", b"192.0.2.1:8000"] {
            assert_eq!(chat.place_told(value), None);
        }
    }

    #[test]
    fn a_value_with_a_lifetime_ends_and_its_end_cannot_be_moved() {
        let lifetime = Lifetime {
            seconds: 60,
            group: "chat".into(),
            keys: [1, 2]
                .map(|byte| hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]))
                .into(),
        };
        let value = lifetime.until("tag", 1000).unwrap();
        let tag = |value: &str, now| lifetime.tag_of(value.as_bytes(), now).map(<[u8]>::to_vec);
        assert_eq!(tag(&value, 1000), Some(b"tag".to_vec()));
        assert_eq!(tag(&value, 1059), Some(b"tag".to_vec()));
        assert_eq!(tag(&value, 1060), None, "it has ended");
        assert_eq!(tag(&value, 999), None, "it is from the future");
        let moved = value.replace(".424.", ".425.");
        assert_ne!(moved, value);
        for other in [&moved, "tag", "tag.424", "tag.424.", "..", ""] {
            assert_eq!(tag(other, 1001), None, "{other}");
        }
        let elsewhere = Lifetime {
            group: "other".into(),
            ..lifetime
        };
        assert_eq!(elsewhere.tag_of(value.as_bytes(), 1000), None);
    }

    #[test]
    fn a_header_carries_what_a_cookie_would() {
        let mut described = described(Algorithm::RoundRobin, &[1, 1]);
        described.stickiness = Some(Stickiness::Header(model::StickyHeader {
            name: HeaderName::from_static("x-session"),
            lifetime: Some(Duration::from_secs(60)),
        }));
        let group = built(&described);
        let (name, value) = group.token(&group.targets[1], true).unwrap();
        assert_eq!(name, "x-session");
        assert_eq!(group.place_told(value.as_bytes()), Some(1));
        let tag = group.tokens.as_ref().unwrap().values[1].as_bytes();
        assert_eq!(group.place_told(tag), None, "an end is needed");
    }
}
