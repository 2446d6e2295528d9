//! Clients that ask in the TLS handshake for what can be no host, as `[name]`, `name:443` or `-x`
//! (RFC 6066 section 3). rustls ends their handshakes; others serve them like clients that ask for
//! none, and so do we.
//!
//! rustls is shown the hello with another number in place of the extension's, which it does not
//! know and leaves alone. Both sides hash what was sent (RFC 8446 section 4.4.1), so the hash of
//! such a handshake puts the number back. A client that is asked for a second hello is refused as
//! before.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, ready};

use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use rustls::pki_types::DnsName;
use rustls::server::ServerConnection;
use rustls::{SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};
use tokio::io::{AsyncReadExt as _, ReadBuf};
use tokio::net::TcpStream;

/// The number of the extension (RFC 6066 section 1.1), and one that is for private use (RFC 8447
/// section 7).
const SERVER_NAME: [u8; 2] = [0, 0];
const UNKNOWN: [u8; 2] = [0xFF, 0x5A];
/// How much of a hello is looked at: its beginning has the extension.
const LOOKED_AT: usize = 2048;
/// A record's type, version and length; the type of a handshake's.
const RECORD_HEAD: usize = 5;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// What a client has begun with, if it asks for what can be no host, as it is to be shown to
/// rustls; it is read then.
pub(super) async fn read_odd_hello(socket: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = poll_fn(|cx| {
        let mut space = [0; LOOKED_AT];
        let mut buf = ReadBuf::new(&mut space);
        ready!(socket.poll_peek(cx, &mut buf))?;
        Poll::Ready(io::Result::Ok(length_if_odd(buf.filled())))
    });
    let Some(length) = length.await? else {
        return Ok(None);
    };
    let mut record = vec![0; length];
    socket.read_exact(&mut record).await?;
    if let Some((place, _)) = extension(&record[RECORD_HEAD..], SERVER_NAME) {
        put(&mut record[RECORD_HEAD + place..], UNKNOWN);
    }
    Ok(Some(record))
}

/// Shows it to a connection. What is wrong with it shows in the handshake.
pub(super) fn show(record: &[u8], connection: &mut ServerConnection) {
    let mut rest = record;
    while !rest.is_empty() && matches!(connection.read_tls(&mut rest), Ok(1..)) {
        if connection.process_new_packets().is_err() {
            return;
        }
    }
}

/// What such a connection hashes, signs and encrypts with.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let made = PROVIDER.get_or_init(|| {
        let provider = default_provider();
        let suites = provider.cipher_suites.iter().map(restoring);
        Arc::new(CryptoProvider {
            cipher_suites: suites.collect(),
            ..provider
        })
    });
    Arc::clone(made)
}

/// The length of the first record, if its hello asks for what can be no host, as far as it has
/// come.
fn length_if_odd(begun: &[u8]) -> Option<usize> {
    let hello = begun.get(RECORD_HEAD..)?;
    if begun[0] != HANDSHAKE || *hello.first()? != CLIENT_HELLO {
        return None;
    }
    let (_, names) = extension(hello, SERVER_NAME)?;
    let record = length(begun, RECORD_HEAD - 2, 2)?;
    let is_whole = length(hello, 1, 3)? + 4 == record;
    (is_whole && !is_host(names)).then_some(RECORD_HEAD + record)
}

/// Where an extension of a hello is, and what it holds.
fn extension(hello: &[u8], number: [u8; 2]) -> Option<(usize, &[u8])> {
    // Type, length, version and random bytes; then the session's id, cipher suites and compression
    // methods.
    let mut place = 1 + 3 + 2 + 32;
    for width in [1, 2, 1] {
        place += width + length(hello, place, width)?;
    }
    place += 2;
    loop {
        let found = hello.get(place..place + 2)?;
        let size = length(hello, place + 2, 2)?;
        let content = hello.get(place + 4..place + 4 + size)?;
        if found == number {
            return Some((place, content));
        }
        place += 4 + size;
    }
}

fn length(bytes: &[u8], place: usize, width: usize) -> Option<usize> {
    let digits = bytes.get(place..place + width)?;
    Some(
        digits
            .iter()
            .fold(0, |sum, digit| sum << 8 | usize::from(*digit)),
    )
}

/// Whether a list of names is one host, as rustls knows it. An address is none, but it does not
/// mind.
fn is_host(names: &[u8]) -> bool {
    let [_, _, 0, high, low, name @ ..] = names else {
        return false;
    };
    let is_one = usize::from(u16::from_be_bytes([*high, *low])) == name.len();
    let text = std::str::from_utf8(name).unwrap_or_default();
    is_one && (DnsName::try_from(text).is_ok() || text.parse::<IpAddr>().is_ok())
}

