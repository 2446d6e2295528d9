//! What is under a prefix, at one revision; and transactions, which compare before they change
//! anything.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::error::{Cause, Error};
use super::question::Question;
use super::wire;

const RANGE: &str = "/v3/kv/range";
const TXN: &str = "/v3/kv/txn";

/// How many keys are asked for at once, and by what that is divided where the answer is too large.
const PAGE: usize = 500;
const FEWER: usize = 4;

/// How long a page may take at most, however small it is.
const LONGEST: Duration = Duration::from_secs(10);

/// How much of a prefix is asked for at once, and how long that may take. Where it takes longer the
/// next try asks for less, and waits longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    limit: usize,
    patience: Option<Duration>,
}

impl Default for Pages {
    fn default() -> Self {
        Pages {
            limit: PAGE,
            patience: None,
        }
    }
}

impl Pages {
    fn shrink(&mut self, answer: Duration) {
        let patience = self.patience.unwrap_or(answer);
        self.patience = Some((2 * patience).min(LONGEST).max(patience));
        self.limit = self.limit.div_ceil(FEWER);
    }
}

/// A moment in the life of a cluster. None of its numbers ever decreases, unless a cluster is
/// restored from a snapshot, or another one has its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which cluster.
    pub cluster: u64,
    /// How often leaders were elected.
    pub term: u64,
    /// How many transactions changed something.
    pub revision: i64,
}

/// What is under a prefix, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Which one; a watch goes on from there.
    pub position: Position,
    /// In the order of their keys.
    pub pairs: Vec<Pair>,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// The revision that put it there.
    pub revision: i64,
    /// The lease with which it goes; 0: none.
    pub lease: i64,
}

/// Changes that are made together, or not at all. etcd takes 128 operations in one, and 1.5 MiB,
/// unless it was told otherwise; no two may concern the same key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// What must hold for it.
    pub compares: Vec<Compare>,
    /// What is put.
    pub puts: Vec<Put>,
    /// What is deleted.
    pub deletes: Vec<Delete>,
}

/// That a key was put last by a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// The key.
    pub key: Vec<u8>,
    /// The revision; 0: there is no such key.
    pub revision: i64,
}

/// A key that gets a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// The lease with which it goes; 0: none.
    pub lease: i64,
}

/// What is deleted. It need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delete {
    /// One key.
    Key(Vec<u8>),
    /// All keys that begin with this: one operation, however many they are.
    Prefix(Vec<u8>),
}

/// What has become of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Whether what must hold for it did. If not, nothing was changed.
    pub succeeded: bool,
    /// The moment after it.
    pub position: Position,
}

impl Position {
    pub(super) fn of(header: &wire::Header) -> Self {
        Position {
            cluster: header.cluster_id,
            term: header.raft_term,
            revision: header.revision,
        }
    }
}

impl Client {
    /// All that is under a prefix, as it is now, or as it was at a revision. Errors:
    /// [`Cause::Compacted`] where that is too long ago, also where a big prefix took too long to
    /// read; [`Cause::AnswerTooLarge`].
    pub async fn range(&self, prefix: &[u8], at: Option<i64>) -> Result<Snapshot, Error> {
        self.range_by(prefix, at, &mut Pages::default()).await
    }

