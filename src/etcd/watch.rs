//! The changes under a prefix, in order and without a gap, from whichever endpoint tells them.
//!
//! A task of its own follows them. Where a stream ends, or says nothing for too long, it goes on at
//! the next endpoint, behind the last change that it has seen; before that it asks there for the
//! moment, so that data that went back do not go unseen, nor does a member without a leader tell of
//! nothing. There is no queue: what is not taken is not read, and etcd keeps it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::client::{Client, Stream};
use super::error::{Cause, Error};
use super::kv::{Position, position};
use super::question::Question;
use super::wire;
use crate::os::random;

const WATCH: &str = "/v3/watch";

/// How long it is waited after the first of several failures, and after many.
const SOONEST: Duration = Duration::from_millis(50);
const LATEST: Duration = Duration::from_secs(2);

/// The changes under a prefix.
#[derive(Debug)]
pub struct Watch {
    begun: Arc<AtomicU64>,
    batches: mpsc::Receiver<Result<Batch, Error>>,
    _follower: AbortOnDropHandle<()>,
}

/// All changes of one revision, or of several that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The moment after them: another watch may go on from there.
    pub position: Position,
    /// In the order in which they were made; at least one.
    pub changes: Vec<Change>,
}

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// Its value; `None`: it was deleted.
    pub value: Option<Vec<u8>>,
    /// The revision of the change.
    pub revision: i64,
    /// The lease with which it goes; 0: none.
    pub lease: i64,
}

impl Client {
    /// What changes under a prefix after this moment.
    pub fn watch(&self, prefix: &[u8], after: Position) -> Watch {
        let (sender, batches) = mpsc::channel(1);
        let begun = Arc::<AtomicU64>::default();
        let follower = Follower {
            begun: Arc::clone(&begun),
            client: self.clone(),
            prefix: prefix.to_vec(),
            seen: after,
            failures: 0,
            sender,
        };
        let following = tokio::spawn(follower.follow());
        Watch {
            begun,
            batches,
            _follower: AbortOnDropHandle::new(following),
        }
    }
}

impl Watch {
    /// How often it has begun at an endpoint. A history that was replaced meanwhile by one that is
    /// longer goes unseen there: who has to know compares something after each time.
    pub fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// Waits for the next changes. After an error there is nothing more, `None`: what is under the
    /// prefix must be read anew, and watched from there. Errors: [`Cause::Compacted`],
    /// [`Cause::WentBack`], [`Cause::AnswerTooLarge`], and what the user may not do.
    pub async fn next(&mut self) -> Option<Result<Batch, Error>> {
        self.batches.recv().await
    }
}

/// Who follows the changes.
struct Follower {
    begun: Arc<AtomicU64>,
    client: Client,
    prefix: Vec<u8>,
    /// The last moment of which all is known.
    seen: Position,
    /// How often it went wrong since it went well.
    failures: u32,
    sender: mpsc::Sender<Result<Batch, Error>>,
}

/// Why a stream is over.
enum End {
    /// It says nothing.
    Silent,
    /// Another endpoint may do better.
    Failed(Error),
    /// No endpoint can go on.
    Over(Error),
    /// Nobody listens any more.
    Unheard,
}

impl Follower {
    async fn follow(mut self) {
        let mut place = self.client.endpoints().preferred();
        loop {
            match self.follow_at(place).await {
                End::Unheard => return,
                End::Over(error) => {
                    // Whoever no longer listens need not know.
                    self.sender.send(Err(error)).await.ok();
                    return;
                }
                End::Silent => self.failures = 0,
                End::Failed(error) => {
                    self.client.endpoints().failed(place, &error);
                    sleep(pause(self.failures)).await;
                    self.failures = self.failures.saturating_add(1);
                }
            }
            place = self.client.endpoints().after(place);
        }
    }

    async fn follow_at(&mut self, place: usize) -> End {
        let mut stream = match self.open(place).await {
            Ok(stream) => stream,
            Err(error) => return error.into(),
        };
        self.begun.fetch_add(1, Relaxed);
        let times = self.client.settings().times;
        // The first message says that the watch is there.
        let mut patience = times.answer.min(times.silence);
        loop {
            let line = match timeout(patience, stream.lines.next()).await {
                Err(_) => return End::Silent,
                Ok(Ok(Some(line))) => line,
                Ok(Ok(None)) => {
                    let cause = Cause::Broken("the stream is over".to_owned());
                    return self.error(place, cause).into();
                }
                Ok(Err(cause)) => return self.error(place, cause).into(),
            };
            patience = times.silence;
            match self.read(place, &line) {
                Err(error) => return error.into(),
                Ok(None) => {}
                Ok(Some(batch)) => {
                    self.failures = 0;
                    if self.sender.send(Ok(batch)).await.is_err() {
                        return End::Unheard;
                    }
                }
            }
        }
    }

