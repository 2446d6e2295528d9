//! What a peer must not do: it is told so by the right alert, and nothing of it gets through.

use rustls::AlertDescription as Alert;

use super::forged::*;
use super::*;

/// Records of a kind and with this content, all but the last of which are in order.
type Records = Vec<(u8, Vec<u8>)>;

fn one(kind: u8, content: &[u8]) -> Records {
    vec![(kind, content.to_vec())]
}

/// What neither version allows.
fn faults() -> Vec<(&'static str, Records, Alert)> {
    let parts = |kind, content: &[u8]| vec![(HANDSHAKE, vec![0]), (kind, content.to_vec())];
    vec![
        (
            "17 KB",
            one(DATA, &[0; (1 << 14) + 1]),
            Alert::RecordOverflow,
        ),
        (
            "a CCS",
            one(CHANGE_CIPHER_SPEC, &[1]),
            Alert::UnexpectedMessage,
        ),
        ("no kind", one(77, &[1]), Alert::UnexpectedMessage),
        ("no message", one(HANDSHAKE, &[]), Alert::UnexpectedMessage),
        (
            "Finished",
            one(HANDSHAKE, &[20, 0, 0, 12]),
            Alert::UnexpectedMessage,
        ),
        (
            "data within",
            parts(DATA, b"data"),
            Alert::UnexpectedMessage,
        ),
        (
            "an end within",
            parts(ALERT, CLOSE),
            Alert::UnexpectedMessage,
        ),
        ("half an alert", one(ALERT, &[1]), Alert::DecodeError),
        (
            "two alerts",
            one(ALERT, &[1, 90, 1, 90]),
            Alert::DecodeError,
        ),
        (
            "another level",
            one(ALERT, &[3, 0]),
            Alert::IllegalParameter,
        ),
        (
            "nothing",
            vec![(DATA, Vec::new()); 33],
            Alert::UnexpectedMessage,
        ),
        (
            "warnings",
            vec![(ALERT, vec![1, 90]); 33],
            Alert::UnexpectedMessage,
        ),
    ]
}

fn faults_of_tls13(role: Role) -> Vec<(&'static str, Records, Alert)> {
    let pair = [KEY_UPDATE, KEY_UPDATE].concat();
    let of_servers = match role {
        Role::Client => (ticket(&[7; 0xFFFF]), Alert::DecodeError),
        Role::Server => (ticket(&[7; 9]), Alert::UnexpectedMessage),
    };
    vec![
        (
            "updates together",
            one(HANDSHAKE, &pair),
            Alert::UnexpectedMessage,
        ),
        (
            "an update and more",
            one(HANDSHAKE, &[24, 0, 0, 1, 0, 4]),
            Alert::UnexpectedMessage,
        ),
        (
            "half an update",
            one(HANDSHAKE, &[24, 0, 0, 0]),
            Alert::DecodeError,
        ),
        (
            "a long update",
            one(HANDSHAKE, &[24, 0, 0, 2, 0, 0]),
            Alert::DecodeError,
        ),
        (
            "an odd update",
            one(HANDSHAKE, &[24, 0, 0, 1, 2]),
            Alert::IllegalParameter,
        ),
        (
            "a ticket",
            one(HANDSHAKE, &of_servers.0[..16]),
            of_servers.1,
        ),
        (
            "a request",
            one(HANDSHAKE, &[0, 0, 0, 0]),
            Alert::UnexpectedMessage,
        ),
        (
            "a hello",
            one(HANDSHAKE, &[1, 0, 0, 9]),
            Alert::UnexpectedMessage,
        ),
        ("padding alone", one(0, &[0; 40]), Alert::UnexpectedMessage),
    ]
}

fn faults_of_tls12(role: Role) -> Vec<(&'static str, Records, Alert)> {
    let (asked, not_asked) = match role {
        Role::Client => ([0, 0, 0, 1], [1, 0, 0, 9]),
        Role::Server => ([1, 0, 0, 0], [0, 0, 0, 0]),
    };
    vec![
        (
            "a malformed request",
            one(HANDSHAKE, &asked),
            Alert::DecodeError,
        ),
        (
            "a request of the wrong side",
            one(HANDSHAKE, &not_asked),
            Alert::UnexpectedMessage,
        ),
        (
            "an update",
            one(HANDSHAKE, KEY_UPDATE),
            Alert::UnexpectedMessage,
        ),
        (
            "a ticket",
            one(HANDSHAKE, &ticket(&[7; 9])),
            Alert::UnexpectedMessage,
        ),
    ]
}

