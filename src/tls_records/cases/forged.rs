//! Records that no peer should send, or in an order of our choice, sealed with a peer's keys.

use proptest::collection::vec;
use proptest::prelude::*;
use rustls::ContentType;

use super::*;
use crate::tls_records::keys::Keys;

pub(super) const DATA: u8 = 23;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const ALERT: u8 = 21;
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const KEY_UPDATE: &[u8] = &[24, 0, 0, 1, 0];
pub(super) const KEY_UPDATE_ASKED: &[u8] = &[24, 0, 0, 1, 1];
pub(super) const CLOSE: &[u8] = &[1, 0];

/// Seals a record of whatever kind.
pub(super) fn seal(keys: &mut Keys, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    keys.seal(ContentType::from(kind), content, &mut record)
        .unwrap();
    record
}

/// What one of these peers may send: records, after which its keys have changed or not.
fn record() -> impl Strategy<Value = (u8, Vec<u8>, bool)> {
    let few = |kind, content: &[u8], updates| Just((kind, content.to_vec(), updates));
    let ticket = vec(any::<u8>(), 1..40).prop_map(|body| ticket(&body));
    prop_oneof![
        4 => vec(any::<u8>(), 0..90).prop_map(|data| (DATA, data, false)),
        2 => few(HANDSHAKE, KEY_UPDATE, true),
        2 => few(HANDSHAKE, KEY_UPDATE_ASKED, true),
        2 => ticket.prop_map(|ticket| (HANDSHAKE, ticket, false)),
        1 => few(HANDSHAKE, &[0, 0, 0, 0], false),
        1 => few(HANDSHAKE, &[24, 0, 0, 1, 2], false),
        1 => few(HANDSHAKE, &[24, 0, 0, 2, 0, 0], false),
        1 => few(HANDSHAKE, &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0], false),
        1 => few(ALERT, CLOSE, false),
        1 => few(ALERT, &[1, 90], false),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| (ALERT, vec![a, b], false)),
        1 => (0_u8..26, vec(any::<u8>(), 0..9)).prop_map(|(kind, bytes)| (kind, bytes, false)),
    ]
}

/// A NewSessionTicket of TLS 1.3 with this ticket.
pub(super) fn ticket(ticket: &[u8]) -> Vec<u8> {
    let body = [
        &[0, 0, 1, 0, 9, 9, 9, 9, 1, 7][..],
        &(ticket.len() as u16).to_be_bytes(),
        ticket,
        &[0, 0],
    ];
    let body = body.concat();
    let length = (body.len() as u32).to_be_bytes();
    [&[4][..], &length[1..], &body].concat()
}

/// What rustls makes of the same records: its data, and whether it breaks.
fn rustls_reads(
    suite: SupportedCipherSuite,
    role: Role,
    records: &[(u8, Vec<u8>, bool)],
) -> (Vec<u8>, bool) {
    let other = if role == Role::Client {
        Role::Server
    } else {
        Role::Client
    };
    let mut pair = Pair::new(suite, other);
    let mut bytes = Vec::new();
    let keys = pair.ours.write_keys();
    for (kind, content, updates) in records {
        bytes.extend(seal(keys, *kind, content));
        if *updates && keys.is_tls13() {
            keys.update().unwrap();
        }
    }
    pair.ours.socket_mut().outgoing = bytes;
    pair.hear();
    (pair.heard, pair.broke.is_some())
}

/// Those of which rustls makes the same. Of others it looks at what is in them (tickets, hellos),
/// allows fewer (warnings and requests), or more (messages without a byte).
fn alike(mut records: Vec<(u8, Vec<u8>, bool)>) -> Vec<(u8, Vec<u8>, bool)> {
    let (mut alerts, mut requests) = (0, 0);
    records.retain(|(kind, content, _)| match (*kind, &content[..]) {
        (ALERT, _) => {
            alerts += 1;
            alerts <= 4
        }
        (HANDSHAKE, [0, 0, 0, 0]) => {
            requests += 1;
            requests <= 1
        }
        (HANDSHAKE, [4, _, high, low, body @ ..]) => {
            usize::from(u16::from_be_bytes([*high, *low])) == body.len()
        }
        (HANDSHAKE, [] | [1 | 4, ..]) => false,
        _ => true,
    });
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn whatever_comes_is_taken_as_rustls_takes_it(
        suite in 0..SUITES.len(),
        role in prop::sample::select(&ROLES[..]),
        records in vec(record(), 1..12),
        cut in 1_usize..200,
    ) {
        let suite = SUITES[suite];
        // rustls looks at a message when it is whole, or when it cannot become so any more.
        let mut records = alike(records);
        records.push((DATA, b"end".to_vec(), false));
        let mut pair = Pair::new(suite, role);
        let mut keys = pair.ours.read_keys().copy();
        for (kind, content, updates) in &records {
            let record = seal(&mut keys, *kind, content);
            pair.ours.socket_mut().incoming.extend(record);
            if *updates && keys.is_tls13() {
                keys.update().unwrap();
            }
        }
        pair.ours.socket_mut().reads = Turns::of(&[cut, 0]);
        let (read, end) = pair.read(64 << 10);
        let (theirs, is_broken) = rustls_reads(suite, role, &records);
        prop_assert_eq!(matches!(end, End::Broke(_)), is_broken, "{:?}, {:?}", end, records);
        // After a fault rustls shows no data of the same read.
        prop_assert!(is_broken || read == theirs);
        prop_assert!(read.starts_with(&theirs));
    }

    #[test]
    fn noise_breaks_a_connection_and_nothing_else(
        suite in 0..SUITES.len(),
        noise in vec(any::<u8>(), 0..400),
        head in prop_oneof![Just(None), (20_u8..25, 0_u8..80).prop_map(Some)],
    ) {
        let mut pair = Pair::new(SUITES[suite], Role::Server);
        let head = head.map(|(kind, length)| vec![kind, 3, 3, 0, length]).unwrap_or_default();
        pair.ours.socket_mut().incoming = [head, noise].concat();
        pair.ours.socket_mut().has_ended = true;
        let (read, end) = pair.read(64 << 10);
        prop_assert!(read.is_empty() && end != End::Waits);
    }
}

