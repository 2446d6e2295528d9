//! A connection that goes on from what was told of it, as in another process.

use rustls::ProtocolVersion;

use super::{End, Pair};
use crate::tls_records::{Records, RecordsState};

impl Pair {
    /// The same, of which we know what was told alone.
    fn moved(self) -> Pair {
        let text = serde_json::to_vec(&self.ours.state()).unwrap();
        let state: RecordsState = serde_json::from_slice(&text).unwrap();
        let mut socket = None;
        let emptied = self.ours.over(|one| {
            socket = Some(one);
            Ok(())
        });
        drop(emptied.unwrap());
        let ours = Records::resume(socket.unwrap(), &state).unwrap();
        Pair { ours, ..self }
    }

    fn update_keys(&mut self) {
        if self.theirs.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            self.theirs.refresh_traffic_keys().unwrap();
        }
    }
}

#[test]
fn a_connection_goes_on_from_what_was_told_of_it_wherever_a_record_is_cut() {
    for cut in [0, 1, 4, 5, 6, 700, 1_000_000] {
        for mut pair in Pair::all() {
            pair.say(b"one");
            pair.update_keys();
            pair.say(&[7; 1000]);
            let mut incoming = std::mem::take(&mut pair.ours.socket_mut().incoming);
            let later = incoming.split_off(cut.min(incoming.len()));
            pair.ours.socket_mut().incoming = incoming;
            let (mut read, _) = pair.read(20_000);
            let mut pair = pair.moved();
            pair.ours.socket_mut().incoming.extend(later);
            let (rest, end) = pair.read(20_000);
            read.extend(rest);
            assert!(read == [&b"one"[..], &[7; 1000]].concat(), "cut at {cut}");
            assert_eq!(end, End::Waits);
            pair.write(b"two").unwrap();
            let mut pair = pair.moved();
            pair.write(b"three").unwrap();
            pair.hear();
            assert_eq!(pair.heard, b"twothree");
            assert!(pair.broke.is_none());
        }
    }
}

#[test]
fn a_state_that_cannot_be_is_refused() {
    for pair in Pair::all() {
        let text = serde_json::to_string(&pair.ours.state()).unwrap();
        let resumes = |from: &str, to: &str| {
            let changed = text.replacen(from, to, 1);
            assert!(changed != text, "{from}");
            let state: Result<RecordsState, _> = serde_json::from_str(&changed);
            state.is_ok_and(|state| Records::resume((), &state).is_ok())
        };
        assert!(!resumes(r#""message":[]"#, r#""message":[1,2,3,4,5]"#));
        assert!(!resumes(r#""skipped":0"#, r#""skipped":70000"#));
        assert!(!resumes(r#""iv":""#, r#""iv":"AAAA"#));
        assert!(resumes(r#""skipped":0"#, r#""more":1,"skipped":0"#));
    }
}
