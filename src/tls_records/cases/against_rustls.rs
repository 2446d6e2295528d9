//! Both directions against rustls, in either role, with every suite: what is said arrives.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    TheySay(usize),
    WeSay(usize),
    TheyUpdate,
    WeRead,
    TheyRead,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_usize..70_000).prop_map(Step::TheySay),
        (1_usize..300).prop_map(Step::TheySay),
        (1_usize..70_000).prop_map(Step::WeSay),
        (1_usize..300).prop_map(Step::WeSay),
        Just(Step::TheyUpdate),
        Just(Step::WeRead),
        Just(Step::TheyRead),
    ]
}

/// How a socket cuts what passes; now and then it takes nothing for now.
fn turns() -> impl Strategy<Value = Vec<usize>> {
    let turn = prop_oneof![Just(0_usize), 1_usize..9, 1_usize..20_000];
    vec(turn, 0..4).prop_map(|mut turns| {
        turns.push(usize::MAX);
        turns
    })
}

/// Bytes that say where they stand.
fn bytes(from: usize, count: usize) -> Vec<u8> {
    (from..from + count)
        .map(|place| ((place * 31) >> 3) as u8)
        .collect()
}

/// Does one step; `said` is how much we and they have said, `read` what we have read.
fn take(pair: &mut Pair, step: &Step, room: usize, said: &mut [usize; 2], read: &mut Vec<u8>) {
    match *step {
        Step::TheySay(count) => {
            pair.say(&bytes(said[1], count));
            said[1] += count;
        }
        Step::WeSay(count) => {
            pair.write(&bytes(said[0], count)).unwrap();
            said[0] += count;
        }
        // TLS 1.2 has no updates.
        Step::TheyUpdate => {
            pair.theirs.refresh_traffic_keys().ok();
            pair.send();
        }
        Step::WeRead => {
            let (more, end) = pair.read(room);
            assert_eq!(end, End::Waits);
            read.extend(more);
        }
        Step::TheyRead => {
            pair.hear();
            pair.send();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_is_said_arrives_however_it_is_cut_and_whenever_keys_change(
        suite in 0..SUITES.len(),
        is_client in any::<bool>(),
        steps in vec(step(), 1..24),
        (reads, writes) in (turns(), turns()),
        room in prop_oneof![1_usize..400, Just(64 << 10)],
        most_records in prop_oneof![2_u64..9, Just(1 << 24)],
    ) {
        let mut pair = Pair::new(SUITES[suite], ROLES[usize::from(is_client)]);
        pair.ours.socket_mut().reads = Turns::of(&reads);
        pair.ours.socket_mut().writes = Turns::of(&writes);
        if SUITES[suite].tls13().is_some() {
            pair.ours.limit(most_records);
        }
        let (mut said, mut read) = ([0, 0], Vec::new());
        let last = [Step::WeRead, Step::TheyRead, Step::WeRead, Step::WeSay(1), Step::TheyRead];
        for step in steps.iter().chain(&last) {
            take(&mut pair, step, room, &mut said, &mut read);
        }
        prop_assert_eq!(pair.broke, None);
        prop_assert!(read == bytes(0, said[1]), "{} of {}", read.len(), said[1]);
        prop_assert!(pair.heard == bytes(0, said[0]), "{} of {}", pair.heard.len(), said[0]);
    }

    #[test]
    fn a_changed_byte_lets_nothing_through_but_what_came_before_its_record(
        suite in 0..SUITES.len(),
        lengths in vec(0_usize..900, 1..6),
        place in any::<prop::sample::Index>(),
        change in 1_u8..,
        reads in turns(),
    ) {
        let mut pair = Pair::new(SUITES[suite], Role::Server);
        let (mut said, mut ends) = (0, vec![(0, 0)]);
        for length in lengths {
            pair.say(&bytes(said, length));
            said += length;
            ends.push((pair.ours.socket().incoming.len(), said));
        }
        let socket = pair.ours.socket_mut();
        prop_assume!(!socket.incoming.is_empty());
        let place = place.index(socket.incoming.len());
        socket.incoming[place] ^= change;
        socket.reads = Turns::of(&reads);
        socket.has_ended = true;
        let (read, end) = pair.read(64 << 10);
        let whole = ends.iter().filter(|(end, _)| *end <= place).map(|(_, said)| *said).max();
        prop_assert!(read == bytes(0, whole.unwrap()), "{} bytes, {end:?}", read.len());
    }
}

#[test]
fn all_that_may_come_is_understood_wherever_it_is_cut() {
    for suite in SUITES {
        for role in ROLES {
            let mut length = 1;
            let mut place = 0;
            while place < length {
                let mut pair = Pair::new(suite, role);
                // A server's tickets come first.
                pair.send();
                pair.say(b"one");
                pair.theirs.refresh_traffic_keys().ok();
                pair.say(b", two");
                pair.theirs.send_close_notify();
                pair.send();
                length = pair.ours.socket().incoming.len();
                pair.ours.socket_mut().reads = Turns::of(&[place, 0, usize::MAX]);
                let (read, end) = pair.read(64 << 10);
                assert_eq!(
                    (&*read, end),
                    (&b"one, two"[..], End::Ended),
                    "{suite:?} {role:?} {place}"
                );
                pair.write(b"three").unwrap();
                pair.hear();
                assert_eq!(pair.heard, b"three");
                place += 1;
            }
        }
    }
}

#[test]
fn keys_that_have_changed_before_are_taken_over_with_what_is_under_way() {
    use std::io::{Read as _, Write as _};
    for (suite, role) in SUITES
        .iter()
        .flat_map(|suite| ROLES.map(|role| (*suite, role)))
    {
        let ((mut client, mut server), secrets) = with_secrets(async { shaken(suite) })
            .now_or_never()
            .unwrap();
        pass(&mut server, &mut client).unwrap();
        let (mut ours, mut theirs) = match role {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        for _ in 0..5 {
            theirs.refresh_traffic_keys().ok();
            pass(&mut theirs, &mut ours).unwrap();
            ours.writer().write_all(b"x").unwrap();
            pass(&mut ours, &mut theirs).unwrap();
            theirs.reader().read_exact(&mut [0]).unwrap();
        }
        // Their last update has not been answered yet, and some data has not been read.
        theirs.refresh_traffic_keys().ok();
        theirs.writer().write_all(b"unread").unwrap();
        pass(&mut theirs, &mut ours).unwrap();
        let ours = take_over(Socket::default(), ours, &secrets).unwrap();
        let mut pair = Pair {
            ours,
            theirs,
            heard: Vec::new(),
            broke: None,
        };
        assert_eq!(
            pair.read(3),
            (b"unread".to_vec(), End::Waits),
            "{suite:?} {role:?}"
        );
        pair.write(b"heard").unwrap();
        pair.hear();
        pair.say(b"said");
        assert_eq!(
            pair.read(9),
            (b"said".to_vec(), End::Waits),
            "{suite:?} {role:?}"
        );
        assert_eq!(
            (&*pair.heard, pair.broke),
            (&b"heard"[..], None),
            "{suite:?} {role:?}"
        );
    }
}

#[test]
fn an_end_that_rustls_has_read_is_taken_over() {
    for suite in SUITES {
        let ((mut client, mut server), secrets) = with_secrets(async { shaken(suite) })
            .now_or_never()
            .unwrap();
        client.send_close_notify();
        pass(&mut client, &mut server).unwrap();
        let ours = take_over(Socket::default(), server, &secrets).unwrap();
        let mut pair = Pair {
            ours,
            theirs: client,
            heard: Vec::new(),
            broke: None,
        };
        assert_eq!(pair.read(64 << 10), (Vec::new(), End::Ended));
    }
}

#[test]
fn what_has_no_secrets_or_those_of_another_connection_is_not_taken_over() {
    for suite in &SUITES[..3] {
        let others = with_secrets(async { shaken(*suite) })
            .now_or_never()
            .unwrap()
            .1;
        for secrets in [FirstSecrets::default(), others] {
            let (client, _) = shaken(*suite);
            let taken = take_over(Socket::default(), client, &secrets);
            assert_eq!(
                taken.unwrap_err().to_string(),
                "TLS: the keys cannot be taken over"
            );
        }
    }
}

#[test]
fn each_side_can_end_first_and_the_other_goes_on() {
    for mut pair in Pair::all() {
        let mut cx = Context::from_waker(Waker::noop());
        pair.theirs.send_close_notify();
        pair.send();
        pair.ours.socket_mut().incoming.extend(b"ignored");
        assert_eq!(pair.read(64 << 10), (Vec::new(), End::Ended));
        pair.write(b"still").unwrap();
        for _ in 0..2 {
            assert!(Pin::new(&mut pair.ours).poll_shutdown(&mut cx).is_ready());
        }
        assert!(pair.write(b"no more").is_err());
        pair.hear();
        assert_eq!((&*pair.heard, &pair.broke), (&b"still"[..], &None));
        assert!(pair.theirs.process_new_packets().unwrap().peer_has_closed());
    }
    for mut pair in Pair::all() {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut pair.ours).poll_shutdown(&mut cx).is_ready());
        pair.say(b"still");
        assert_eq!(pair.read(64 << 10), (b"still".to_vec(), End::Waits));
        pair.ours.socket_mut().has_ended = true;
        assert_eq!(pair.read(64 << 10), (Vec::new(), End::Ended));
    }
}