    /// Sees to it that the endpoint knows what was seen, and has it tell what comes after that.
    async fn open(&mut self, place: usize) -> Result<Stream, Error> {
        let question = position(&self.prefix);
        let page: wire::Page = self.client.ask_at(place, &question).await?;
        let there = Position::of(&page.header);
        if let Some(how) = self.seen.went_back(&there) {
            return Err(self.error(place, Cause::WentBack(how)));
        }
        self.seen.term = there.term;
        let watch = json!({"create_request": {
            "key": wire::base64(&wire::start(&self.prefix)),
            "range_end": wire::base64(&wire::end(&self.prefix)),
            "start_revision": self.seen.revision.saturating_add(1).to_string(),
            "progress_notify": true,
        }});
        self.client
            .stream(place, &Question::read(WATCH, &watch))
            .await
    }

    /// The changes in a message, if there are any. What was seen already is passed over: some
    /// versions tell of it where a member lags behind.
    fn read(&mut self, place: usize, line: &[u8]) -> Result<Option<Batch>, Error> {
        let odd = |error| self.error(place, Cause::NotEtcd(format!("{error}")));
        let message: Value = serde_json::from_slice(line).map_err(odd)?;
        let endpoint = self.client.endpoints().at(place);
        if let Some(error) = message.get("error") {
            let none = || Error::not_done(endpoint, Cause::NotEtcd("an odd error".to_owned()));
            return Err(Error::said(endpoint, error).unwrap_or_else(none));
        }
        let message: wire::Streamed<wire::Watched> =
            serde_json::from_value(message).map_err(odd)?;
        let message = message.result;
        if message.compact_revision != 0 {
            return Err(self.error(place, Cause::Compacted));
        }
        if message.canceled {
            return Err(self.error(place, Cause::of(&message.cancel_reason, None)));
        }
        let seen = self.seen.revision;
        let events = message.events.into_iter();
        let events = events.filter(|event| event.kv.mod_revision > seen);
        let changes: Vec<Change> = events.map(Change::from).collect();
        let last = changes.last().map(|change| change.revision);
        Ok(last.map(|revision| {
            self.seen.revision = revision;
            let position = self.seen;
            Batch { position, changes }
        }))
    }

    fn error(&self, place: usize, cause: Cause) -> Error {
        Error::not_done(self.client.endpoints().at(place), cause)
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error.cause.is_of_one_member() {
            true => End::Failed(error),
            false => End::Over(error),
        }
    }
}

impl From<wire::Event> for Change {
    fn from(event: wire::Event) -> Self {
        let is_put = event.kind != "DELETE";
        Change {
            key: event.kv.key,
            value: is_put.then_some(event.kv.value),
            revision: event.kv.mod_revision,
            lease: event.kv.lease,
        }
    }
}

impl Position {
    /// How somebody who is there now can be no later than this, if so.
    fn went_back(&self, now: &Position) -> Option<String> {
        if now.cluster != self.cluster {
            return Some(format!("cluster {:x}, not {:x}", now.cluster, self.cluster));
        }
        if now.revision < self.revision {
            return Some(format!("revision {} after {}", now.revision, self.revision));
        }
        (now.term < self.term).then(|| format!("term {} after {}", now.term, self.term))
    }
}

/// Longer and longer, and not the same for all who fail together.
fn pause(failures: u32) -> Duration {
    let pause = SOONEST.saturating_mul(1 << failures.min(16));
    pause.min(LATEST).mul_f64(0.5 + random::chance())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Position = Position {
        cluster: 0xabc,
        term: 5,
        revision: 100,
    };

    #[test]
    fn whatever_is_earlier_or_elsewhere_went_back() {
        for (now, expected) in [
            (SEEN, None),
            (
                Position {
                    term: 6,
                    revision: 101,
                    ..SEEN
                },
                None,
            ),
            (Position { cluster: 1, ..SEEN }, Some("cluster 1, not abc")),
            (
                Position {
                    revision: 99,
                    ..SEEN
                },
                Some("revision 99 after 100"),
            ),
            (
                Position {
                    term: 4,
                    revision: 200,
                    ..SEEN
                },
                Some("term 4 after 5"),
            ),
        ] {
            assert_eq!(SEEN.went_back(&now).as_deref(), expected, "{now:?}");
        }
    }

    #[test]
    fn many_failures_come_no_more_often_than_every_second() {
        assert!(pause(0) < Duration::from_millis(75));
        for failures in [10, 16, 17, u32::MAX] {
            let pause = pause(failures);
            assert!(pause >= LATEST / 2 && pause < LATEST * 3 / 2, "{pause:?}");
        }
    }
}
