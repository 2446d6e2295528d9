//! The writes to etcd: each is made once, or never, whatever becomes of its answer.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::super::error::{ApiError, INVALID};
use super::super::path::ResourcePath;
use super::super::record::NotKept;
use super::super::request::Request;
use super::super::state::{Entry, State};
use super::key_ring::KeyRing;
use super::keys::{Head, Item, Keys};
use super::nodes::Nodes;
use crate::etcd::{Cause, Client, Compare, Delete, Error, Outcome, Pair, Put, Txn};

/// How many requests are kept.
const MOST_REQUESTS: u64 = 10_000;
/// What etcd takes at once, if it was not told otherwise, with room for what is around it.
const MOST_OPERATIONS: usize = 120;
pub(super) const MOST_BYTES: usize = 1_400_000;
/// How long it is asked what has become of a write, and how often.
const CERTAINTY: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);
/// How long no endpoint may have answered until writes are refused without asking.
const SILENCE: Duration = Duration::from_secs(2);

/// What is in etcd, and who knows it.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) keys: Keys,
    pub(super) nodes: Nodes,
    pub(super) ring: KeyRing,
    /// The head that this node has taken over, or why it does not know of one; `None` as long as it
    /// has not been asked. It changes with the state of the store.
    head: Mutex<Option<Result<HeadAt, String>>>,
    heard: Condvar,
    /// That this node may have missed something.
    pub(super) doubted: Notify,
    /// When it was last told that something is passed over.
    pub(super) passed_over: Mutex<Option<std::time::Instant>>,
}

/// A head, and which revision put it there; 0: none has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeadAt {
    pub(super) id: String,
    pub(super) revision: i64,
}

impl Cluster {
    pub(super) fn new(client: Client, keys: Keys, nodes: Nodes, ring: KeyRing) -> Self {
        Cluster {
            client,
            keys,
            nodes,
            ring,
            head: Mutex::default(),
            heard: Condvar::new(),
            doubted: Notify::new(),
            passed_over: Mutex::default(),
        }
    }

    /// The head that this node has taken over.
    pub(super) fn head(&self) -> Result<HeadAt, String> {
        let head = self.head.lock().clone();
        head.unwrap_or_else(|| Err("nothing has been heard of it yet".to_owned()))
    }

    /// Notes which head this node has taken over.
    pub(super) fn reach(&self, id: &str, revision: i64) {
        let id = id.to_owned();
        *self.head.lock() = Some(Ok(HeadAt { id, revision }));
        self.heard.notify_all();
    }

    /// Notes that this node is about to find out anew what there is.
    pub(super) fn forget(&self) {
        *self.head.lock() = None;
    }

    /// Notes why this node does not know what there is.
    pub(super) fn lose(&self, why: &str) {
        *self.head.lock() = Some(Err(why.to_owned()));
        self.heard.notify_all();
    }

    /// Whether writes are taken, as far as is known.
    pub(super) fn is_available(&self) -> bool {
        let trouble = self.client.trouble();
        let is_silent = trouble.is_some_and(|trouble| trouble.since.elapsed() > SILENCE);
        !is_silent && self.head().is_ok()
    }

