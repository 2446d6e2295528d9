//! The last refusals, for those who want to know who is refused now, and why: a ring in memory.
//!
//! Whoever refuses waits for nobody: a place of the ring is taken by its number, and where somebody
//! looks at just that place the refusal is counted and logged, but not kept here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use parking_lot::Mutex;

use super::{Client, Record, RefusalReason};

/// How many are kept.
const KEPT: usize = 1000;
/// How many bytes are kept of a text.
const LONGEST: usize = 256;

/// A refusal.
#[derive(Debug)]
pub struct Refused {
    /// How many there were before it, and it.
    pub number: u64,
    /// When.
    pub at: SystemTime,
    /// Who is refused, as far as that is known.
    pub client: Client,
    /// The forwarding rule.
    pub forwarding_rule: Arc<str>,
    /// The HTTP rule, where one matched.
    pub http_rule: Option<Arc<str>>,
    /// Why.
    pub reason: RefusalReason,
    /// What the client saw; `None` where there was no answer.
    pub status: Option<u16>,
    /// The host that was asked, where there was a request.
    pub host: Option<Box<str>>,
    /// What was asked for, secrets redacted.
    pub uri: Option<Box<str>>,
    /// The origin of a handshake that is refused for it.
    pub origin: Option<Box<str>>,
    /// What exactly went wrong.
    pub error: Option<Box<str>>,
}

/// The last of them.
#[derive(Debug)]
pub struct Refusals {
    /// How many there were.
    count: AtomicU64,
    places: Box<[Mutex<Option<Arc<Refused>>>]>,
}

impl Default for Refusals {
    fn default() -> Self {
        Refusals {
            count: AtomicU64::new(0),
            places: (0..KEPT).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Refusals {
    /// Keeps the refusal of what became no exchange.
    pub(super) fn note(&self, rule: &Arc<str>, reason: RefusalReason, client: Client) {
        self.keep(|number| Refused {
            number,
            at: SystemTime::now(),
            client,
            forwarding_rule: Arc::clone(rule),
            http_rule: None,
            reason,
            status: None,
            host: None,
            uri: None,
            origin: None,
            error: None,
        });
    }

    /// Keeps the refusal of an exchange.
    pub(super) fn note_exchange(&self, record: &Record, reason: RefusalReason) {
        let request = record.request.as_ref();
        let origin = || record.details.as_ref()?.origin.as_deref();
        self.keep(|number| Refused {
            number,
            at: SystemTime::now(),
            client: record.client,
            forwarding_rule: Arc::clone(&record.forwarding_rule),
            http_rule: record.http_rule.clone(),
            reason,
            status: record.status,
            host: request.map(|request| shortened(&request.host)),
            uri: request.map(|request| shortened(&request.uri)),
            origin: origin().map(shortened),
            error: record.error.as_deref().map(shortened),
        });
    }

    fn keep(&self, make: impl FnOnce(u64) -> Refused) {
        let number = self.count.fetch_add(1, Relaxed) + 1;
        let made = Arc::new(make(number));
        let place = &self.places[(number % KEPT as u64) as usize];
        let former = place.try_lock().map(|mut kept| {
            let is_newer = kept.as_ref().is_none_or(|kept| kept.number < number);
            if is_newer { kept.replace(made) } else { None }
        });
        // What was there goes when nobody waits for the place any more.
        drop(former);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Those that are kept, with a greater number and not before this time, the oldest first.
    pub fn since(&self, number: u64, time: SystemTime) -> Vec<Arc<Refused>> {
        let kept = self.places.iter().filter_map(|place| place.lock().clone());
        let is_wanted = |kept: &Arc<Refused>| kept.number > number && kept.at >= time;
        let mut wanted: Vec<_> = kept.filter(is_wanted).collect();
        wanted.sort_unstable_by_key(|kept| kept.number);
        wanted
    }
}

fn shortened(text: &str) -> Box<str> {
    let most = text.len().min(LONGEST);
    let end = (0..=most).rfind(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].into()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::RequestLine;
    use super::*;

    fn client() -> Client {
        SocketAddr::from(([192, 0, 2, 7], 4711)).into()
    }

    #[test]
    fn the_last_thousand_are_kept_in_their_order() {
        let refusals = Refusals::default();
        assert!(refusals.since(0, UNIX_EPOCH).is_empty());
        for _ in 0..KEPT + 5 {
            refusals.note(&"edge".into(), RefusalReason::TlsHandshake, client());
        }
        let kept = refusals.since(0, UNIX_EPOCH);
        let numbers: Vec<u64> = kept.iter().map(|kept| kept.number).collect();
        assert_eq!(numbers, (6..=KEPT as u64 + 5).collect::<Vec<_>>());
        assert_eq!(refusals.since(1003, UNIX_EPOCH).len(), 2);
        let later = SystemTime::now() + Duration::from_secs(60);
        assert!(refusals.since(0, later).is_empty());
        assert_eq!(refusals.count(), 1005);
    }

    #[test]
    fn of_an_exchange_is_kept_what_tells_it_from_others_and_no_more_of_a_text_than_a_line_shows() {
        let refusals = Refusals::default();
        let mut record = Record::begin("edge".into(), client());
        record.status = Some(403);
        record.request = Some(RequestLine {
            version: "HTTP/1.1",
            method: "GET".into(),
            host: "a.example".into(),
            uri: "/ü".repeat(900).into(),
            user_agent: None,
            referer: None,
        });
        record.details().origin = Some("https://b.example".into());
        refusals.note_exchange(&record, RefusalReason::Origin);
        let kept = &refusals.since(0, UNIX_EPOCH)[0];
        assert_eq!(
            (kept.status, kept.reason),
            (Some(403), RefusalReason::Origin)
        );
        assert_eq!(kept.origin.as_deref(), Some("https://b.example"));
        assert_eq!(kept.host.as_deref(), Some("a.example"));
        assert_eq!(kept.uri.as_ref().map(|uri| uri.len()), Some(LONGEST));
    }

    #[test]
    fn those_who_refuse_at_once_lose_nothing_of_the_last_ones() {
        let refusals = Refusals::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..KEPT {
                        refusals.note(&"edge".into(), RefusalReason::Memory, client());
                    }
                });
            }
        });
        let kept = refusals.since(0, UNIX_EPOCH);
        assert_eq!(refusals.count(), 4 * KEPT as u64);
        assert!(kept.len() > KEPT - 10 && kept.windows(2).all(|two| two[0].number < two[1].number));
    }
}