#[test]
fn what_must_not_come_ends_the_connection_with_its_alert() {
    for (suite, role) in SUITES
        .iter()
        .flat_map(|suite| ROLES.map(|role| (*suite, role)))
    {
        let of_version = match suite.tls13() {
            Some(_) => faults_of_tls13(role),
            None => faults_of_tls12(role),
        };
        for (what, records, alert) in faults().into_iter().chain(of_version) {
            let mut pair = Pair::new(suite, role);
            let mut keys = pair.ours.read_keys().copy();
            let mut sealed = seal(&mut keys, DATA, b"before");
            for (kind, content) in records {
                // rustls' servers know no message that begins with a 0 in TLS 1.3.
                let kind_of_message = if keys.is_tls13() {
                    24
                } else {
                    u8::from(role == Role::Server)
                };
                let is_part = content == [0] && kind == HANDSHAKE;
                let content = if is_part {
                    vec![kind_of_message]
                } else {
                    content
                };
                sealed.extend(seal(&mut keys, kind, &content));
            }
            sealed.extend(seal(&mut keys, DATA, b"after"));
            pair.ours.socket_mut().incoming = sealed;
            let (read, end) = pair.read(64 << 10);
            assert!(
                matches!(end, End::Broke(_)),
                "{what}: {suite:?} {role:?} {end:?}"
            );
            assert_eq!(read, b"before", "{what}: {suite:?} {role:?}");
            assert_eq!(pair.alert(), Some(alert), "{what}: {suite:?} {role:?}");
            assert!(pair.write(b"no more").is_err(), "{what}");
        }
    }
}

/// Changes a record of data to what it must not be.
type Change = fn(&mut Vec<u8>);

#[test]
fn a_record_that_is_none_of_the_connection_ends_it_with_its_alert() {
    let changes: [(&str, Change, Alert); 8] = [
        (
            "a wrong tag",
            |record| *record.last_mut().unwrap() ^= 1,
            Alert::BadRecordMac,
        ),
        (
            "a wrong byte",
            |record| record[14] ^= 1,
            Alert::BadRecordMac,
        ),
        (
            "a short one",
            |record| *record = vec![23, 3, 3, 0, 15],
            Alert::BadRecordMac,
        ),
        (
            "an empty one",
            |record| *record = vec![23, 3, 3, 0, 0],
            Alert::BadRecordMac,
        ),
        ("a longer one", |record| record[4] += 1, Alert::BadRecordMac),
        (
            "a long one",
            |record| *record = vec![23, 3, 3, 0x48, 1],
            Alert::RecordOverflow,
        ),
        ("SSL", |record| record[1] = 2, Alert::ProtocolVersion),
        ("TLS 1.1", |record| record[2] = 2, Alert::ProtocolVersion),
    ];
    for (suite, (what, change, alert)) in SUITES
        .iter()
        .flat_map(|suite| changes.map(|change| (*suite, change)))
    {
        let mut pair = Pair::new(suite, Role::Server);
        let mut keys = pair.ours.read_keys().copy();
        let mut record = seal(&mut keys, DATA, b"data");
        change(&mut record);
        record.resize(
            record.len().max(if what.starts_with('a') { 60 } else { 5 }),
            0,
        );
        pair.ours.socket_mut().incoming = record;
        let (read, end) = pair.read(64 << 10);
        assert!(
            read.is_empty() && matches!(end, End::Broke(_)),
            "{what}: {suite:?} {end:?}"
        );
        assert_eq!(pair.alert(), Some(alert), "{what}: {suite:?}");
    }
}

#[test]
fn a_record_without_protection_ends_a_connection_of_tls_1_3() {
    for kind in [CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, 24, 0] {
        let mut pair = Pair::new(SUITES[0], Role::Client);
        pair.ours.socket_mut().incoming = vec![kind, 3, 3, 0, 2, 1, 0];
        assert!(matches!(pair.read(64 << 10).1, End::Broke(_)), "{kind}");
        assert_eq!(pair.alert(), Some(Alert::UnexpectedMessage), "{kind}");
    }
}

#[test]
fn a_fatal_alert_ends_the_connection_and_is_not_answered() {
    for mut pair in Pair::all() {
        let mut keys = pair.ours.read_keys().copy();
        pair.ours.socket_mut().incoming = seal(&mut keys, ALERT, &[2, 40]);
        let (_, end) = pair.read(64 << 10);
        assert_eq!(
            end,
            End::Broke("TLS: received fatal alert: HandshakeFailure".to_owned())
        );
        assert!(pair.ours.socket().outgoing.is_empty() && pair.write(b"no more").is_err());
    }
}

#[test]
fn a_warning_is_ignored_in_tls_1_2_and_ends_a_connection_of_tls_1_3() {
    for mut pair in Pair::all() {
        let mut keys = pair.ours.read_keys().copy();
        let canceled = seal(&mut keys, ALERT, &[1, 90]);
        let other = seal(&mut keys, ALERT, &[1, 110]);
        let data = seal(&mut keys, DATA, b"data");
        pair.ours.socket_mut().incoming = [canceled, other, data].concat();
        let (read, end) = pair.read(64 << 10);
        match keys.is_tls13() {
            true => assert!(read.is_empty() && matches!(end, End::Broke(_))),
            false => assert_eq!((&*read, end), (&b"data"[..], End::Waits)),
        }
    }
}
