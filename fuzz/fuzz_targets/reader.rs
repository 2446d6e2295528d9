//! The reader of `src/tls_records`, told by a peer that has the keys, and by one that has not, in
//! any order and cut anywhere: nothing panics, no data is made up, and what comes of the bytes does
//! not depend on the cuts.
//!
//! An input is a byte for suite, version and role, one for the cuts, and then orders, each with so
//! many bytes: seal a record of some kind, change the keys, pass bytes on as they are, or damage
//! what was sealed.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tls_records::run(input));

#[allow(dead_code)]
#[path = "../../src/base64_text.rs"]
mod base64_text;

/// The room, as far as the reader goes.
#[path = "../../src/tls_records"]
mod tls_records {
    #[allow(dead_code)]
    mod fault;
    #[allow(dead_code)]
    mod keys;
    #[allow(dead_code)]
    mod reader;
    #[allow(dead_code)]
    mod state;

    use ring::error::Unspecified;
    use rustls::ContentType;

    use keys::{Keys, Secret, key_of};
    use reader::{LONGEST, Reader, Role};
    use state::Suite;

    /// What the orders of an input have made: bytes, and the data that was sealed in them.
    #[derive(Default)]
    struct Stream {
        bytes: Vec<u8>,
        data: Vec<u8>,
    }

    impl Stream {
        fn seal(&mut self, keys: &mut Keys, kind: ContentType, content: &[u8]) {
            if keys.seal(kind, content, &mut self.bytes).is_err() {
                return;
            }
            let mut inner = [content, &[kind.into()]].concat();
            if keys.is_tls13() {
                // What is 0 at the end is padding.
                inner.truncate(inner.iter().rposition(|byte| *byte != 0).map_or(0, |end| end + 1));
            }
            if inner.pop() == Some(ContentType::ApplicationData.into()) {
                self.data.extend(inner);
            }
        }

        fn obey(&mut self, order: u8, content: &[u8], keys: &mut Keys) {
            let variant = order / 8;
            match order % 8 {
                0 => self.seal(keys, ContentType::ApplicationData, content),
                1 => self.seal(keys, ContentType::Handshake, content),
                2 => self.seal(keys, ContentType::Alert, content),
                3 => self.seal(keys, ContentType::from(variant), content),
                4 => {
                    self.seal(keys, ContentType::Handshake, &[24, 0, 0, 1, variant % 2]);
                    drop(keys.update());
                }
                5 => self.bytes.extend_from_slice(content),
                6 => {
                    let long = content.repeat(1 + usize::from(variant) * 16);
                    let length = long.len().min(17_000);
                    self.seal(keys, ContentType::ApplicationData, &long[..length]);
                }
                _ => {
                    let place = self.bytes.len().checked_sub(1 + content.len());
                    if let Some(byte) = place.and_then(|place| self.bytes.get_mut(place)) {
                        *byte ^= 1 + variant;
                    }
                }
            }
        }
    }

    /// Reads what an input makes, whole and cut.
    pub(super) fn run(input: &[u8]) {
        let [kind, cut, rest @ ..] = input else {
            return;
        };
        let mut keys = keys(*kind).expect("keys of the right length");
        let (mut stream, mut rest) = (Stream::default(), rest);
        while let [order, length, after @ ..] = rest {
            let (content, after) = after.split_at(after.len().min((*length).into()));
            stream.obey(*order, content, &mut keys);
            rest = after;
        }
        let whole = read(*kind, &stream.bytes, stream.bytes.len());
        assert!(stream.data.starts_with(&whole.0));
        assert!(whole == read(*kind, &stream.bytes, 1 + usize::from(*cut)));
    }

    /// Keys as both ends have them.
    fn keys(kind: u8) -> Result<Keys, Unspecified> {
        let (suite, length) = match kind % 3 {
            0 => (Suite::Aes128Gcm, 32),
            1 => (Suite::Aes256Gcm, 48),
            _ => (Suite::ChaCha20Poly1305, 32),
        };
        let secret = Secret::new(&[7; 48][..length]).ok_or(Unspecified)?;
        let key = key_of(suite, &secret)?;
        let key = &key[..if kind % 3 == 0 { 16 } else { 32 }];
        let is_tls13 = kind & 4 != 0;
        Keys::new(suite, key, &[9; 12], is_tls13.then_some(&secret), 0)
    }

    /// Reads bytes in parts: the data, and all else that came of it.
    fn read(kind: u8, bytes: &[u8], part: usize) -> (Vec<u8>, String) {
        let keys = keys(kind).expect("keys of the right length");
        let role = if kind & 8 == 0 { Role::Client } else { Role::Server };
        let mut reader = Reader::new(keys, role);
        let (mut data, mut begun) = (Vec::new(), Vec::new());
        let (mut updates, mut handshakes) = (false, false);
        for part in bytes.chunks(part.max(1)) {
            begun.extend_from_slice(part);
            let opened = reader.open(&mut begun);
            assert!(opened.data <= opened.taken && opened.taken <= begun.len());
            data.extend_from_slice(&begun[..opened.data]);
            begun.drain(..opened.taken);
            updates |= opened.asks_for_update;
            handshakes |= opened.asks_for_handshake;
            if let Some(end) = opened.end {
                return (data, format!("{end:?} {updates} {handshakes}"));
            }
            assert!(begun.len() < LONGEST);
        }
        (data, format!("{} {updates} {handshakes}", begun.len()))
    }
}
