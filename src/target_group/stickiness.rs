//! Cookies of ours that keep a client with its target.
//!
//! Each target has a value, made once when the group is built: the start of an HMAC-SHA256 of the
//! group's name and the target's address. It tells nobody the address, cannot be made without the
//! key, and is the same on every node that has the key.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderValue;
use ring::hmac;

use super::Target;
use crate::config::model::{self, HashKey, SameSite, Stickiness, StickyCookie};
use crate::config::secret_key::SecretKey;

/// How many bytes of the HMAC are used.
const TAG: usize = 16;

/// The cookies of a group.
pub(super) struct Cookies {
    name: Box<str>,
    attributes: Box<str>,
    /// By the target's place.
    values: Box<[Box<str>]>,
    places: HashMap<Box<[u8]>, usize>,
}

impl Cookies {
    /// The cookies of this group, if it is to have any. The first key makes them, all of them know
    /// them.
    pub(super) fn of(
        group: &model::TargetGroup,
        targets: &[Arc<Target>],
        keys: &[SecretKey],
    ) -> Option<Self> {
        match group.stickiness.as_ref()? {
            Stickiness::Cookie(cookie) => Some(Cookies::new(&group.name, cookie, targets, keys)),
            Stickiness::ApplicationCookie(_) => None,
        }
    }

    fn new(
        group: &str,
        cookie: &StickyCookie,
        targets: &[Arc<Target>],
        keys: &[SecretKey],
    ) -> Self {
        let keys: Vec<hmac::Key> = keys
            .iter()
            .map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.bytes()))
            .collect();
        let values = |key| targets.iter().map(move |target| value(key, group, target));
        let known = keys.iter().flat_map(|key| values(key).zip(0..));
        Cookies {
            name: cookie.name.as_str().into(),
            attributes: attributes(cookie).into(),
            places: known
                .map(|(value, place)| (value.into_boxed_bytes(), place))
                .collect(),
            values: keys.first().into_iter().flat_map(values).collect(),
        }
    }

    /// The name of them all.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The place of the target that a cookie with this value tells.
    pub(super) fn place(&self, value: &[u8]) -> Option<usize> {
        self.places.get(value).copied()
    }

    /// The header that sets the cookie of the target at this place.
    pub(super) fn header(&self, place: usize, is_secure: bool) -> Option<HeaderValue> {
        let value = self.values.get(place)?;
        let secure = if is_secure { "; Secure" } else { "" };
        let text = [&*self.name, "=", value, &*self.attributes, secure].concat();
        HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
    }
}

/// The cookie of the application that decides, where one does.
pub(super) fn application_cookie(group: &model::TargetGroup) -> Option<HashKey> {
    match group.stickiness.as_ref()? {
        Stickiness::ApplicationCookie(name) => Some(HashKey::Cookie(name.clone())),
        Stickiness::Cookie(_) => None,
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
    use std::time::Duration;

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

    fn cookies(name: &str, keys: &[SecretKey]) -> Cookies {
        let group = group(name, sticky());
        Cookies::new(name, &sticky(), &group.targets, keys)
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
            let header = group.cookie(&group.targets[0], secure).unwrap();
            let text = header.to_str().unwrap().to_owned();
            let (value, attributes) = text.split_once("; ").unwrap();
            let (name, value) = value.split_once('=').unwrap();
            assert_eq!(group.place_from_cookie(value.as_bytes()), Some(0));
            assert_eq!(group.cookie_name(), Some(name));
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
        let cookies = other.cookies.as_ref().unwrap();
        for value in [cookies.values[0].as_bytes(), b"", b"0", b"192.0.2.1:8000"] {
            assert_eq!(chat.place_from_cookie(value), None);
        }
    }
}
