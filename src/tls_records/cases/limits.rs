//! What is bounded: how often a key seals, what a peer can make us keep or say, and what is kept
//! while nothing is in flight.

use rustls::ContentType;

use super::forged::*;
use super::*;

#[test]
fn a_key_seals_no_more_than_it_may_and_tls_1_3_goes_on_with_the_next() {
    for (suite, role) in SUITES[..3]
        .iter()
        .flat_map(|suite| ROLES.map(|role| (*suite, role)))
    {
        let mut pair = Pair::new(suite, role);
        pair.ours.limit(20);
        for round in 0..100 {
            pair.write(&[round; 20_000]).unwrap();
            assert!(pair.ours.write_keys().number() <= 20);
            pair.hear();
        }
        assert_eq!(
            (pair.heard.len(), &pair.broke),
            (2_000_000, &None),
            "{suite:?} {role:?}"
        );
    }
}

#[test]
fn tls_1_2_ends_when_its_key_may_seal_no_more() {
    for (suite, role) in SUITES[3..]
        .iter()
        .flat_map(|suite| ROLES.map(|role| (*suite, role)))
    {
        let mut pair = Pair::new(suite, role);
        let number = pair.ours.write_keys().number();
        pair.ours.limit(number + 4);
        let error = pair.write(&[7; 5 << 14]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "TLS: no more records may have these keys"
        );
        pair.hear();
        assert_eq!(
            (pair.heard.len(), &pair.broke),
            (3 << 14, &None),
            "{suite:?} {role:?}"
        );
        assert!(pair.theirs.process_new_packets().unwrap().peer_has_closed());
        assert_eq!(pair.ours.write_keys().number(), number + 4);

        let mut pair = Pair::new(suite, role);
        pair.ours.limit(number + 1);
        let mut cx = Context::from_waker(Waker::noop());
        let taken = Pin::new(&mut pair.ours).poll_write(&mut cx, b"data");
        assert!(matches!(taken, Poll::Ready(Err(_))), "{taken:?}");
    }
}

#[test]
fn tls_1_2_ends_where_the_last_record_would_be_a_refusal() {
    for suite in &SUITES[3..5] {
        let mut pair = Pair::new(*suite, Role::Client);
        let number = pair.ours.write_keys().number();
        pair.ours.limit(number + 1);
        let mut keys = pair.ours.read_keys().copy();
        pair.ours.socket_mut().incoming = seal(&mut keys, HANDSHAKE, &[0, 0, 0, 0]);
        assert_eq!(pair.read(64 << 10), (Vec::new(), End::Waits));
        pair.hear();
        assert!(pair.theirs.process_new_packets().unwrap().peer_has_closed());
        assert_eq!(pair.ours.write_keys().number(), number + 1);
    }
}

#[test]
fn an_answer_goes_out_when_the_socket_takes_it_whatever_else_happens() {
    let mut pair = Pair::new(SUITES[0], Role::Server);
    let mut keys = pair.ours.read_keys().copy();
    pair.ours.socket_mut().incoming = seal(&mut keys, HANDSHAKE, KEY_UPDATE_ASKED);
    pair.ours.socket_mut().writes = Turns::of(&[0]);
    assert_eq!(pair.read(64 << 10), (Vec::new(), End::Waits));
    assert!(pair.ours.socket().outgoing.is_empty());
    pair.ours.socket_mut().writes = Turns::default();
    assert_eq!(pair.read(64 << 10), (Vec::new(), End::Waits));
    assert!(!pair.ours.socket().outgoing.is_empty());
}

#[test]
fn no_suite_but_chacha_may_seal_more_than_rustls_lets_it() {
    for suite in SUITES {
        let mut pair = Pair::new(suite, Role::Server);
        let common = match suite {
            SupportedCipherSuite::Tls13(suite) => &suite.common,
            SupportedCipherSuite::Tls12(suite) => &suite.common,
        };
        assert_eq!(
            pair.ours.write_keys().most_records(),
            common.confidentiality_limit
        );
    }
}