fn put(place: &mut [u8], number: [u8; 2]) {
    if let Some(place) = place.first_chunk_mut() {
        *place = number;
    }
}

/// The hello that was sent, where this one was shown instead.
fn original(message: &[u8]) -> Option<Vec<u8>> {
    let is_hello = message.first() == Some(&CLIENT_HELLO);
    let (place, _) = extension(message, UNKNOWN).filter(|_| is_hello)?;
    let mut sent = message.to_vec();
    put(&mut sent[place..], SERVER_NAME);
    Some(sent)
}

/// The suite with a hash that restores hellos. It is made once, and stays.
fn restoring(suite: &SupportedCipherSuite) -> SupportedCipherSuite {
    let common = |common: &CipherSuiteCommon| CipherSuiteCommon {
        suite: common.suite,
        hash_provider: Box::leak(Box::new(Restoring(common.hash_provider))),
        confidentiality_limit: common.confidentiality_limit,
    };
    match suite {
        SupportedCipherSuite::Tls12(suite) => {
            let common = common(&suite.common);
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite { common, ..**suite })))
        }
        SupportedCipherSuite::Tls13(suite) => {
            let common = common(&suite.common);
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite { common, ..**suite })))
        }
    }
}

/// A hash of what was sent.
struct Restoring(&'static dyn Hash);

impl Hash for Restoring {
    fn start(&self) -> Box<dyn Context> {
        Box::new(Restored(self.0.start()))
    }

    fn hash(&self, data: &[u8]) -> Output {
        self.0.hash(data)
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }
}

/// A hash that has begun.
struct Restored(Box<dyn Context>);

impl Context for Restored {
    fn fork_finish(&self) -> Output {
        self.0.fork_finish()
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Restored(self.0.fork()))
    }

    fn finish(self: Box<Self>) -> Output {
        self.0.finish()
    }

    fn update(&mut self, data: &[u8]) {
        match original(data) {
            Some(sent) => self.0.update(&sent),
            None => self.0.update(data),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with a hello that has an extension and then these names.
    fn record(names: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(names.len()).unwrap().to_be_bytes();
        let extensions = [&[0, 10, 0, 1, 7][..], &SERVER_NAME, &[high, low], names].concat();
        let size = u8::try_from(extensions.len()).unwrap();
        let fields = [
            &[3, 3][..],
            &[9; 32],
            &[1, 5],
            &[0, 2, 1, 2],
            &[1, 0],
            &[0, size],
        ]
        .concat();
        let size = u8::try_from(fields.len() + extensions.len()).unwrap();
        let head = [HANDSHAKE, 3, 1, 0, size + 4, CLIENT_HELLO, 0, 0, size];
        [&head[..], &fields, &extensions].concat()
    }

    fn names(name: &str) -> Vec<u8> {
        let size = u8::try_from(name.len()).unwrap();
        [&[0, size + 3, 0, 0, size], name.as_bytes()].concat()
    }

    #[test]
    fn what_can_be_no_host_is_told_from_hosts_and_addresses() {
        for (name, is_odd) in [
            ("a.example", false),
            ("a.example.", false),
            ("a_b", false),
            ("127.0.0.1", false),
            ("[a.example]", true),
            ("a.example:443", true),
            ("-x", true),
            ("a..b", true),
            ("", true),
        ] {
            let record = record(&names(name));
            let expected = is_odd.then_some(record.len());
            assert_eq!(length_if_odd(&record), expected, "{name}");
            for cut in 0..record.len() {
                assert_eq!(length_if_odd(&record[..cut]), None, "{name} cut at {cut}");
            }
        }
        assert!(length_if_odd(&record(&[])).is_some());
        assert!(length_if_odd(&record(&[0, 4, 1, 0, 1, b'a'])).is_some());
    }

    #[test]
    fn what_is_no_hello_is_left_alone() {
        for bytes in [
            &b""[..],
            b"GET / HTTP/1.1\r\n",
            &[22; 100],
            &[22, 3, 1, 0, 5, 1],
        ] {
            assert_eq!(length_if_odd(bytes), None);
            assert_eq!(original(bytes), None);
        }
    }

    #[test]
    fn the_hash_is_that_of_what_was_sent() {
        let sent = record(&names("[a]")).split_off(RECORD_HEAD);
        let mut shown = sent.clone();
        let (place, _) = extension(&sent, SERVER_NAME).unwrap();
        put(&mut shown[place..], UNKNOWN);
        assert_ne!(sent, shown);
        for suite in &provider().cipher_suites {
            let SupportedCipherSuite::Tls13(suite) = suite else {
                continue;
            };
            let restoring = suite.common.hash_provider;
            let mut hash = restoring.start();
            hash.update(&shown);
            assert_eq!(
                hash.fork().finish().as_ref(),
                restoring.hash(&sent).as_ref()
            );
        }
    }
}
