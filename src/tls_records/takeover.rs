//! A connection of rustls that has shaken hands, taken over: its keys and what it has under way.
//!
//! rustls gives away keys, but not what the next ones of TLS 1.3 come from. That it tells only by
//! the hook for key logs, while the handshake is polled, on the same thread.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, Read as _, Write as _};
use std::pin::pin;

use ring::error::Unspecified;
use rustls::{Connection, ConnectionTrafficSecrets, KeyLog, ProtocolVersion};

use super::keys::{Keys, Secret};
use super::reader::{Reader, Role};
use super::state::Suite;
use super::stream::{Records, UnderWay};
use super::writer::Writer;

const CLIENT: &str = "CLIENT_TRAFFIC_SECRET_0";
const SERVER: &str = "SERVER_TRAFFIC_SECRET_0";

thread_local! {
    static NOTED: RefCell<FirstSecrets> = const {
        RefCell::new(FirstSecrets { client: None, server: None })
    };
}

/// The first traffic secrets of a connection in TLS 1.3; in TLS 1.2 there are none.
#[derive(Default)]
pub(crate) struct FirstSecrets {
    client: Option<Secret>,
    server: Option<Secret>,
}

impl fmt::Debug for FirstSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstSecrets")
    }
}

/// Notes the first secrets of the handshake that this thread polls.
#[derive(Debug)]
pub(crate) struct SecretNotes;

impl KeyLog for SecretNotes {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        NOTED.with_borrow_mut(|noted| match label {
            CLIENT => noted.client = Secret::new(secret),
            SERVER => noted.server = Secret::new(secret),
            _ => {}
        });
    }

    fn will_log(&self, label: &str) -> bool {
        [CLIENT, SERVER].contains(&label)
    }
}

/// Polls a handshake to its end, and tells its first secrets, if its configuration has
/// `SecretNotes`. Nothing of them stays with the thread.
pub(crate) async fn with_secrets<F: Future>(handshake: F) -> (F::Output, FirstSecrets) {
    let mut handshake = pin!(handshake);
    let mut secrets = FirstSecrets::default();
    let shaken = poll_fn(|cx| {
        NOTED.take();
        let polled = handshake.as_mut().poll(cx);
        let noted = NOTED.take();
        secrets.client = noted.client.or(secrets.client.take());
        secrets.server = noted.server.or(secrets.server.take());
        polled
    });
    (shaken.await, secrets)
}

/// Goes on with a connection whose handshake is over, where rustls has read whole records only.
/// Its configuration must allow that secrets are extracted.
pub(crate) fn take_over<S>(
    socket: S,
    mut connection: Connection,
    secrets: &FirstSecrets,
) -> io::Result<Records<S>> {
    let under_way = under_way(&mut connection)?;
    let is_tls13 = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    let role = match connection {
        Connection::Client(_) => Role::Client,
        Connection::Server(_) => Role::Server,
    };
    let (ours, theirs) = match role {
        Role::Client => (&secrets.client, &secrets.server),
        Role::Server => (&secrets.server, &secrets.client),
    };
    let extracted = connection.dangerous_extract_secrets();
    let extracted = extracted.map_err(io::Error::other)?;
    let keys = |(number, protection), first: &Option<Secret>| {
        keys(number, &protection, is_tls13, first.as_ref())
            .map_err(|Unspecified| io::Error::other("TLS: the keys cannot be taken over"))
    };
    let writer = Writer::new(keys(extracted.tx, ours)?);
    let reader = Reader::new(keys(extracted.rx, theirs)?, role);
    Ok(Records::new(socket, reader, writer, under_way))
}

/// What rustls has, but for the beginning of a record.
fn under_way(connection: &mut Connection) -> io::Result<UnderWay> {
    let state = connection.process_new_packets().map_err(io::Error::other)?;
    let mut under_way = UnderWay {
        opened: vec![0; state.plaintext_bytes_to_read()],
        unsent: Vec::new(),
        has_ended: state.peer_has_closed(),
    };
    if !under_way.opened.is_empty() {
        connection.reader().read_exact(&mut under_way.opened)?;
    }
    // An answer to a KeyUpdate waits for the next data.
    let nothing = connection.writer().write(&[])?;
    debug_assert_eq!(nothing, 0);
    while connection.wants_write() {
        connection.write_tls(&mut under_way.unsent)?;
    }
    Ok(under_way)
}

fn keys(
    number: u64,
    protection: &ConnectionTrafficSecrets,
    is_tls13: bool,
    first: Option<&Secret>,
) -> Result<Keys, Unspecified> {
    let (suite, key, iv) = match protection {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Suite::Aes128Gcm, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Suite::Aes256Gcm, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
            (Suite::ChaCha20Poly1305, key, iv)
        }
        _ => return Err(Unspecified),
    };
    if is_tls13 != first.is_some() {
        return Err(Unspecified);
    }
    Keys::new(suite, key.as_ref(), iv.as_ref(), first, number)
}