    /// Errors: no writes are taken now. At the start it waits for the first word.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        if let Some(trouble) = self.client.trouble()
            && trouble.since.elapsed() > SILENCE
        {
            return Err(away(&trouble.error.to_string()));
        }
        let mut head = self.head.lock();
        self.heard
            .wait_while_for(&mut head, |head| head.is_none(), SILENCE);
        drop(head);
        self.head().map(drop).map_err(|why| away(&why))
    }

    /// The head that is there. Errors: it cannot be asked for.
    pub(super) async fn head_there(&self) -> Result<HeadAt, String> {
        let key = self.keys.head();
        let snapshot = self.client.range(&key, None).await;
        let snapshot = snapshot.map_err(|error| error.to_string())?;
        let Some(pair) = snapshot.pairs.iter().find(|pair| pair.key == key) else {
            let id = String::new();
            return Ok(HeadAt { id, revision: 0 });
        };
        match self.keys.read(&pair.key, Some(&pair.value))? {
            Some(Item::Head(Some(Head { id, .. }))) => Ok(HeadAt {
                id,
                revision: pair.revision,
            }),
            _ => Err("there is no head".to_owned()),
        }
    }

    /// Errors: this would be the first write of a fleet, but there are nodes that know of others.
    fn may_begin(&self, head: &HeadAt) -> Result<(), NotKept> {
        let others = self.nodes.with_objects();
        if head.revision != 0 || others.is_empty() {
            return Ok(());
        }
        let why = format!(
            "there is no {}head, but nodes have seen writes: {}",
            self.keys.prefix,
            others.join(", ")
        );
        Err(NotKept::Refused(away(&why)))
    }

    /// Makes a write that comes after this state.
    pub(super) async fn commit(&self, before: &State, entry: &Entry) -> Result<(), NotKept> {
        let head = match self.head.lock().clone() {
            Some(Ok(head)) if head.id == before.id => head,
            Some(Err(why)) => return Err(NotKept::Refused(away(&why))),
            // It is found out anew just now.
            Some(Ok(_)) | None => return Err(NotKept::Lost),
        };
        self.may_begin(&head)?;
        let txn = self.txn(&head, entry).map_err(NotKept::Refused)?;
        match self.client.txn(&txn).await {
            Ok(committed) if committed.succeeded => {
                self.reach(&entry.id, committed.position.revision);
                Ok(())
            }
            Ok(_) => Err(NotKept::Lost),
            Err(error) if error.outcome == Outcome::NotDone => {
                Err(NotKept::Refused(refused(&error)))
            }
            Err(error) => self.find_out(&head, entry, error).await,
        }
    }

    /// Finds out what has become of a write, by another that can only be made where it was not, and
    /// never will be.
    async fn find_out(&self, head: &HeadAt, entry: &Entry, mut why: Error) -> Result<(), NotKept> {
        let until = Instant::now() + CERTAINTY;
        let fence = self.fence(head, entry);
        while Instant::now() < until {
            match self.client.txn(&fence).await {
                Ok(fenced) if fenced.succeeded => return Err(NotKept::Lost),
                Ok(_) => match self.request(entry.revision).await {
                    Ok(Some((request, revision))) if is_of(entry, &request) => {
                        self.reach(&entry.id, revision);
                        return Ok(());
                    }
                    Ok(_) => return Err(NotKept::Lost),
                    Err(error) => why = error,
                },
                Err(error) => why = error,
            }
            sleep(PAUSE).await;
        }
        let id = entry.requests.first().map_or("", |request| &request.id);
        let message =
            format!("it is not known whether this is done, see request {id}: etcd: {why}");
        log::error!("api.store: {message}");
        Err(NotKept::Refused(ApiError::new(500, INVALID, message)))
    }

    /// The request of a number, and the revision that put it there.
    async fn request(&self, number: u64) -> Result<Option<(Request, i64)>, Error> {
        let snapshot = self.client.range(&self.keys.request(number), None).await?;
        let read = |pair: &Pair| match self.keys.read(&pair.key, Some(&pair.value)) {
            Ok(Some(Item::Request(Some(request)))) => Some((request, pair.revision)),
            _ => None,
        };
        Ok(snapshot.pairs.first().and_then(read))
    }

    fn txn(&self, head: &HeadAt, entry: &Entry) -> Result<Txn, ApiError> {
        let mut txn = self.moving(head, &entry.id, entry);
        for (path, object) in &entry.objects {
            match object {
                Some(object) => txn.puts.push(put(self.keys.object(path), &**object)?),
                None => self.delete(path, entry, &mut txn.deletes),
            }
        }
        for request in &entry.requests {
            txn.puts
                .push(put(self.keys.request(request.revision), &**request)?);
        }
        if let Some(oldest) = entry.revision.checked_sub(MOST_REQUESTS) {
            txn.deletes.push(Delete::Key(self.keys.request(oldest)));
        }
        check_size(&txn)?;
        Ok(txn)
    }

    /// Deletes an object with all that is in it, unless that goes with another.
    fn delete(&self, path: &ResourcePath, entry: &Entry, deletes: &mut Vec<Delete>) {
        let goes = |other: &ResourcePath| {
            let mut gone = entry.objects.iter().filter(|(_, object)| object.is_none());
            gone.any(|(path, _)| path == other)
        };
        if std::iter::successors(path.parent(), ResourcePath::parent).any(|parent| goes(&parent)) {
            return;
        }
        deletes.push(Delete::Key(self.keys.object(path)));
        let mut inside = entry.objects.iter().map(|(other, _)| other);
        if inside.any(|other| other.is_in(path)) {
            deletes.push(Delete::Prefix(self.keys.inside(path)));
        }
    }

    fn fence(&self, head: &HeadAt, entry: &Entry) -> Txn {
        let id = uuid::Uuid::new_v4().to_string();
        self.moving(head, &id, entry)
    }

    /// Moves the head on, and nothing else, unless objects are being imported.
    fn moving(&self, head: &HeadAt, id: &str, entry: &Entry) -> Txn {
        let next = Head {
            id: id.to_owned(),
            previous: head.id.clone(),
            number: entry.revision,
            fleet: entry.fleet.clone(),
        };
        let key = self.keys.head();
        let value = serde_json::to_vec(&next).unwrap_or_default();
        Txn {
            compares: vec![
                Compare {
                    key: key.clone(),
                    revision: head.revision,
                },
                Compare {
                    key: self.keys.import(),
                    revision: 0,
                },
            ],
            puts: vec![Put {
                key,
                value,
                lease: 0,
            }],
            deletes: Vec::new(),
        }
    }
}

fn is_of(entry: &Entry, request: &Request) -> bool {
    entry.requests.iter().any(|ours| ours.id == request.id)
}

fn put(key: Vec<u8>, value: &impl serde::Serialize) -> Result<Put, ApiError> {
    let value = serde_json::to_vec(value);
    let value = value.map_err(|error| ApiError::new(500, INVALID, error.to_string()))?;
    let lease = 0;
    Ok(Put { key, value, lease })
}