    /// The same by these pages, which are smaller after a try that took too long.
    pub async fn range_by(
        &self,
        prefix: &[u8],
        at: Option<i64>,
        pages: &mut Pages,
    ) -> Result<Snapshot, Error> {
        let (mut from, end) = (wire::start(prefix), wire::end(prefix));
        let (mut limit, mut size, mut pairs) = (pages.limit, 0, Vec::new());
        let mut position: Option<Position> = None;
        loop {
            let at = at.or(position.map(|position| position.revision));
            let mut question = page(&from, &end, limit, at);
            question.patience = pages.patience;
            let page: wire::Page = match self.ask(&question).await {
                Err(error) if error.cause == Cause::AnswerTooLarge && limit > 1 => {
                    limit = limit.div_ceil(FEWER);
                    continue;
                }
                Err(error) => {
                    if let Cause::TimedOut("answer", _) = error.cause {
                        pages.shrink(self.settings().times.answer);
                    }
                    return Err(error);
                }
                Ok(page) => page,
            };
            let header = Position::of(&page.header);
            let position = *position.get_or_insert(Position {
                revision: at.unwrap_or(header.revision),
                ..header
            });
            let has_more = page.more && !page.kvs.is_empty();
            for pair in page.kvs {
                size += size_of::<Pair>() + pair.key.len() + pair.value.len();
                pairs.push(Pair::from(pair));
            }
            if size > self.settings().bounds.prefix {
                return Err(self.too_large());
            }
            match pairs.last().filter(|_| has_more) {
                Some(last) => from = [&*last.key, &[0]].concat(),
                None => return Ok(Snapshot { position, pairs }),
            }
        }
    }

    /// Commits a transaction. Where its outcome is not known it is not repeated.
    pub async fn txn(&self, txn: &Txn) -> Result<Committed, Error> {
        let question = Question::write(TXN, &txn.json());
        let answer: wire::Committed = self.ask(&question).await?;
        Ok(Committed {
            succeeded: answer.succeeded,
            position: Position::of(&answer.header),
        })
    }

    fn too_large(&self) -> Error {
        let endpoints = self.endpoints();
        Error::not_done(endpoints.at(endpoints.preferred()), Cause::AnswerTooLarge)
    }
}

/// Where the cluster is, as an endpoint knows that has a leader; the keys do not matter.
pub(super) fn position(prefix: &[u8]) -> Question {
    let range = json!({
        "key": wire::base64(&wire::start(prefix)),
        "range_end": wire::base64(&wire::end(prefix)),
        "limit": "1",
        "keys_only": true,
    });
    Question::read(RANGE, &range)
}

fn page(from: &[u8], end: &[u8], limit: usize, at: Option<i64>) -> Question {
    let range = json!({
        "key": wire::base64(from),
        "range_end": wire::base64(end),
        "limit": limit.to_string(),
        "revision": at.unwrap_or(0).to_string(),
    });
    Question::read(RANGE, &range)
}

impl From<wire::KeyValue> for Pair {
    fn from(pair: wire::KeyValue) -> Self {
        Pair {
            key: pair.key,
            value: pair.value,
            revision: pair.mod_revision,
            lease: pair.lease,
        }
    }
}

impl Txn {
    fn json(&self) -> Value {
        let compares = self.compares.iter().map(|compare| {
            json!({
                "key": wire::base64(&compare.key),
                "target": "MOD",
                "result": "EQUAL",
                "mod_revision": compare.revision.to_string(),
            })
        });
        let puts = self.puts.iter().map(|put| {
            json!({"request_put": {
                "key": wire::base64(&put.key),
                "value": wire::base64(&put.value),
                "lease": put.lease.to_string(),
            }})
        });
        let deletes = self.deletes.iter().map(|delete| {
            let (key, end) = match delete {
                Delete::Key(key) => (key.clone(), Vec::new()),
                Delete::Prefix(prefix) => (wire::start(prefix), wire::end(prefix)),
            };
            json!({"request_delete_range": {
                "key": wire::base64(&key),
                "range_end": wire::base64(&end),
            }})
        });
        json!({
            "compare": compares.collect::<Vec<_>>(),
            "success": puts.chain(deletes).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_smaller_and_may_take_longer_but_not_without_end() {
        let mut pages = Pages::default();
        let answer = Duration::from_secs(2);
        pages.shrink(answer);
        assert_eq!((pages.limit, pages.patience), (125, Some(2 * answer)));
        for _ in 0..10 {
            pages.shrink(answer);
        }
        assert_eq!((pages.limit, pages.patience), (1, Some(LONGEST)));
    }
}