#[test]
fn who_asks_for_updates_and_does_not_read_makes_us_keep_one_answer() {
    let mut pair = Pair::new(SUITES[0], Role::Server);
    let mut keys = pair.ours.read_keys().copy();
    pair.ours.socket_mut().writes = Turns::of(&[0]);
    for _ in 0..1000 {
        let mut records = seal(&mut keys, HANDSHAKE, KEY_UPDATE_ASKED);
        keys.update().unwrap();
        records.extend(seal(&mut keys, DATA, b"x"));
        pair.ours.socket_mut().incoming = records;
        assert_eq!(pair.read(64 << 10), (b"x".to_vec(), End::Waits));
        assert!(pair.ours.kept() <= 32, "{}", pair.ours.kept());
    }
    pair.ours.socket_mut().writes = Turns::default();
    pair.write(b"heard").unwrap();
    pair.hear();
    assert_eq!((&*pair.heard, pair.broke), (&b"heard"[..], None));
}

#[test]
fn data_lets_as_many_records_without_any_come_again() {
    for mut pair in Pair::all() {
        let mut keys = pair.ours.read_keys().copy();
        for _ in 0..3 {
            let mut records = Vec::new();
            for _ in 0..32 {
                records.extend(seal(&mut keys, DATA, b""));
            }
            records.extend(seal(&mut keys, DATA, b"x"));
            pair.ours.socket_mut().incoming = records;
            assert_eq!(pair.read(64 << 10), (b"x".to_vec(), End::Waits));
        }
    }
}

#[test]
fn nothing_is_kept_while_nothing_is_in_flight() {
    for mut pair in Pair::all() {
        // A server's tickets.
        pair.send();
        pair.ours.socket_mut().reads = Turns::of(&[1000, 0, 30_000]);
        pair.ours.socket_mut().writes = Turns::of(&[700, 0]);
        pair.say(&[1; 60_000]);
        for room in [64 << 10, 100] {
            let (read, end) = pair.read(room);
            assert_eq!((read.len(), end), (60_000, End::Waits));
            assert_eq!(pair.ours.kept(), 0);
            pair.say(&[1; 60_000]);
        }
        pair.write(&[2; 60_000]).unwrap();
        pair.read(64 << 10);
        assert_eq!(pair.ours.kept(), 0);
    }
}

#[test]
fn what_the_peer_does_not_take_is_kept_once_and_then_nothing_is_taken() {
    for mut pair in Pair::all() {
        pair.ours.socket_mut().writes = Turns::of(&[0]);
        let mut cx = Context::from_waker(Waker::noop());
        let data = [7; 200_000];
        let taken = Pin::new(&mut pair.ours).poll_write(&mut cx, &data);
        assert!(matches!(taken, Poll::Ready(Ok(65_536))), "{taken:?}");
        assert!(
            Pin::new(&mut pair.ours)
                .poll_write(&mut cx, &data)
                .is_pending()
        );
        assert!(Pin::new(&mut pair.ours).poll_flush(&mut cx).is_pending());
        assert!(pair.ours.kept() < 65_536 + 200, "{}", pair.ours.kept());
        pair.ours.socket_mut().writes = Turns::default();
        pair.write(&[]).unwrap();
        pair.hear();
        assert_eq!((pair.heard.len(), pair.ours.kept()), (65_536, 0));
    }
}

#[test]
fn no_number_is_used_twice_and_the_last_is_refused() {
    for mut pair in Pair::all() {
        let keys = pair.ours.write_keys();
        let first = seal(keys, DATA, b"same");
        let second = seal(keys, DATA, b"same");
        assert_ne!(first, second);
        keys.set_number(u64::MAX);
        let mut out = b"before".to_vec();
        let sealed = keys.seal(ContentType::ApplicationData, b"data", &mut out);
        assert!(sealed.is_err() && out == b"before");
    }
}

#[test]
fn neither_keys_nor_secrets_are_shown() {
    let pair = Pair::new(SUITES[0], Role::Server);
    assert_eq!(format!("{:?}", pair.ours), "Records");
    assert_eq!(format!("{:?}", pair.ours.read_keys()), "Keys");
    let secrets = with_secrets(async { shaken(SUITES[0]) })
        .now_or_never()
        .unwrap()
        .1;
    assert_eq!(format!("{secrets:?}"), "FirstSecrets");
}