#[test]
fn a_message_may_come_in_parts_and_with_others() {
    for suite in &SUITES[..3] {
        let mut pair = Pair::new(*suite, Role::Client);
        let mut keys = pair.ours.read_keys().copy();
        let tickets = [ticket(&[7; 300]), ticket(&[8; 5])].concat();
        let mut parts: Vec<&[u8]> = tickets.chunks(30).collect();
        parts.extend([&KEY_UPDATE[..2], &KEY_UPDATE[2..]]);
        for part in parts {
            let record = seal(&mut keys, HANDSHAKE, part);
            pair.ours.socket_mut().incoming.extend(record);
        }
        keys.update().unwrap();
        let record = seal(&mut keys, DATA, b"data");
        pair.ours.socket_mut().incoming.extend(record);
        assert_eq!(pair.read(64 << 10), (b"data".to_vec(), End::Waits));
        // The longest ticket: 64 KB less what is beside it.
        let long = ticket(&vec![7; 0xFFFF - 14]);
        for part in long.chunks(1 << 14) {
            let record = seal(&mut keys, HANDSHAKE, part);
            pair.ours.socket_mut().incoming.extend(record);
        }
        assert_eq!(pair.read(64 << 10), (Vec::new(), End::Waits));
    }
}

#[test]
fn an_update_that_is_asked_for_is_answered_under_the_key_of_before() {
    for (suite, role) in SUITES[..3]
        .iter()
        .flat_map(|suite| ROLES.map(|role| (*suite, role)))
    {
        let mut pair = Pair::new(suite, role);
        let mut keys = pair.ours.read_keys().copy();
        let mut before = pair.ours.write_keys().copy();
        pair.ours.socket_mut().incoming = seal(&mut keys, HANDSHAKE, KEY_UPDATE);
        keys.update().unwrap();
        assert_eq!(pair.read(64 << 10), (Vec::new(), End::Waits));
        assert!(pair.ours.socket().outgoing.is_empty());
        pair.ours.socket_mut().incoming = seal(&mut keys, HANDSHAKE, KEY_UPDATE_ASKED);
        assert_eq!(pair.read(64 << 10), (Vec::new(), End::Waits));
        let mut sent = pair.ours.socket().outgoing.clone();
        let opened = before.open(*sent.first_chunk().unwrap(), &mut sent, 5);
        assert_eq!(opened.unwrap(), (ContentType::Handshake, 5));
        assert_eq!(&sent[..5], KEY_UPDATE);
        assert_eq!(pair.ours.write_keys().number(), 0);
    }
}

#[test]
fn a_handshake_that_is_asked_for_in_tls_1_2_is_refused_and_the_connection_goes_on() {
    let hello = [&[1, 0, 1, 0][..], &[0; 256]].concat();
    for suite in &SUITES[3..] {
        for (role, asked) in [(Role::Client, &[0, 0, 0, 0][..]), (Role::Server, &hello)] {
            let mut pair = Pair::new(*suite, role);
            let mut keys = pair.ours.read_keys().copy();
            let record = seal(&mut keys, HANDSHAKE, asked);
            let data = seal(&mut keys, DATA, b"data");
            pair.ours.socket_mut().incoming = [record, data].concat();
            assert_eq!(pair.read(64 << 10), (b"data".to_vec(), End::Waits));
            let mut sent = pair.ours.socket().outgoing.clone();
            let mut keys = pair.ours.write_keys().copy();
            let before = keys.number() - 1;
            keys.set_number(before);
            let head = *sent.first_chunk().unwrap();
            let opened = keys.open(head, &mut sent, 5).unwrap();
            assert_eq!(
                (opened, &sent[..2]),
                ((ContentType::Alert, 2), &[1, 100][..])
            );
            pair.write(b"heard").unwrap();
            pair.hear();
            assert_eq!((&*pair.heard, pair.broke), (&b"heard"[..], None));
        }
    }
}