fn check_size(txn: &Txn) -> Result<(), ApiError> {
    let operations = txn.puts.len() + txn.deletes.len();
    let bytes: usize = txn
        .puts
        .iter()
        .map(|put| put.key.len() + put.value.len())
        .sum();
    if operations <= MOST_OPERATIONS && bytes <= MOST_BYTES {
        return Ok(());
    }
    let message = format!(
        "[(root)] is too much for etcd at once: {operations} objects, {bytes} bytes; make what is \
         in it one by one"
    );
    Err(ApiError::new(422, INVALID, message))
}

/// Nothing was done.
fn refused(error: &Error) -> ApiError {
    log::error!("api.store: a write is not kept: etcd: {error}");
    match error.cause {
        Cause::TooLarge => ApiError::new(422, INVALID, format!("[(root)] etcd: {error}")),
        _ => away(&error.to_string()),
    }
}

/// No client repeats a write that gets this.
fn away(why: &str) -> ApiError {
    let message = format!("nothing is written: etcd: {why}");
    ApiError::new(507, INVALID, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Map;

    use super::super::super::kind::Kind;
    use super::super::super::object::Object;
    use super::*;
    use crate::etcd::Settings;

    fn cluster() -> Cluster {
        let settings = Settings::new(vec!["http://127.0.0.1:1".parse().unwrap()]);
        let keys = Keys {
            prefix: "/p/".to_owned(),
        };
        let ring = KeyRing::default();
        Cluster::new(Client::new(settings).unwrap(), keys, Nodes::new("a"), ring)
    }

    fn entry(revision: u64, objects: Vec<(ResourcePath, Option<Arc<Object>>)>) -> Entry {
        Entry {
            revision,
            id: "b".to_owned(),
            fleet: "a".to_owned(),
            objects,
            requests: Vec::new(),
        }
    }

    fn head() -> HeadAt {
        HeadAt {
            id: "a".to_owned(),
            revision: 7,
        }
    }

    #[test]
    fn a_write_moves_the_head_on_from_the_one_that_it_was_planned_after() {
        let group = ResourcePath::of(Kind::TargetGroup, None, "g");
        let object = Arc::new(Object::new(Map::new(), "test"));
        let entry = entry(MOST_REQUESTS + 3, vec![(group, Some(object))]);
        let txn = cluster().txn(&head(), &entry).unwrap();
        assert_eq!(
            (&*txn.compares[0].key, txn.compares[0].revision),
            (&b"/p/head"[..], 7)
        );
        let keys: Vec<_> = txn.puts.iter().map(|put| put.key.as_slice()).collect();
        assert_eq!(keys, [&b"/p/head"[..], b"/p/objects/targetgroups/g"]);
        let next: Head = serde_json::from_slice(&txn.puts[0].value).unwrap();
        assert_eq!((&*next.previous, &*next.id, &*next.fleet), ("a", "b", "a"));
        assert_eq!(txn.compares[1].key, b"/p/import");
        // The oldest request goes.
        assert_eq!(txn.deletes, [Delete::Key(cluster().keys.request(3))]);
    }

    #[test]
    fn an_object_goes_with_all_that_is_in_it_in_two_operations() {
        let datacenter = ResourcePath::of(Kind::Datacenter, None, "d");
        let balancer = ResourcePath::of(Kind::Balancer, Some(&datacenter), "b");
        let rule = |id: usize| {
            let id = id.to_string();
            (
                ResourcePath::of(Kind::ForwardingRule, Some(&balancer), &id),
                None,
            )
        };
        let mut objects = vec![(balancer.clone(), None)];
        objects.extend((0..1000).map(rule));
        let cluster = cluster();
        let txn = cluster.txn(&head(), &entry(1, objects)).unwrap();
        let expected = [
            Delete::Key(cluster.keys.object(&balancer)),
            Delete::Prefix(cluster.keys.inside(&balancer)),
        ];
        assert_eq!(txn.deletes, expected);
    }

    #[test]
    fn what_is_larger_than_etcd_takes_is_refused_beforehand() {
        let group = |id: usize| ResourcePath::of(Kind::TargetGroup, None, &id.to_string());
        let object = |size: usize| {
            let name = ("name".to_owned(), "n".repeat(size).into());
            Some(Arc::new(Object::new(Map::from_iter([name]), "test")))
        };
        let many = (0..MOST_OPERATIONS).map(|id| (group(id), object(1)));
        for objects in [many.collect(), vec![(group(0), object(MOST_BYTES))]] {
            let error = cluster().txn(&head(), &entry(1, objects)).unwrap_err();
            assert_eq!(error.status, 422);
        }
    }

    #[test]
    fn nothing_is_written_before_it_is_known_what_there_is() {
        let cluster = cluster();
        cluster.lose("no leader");
        let error = cluster.check().unwrap_err();
        assert_eq!(error.status, 507);
        assert_eq!(error.to_string(), "nothing is written: etcd: no leader");
        cluster.reach("a", 7);
        assert_eq!(cluster.check(), Ok(()));
    }
}
