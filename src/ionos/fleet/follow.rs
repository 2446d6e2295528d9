//! Takes over what other nodes have written, in order and whole.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, sleep};

use super::super::record::Take;
use super::super::serve::Serve;
use super::super::state::{Entry, State};
use super::cluster::{Cluster, HeadAt};
use super::items::{Items, difference, same};
use super::keys::Item;
use crate::etcd::{Batch, Compare, Pages, Pair, Position, Put, Txn};

/// How long it is waited after what went wrong.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether this node would serve something else.
const LOOK: Duration = Duration::from_secs(1);
/// How often what cannot be served is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// How often it is told that something cannot be read.
const TOLD: Duration = Duration::from_secs(60);

/// Why everything is read anew.
const MISSED: &str = "the last write is another one than this node knows of";

/// Why nothing is taken over.
enum Untaken {
    /// Something was written meanwhile.
    Meanwhile,
    /// It cannot be found out what there is.
    Unread(String),
    /// What there is must not take the place of what this node has.
    Refused(String),
}

/// Who takes it over.
#[derive(Clone)]
pub(super) struct Follower {
    pub(super) cluster: Arc<Cluster>,
    pub(super) store: Weak<dyn Take>,
    pub(super) serve: Arc<dyn Serve>,
}

/// Whether the head that was taken over is still that of etcd, after a watch has begun again.
#[derive(Default)]
struct Verified {
    /// How often the watch had begun when it was.
    begun: u64,
    /// Another head, of which the watch has yet to tell.
    awaited: Option<HeadAt>,
}

impl Follower {
    /// Follows until it is aborted, or the store is gone.
    pub(super) async fn follow(self) {
        let (mut known, mut pages) = (String::new(), Pages::default());
        while self.store.strong_count() > 0 {
            let why = match self.read_anew(&mut pages).await {
                Ok(position) => {
                    pages = Pages::default();
                    known.clear();
                    self.watch(position).await
                }
                Err(Untaken::Meanwhile) => continue,
                Err(Untaken::Unread(why)) => {
                    self.cluster.lose(&why);
                    self.cluster.nodes.forget_own();
                    why
                }
                Err(Untaken::Refused(why)) => {
                    self.cluster.lose(&why);
                    if known != why {
                        log::error!("api.store: etcd: {why}");
                        known.clone_from(&why);
                    }
                    why
                }
            };
            self.show();
            if known != why {
                log::warn!("api.store: etcd: {why}");
                known = why;
            }
            sleep(PAUSE).await;
        }
    }

    /// Takes over all that is there.
    async fn read_anew(&self, pages: &mut Pages) -> Result<Position, Untaken> {
        self.cluster.forget();
        let prefix = self.cluster.keys.prefix.as_bytes();
        let snapshot = self.cluster.client.range_by(prefix, None, pages).await;
        let snapshot = snapshot.map_err(|error| Untaken::Unread(error.to_string()))?;
        let (items, nodes) = self.items(&snapshot.pairs).map_err(Untaken::Unread)?;
        self.cluster.nodes.hear_all(nodes);
        self.take_all(items, snapshot.position.revision).await?;
        let shared = self.cluster.keys.shared();
        let shared = snapshot.pairs.iter().find(|pair| pair.key == shared);
        self.share(shared.map(|pair| (&*pair.value, pair.revision)))
            .await;
        Ok(snapshot.position)
    }

    /// Takes over all that was there at a revision.
    async fn take_all(&self, items: Items, read_at: i64) -> Result<(), Untaken> {
        let cluster = Arc::clone(&self.cluster);
        let untaken = Arc::new(Mutex::new(None));
        let found = Arc::clone(&untaken);
        let taken = self.take(move |state| {
            // Since it was forgotten, only a write that was under way has made one known.
            if cluster.head().is_ok_and(|known| known.revision > read_at) {
                *found.lock() = Some(Untaken::Meanwhile);
                return Ok(None);
            }
            let entry = match difference(state, &items, &cluster.keys.prefix) {
                Ok(entry) => entry,
                Err(why) => {
                    cluster.refuse(&items, state, &why);
                    *found.lock() = Some(Untaken::Refused(why));
                    return Ok(None);
                }
            };
            let revision = items.head.as_ref().map_or(0, |(_, revision)| *revision);
            cluster.reach(&entry.id, revision);
            Ok(Some(entry))
        });
        taken.await.map_err(Untaken::Unread)?;
        let untaken = untaken.lock().take();
        untaken.map_or(Ok(()), Err)
    }

    fn items(&self, pairs: &[Pair]) -> Result<(Items, HashMap<String, super::keys::Node>), String> {
        let (mut items, mut nodes) = (Items::default(), HashMap::new());
        for pair in pairs {
            match self.cluster.read(&pair.key, Some(&pair.value))? {
                Some(Item::Node(_, Some(_))) if pair.lease == 0 => {}
                Some(Item::Node(name, Some(node))) => _ = nodes.insert(name, node),
                Some(item) => items.add(item, pair.revision),
                None => {}
            }
        }
        Ok((items, nodes))
    }

    /// Takes over what changes after this moment; returns why all must be read anew.
    async fn watch(&self, after: Position) -> String {
        let prefix = self.cluster.keys.prefix.as_bytes();
        let mut watch = self.cluster.client.watch(prefix, after);
        let (mut look, mut tried) = (interval(LOOK), Instant::now());
        let mut verified = Verified::default();
        loop {
            let taken = tokio::select! {
                batch = watch.next() => match batch {
                    Some(Ok(batch)) => self.hear(&batch).await,
                    Some(Err(error)) => return error.to_string(),
                    None => return "the watch is over".to_owned(),
                },
                () = self.cluster.doubted.notified() => return MISSED.to_owned(),
                _ = look.tick() => {
                    if let Err(why) = self.verify(watch.begun(), &mut verified).await {
                        return why;
                    }
                    self.look_after().await;
                    self.rotate().await;
                    self.show();
                    let fails = self.cluster.nodes.own().is_some_and(|own| own.failure.is_some())
                        || self.store.upgrade().is_some_and(|store| store.lacks());
                    let is_due = fails && tried.elapsed() >= AGAIN;
                    if !is_due && !self.serve.is_outdated() {
                        continue;
                    }
                    tried = Instant::now();
                    self.take(|state| Ok(Some(same(state)))).await
                }
            };
            if let Err(why) = taken {
                return why;
            }
        }
    }

    /// Errors: etcd has another head than this node, and the watch does not tell of it.
    async fn verify(&self, begun: u64, verified: &mut Verified) -> Result<(), String> {
        if begun == verified.begun {
            return Ok(());
        }
        let known = self.cluster.head()?;
        let Ok(there) = self.cluster.head_there().await else {
            return Ok(());
        };
        if self.cluster.head()? != known {
            return Ok(());
        }
        if there == known {
            let awaited = None;
            *verified = Verified { begun, awaited };
            return Ok(());
        }
        if there.revision > known.revision && verified.awaited.as_ref() != Some(&there) {
            verified.awaited = Some(there);
            return Ok(());
        }
        Err(MISSED.to_owned())
    }

    async fn hear(&self, batch: &Batch) -> Result<(), String> {
        let mut revisions: Vec<(i64, Items)> = Vec::new();
        for change in &batch.changes {
            let item = self.cluster.read(&change.key, change.value.as_deref())?;
            match item {
                // One that is too old goes.
                None | Some(Item::Request(None)) => {}
                Some(Item::Node(name, node)) => {
                    let node = node.filter(|_| change.lease != 0);
                    self.cluster.nodes.hear(name, node);
                }
                Some(Item::Shared(sealed)) => {
                    let sealed = sealed.as_deref().map(|sealed| (sealed, change.revision));
                    self.share(sealed).await;
                }
                Some(item) => {
                    if revisions
                        .last()
                        .is_none_or(|(last, _)| *last != change.revision)
                    {
                        revisions.push((change.revision, Items::default()));
                    }
                    if let Some((_, items)) = revisions.last_mut() {
                        items.add(item, change.revision);
                    }
                }
            }
        }
        if revisions.is_empty() {
            return Ok(());
        }
        let cluster = Arc::clone(&self.cluster);
        self.take(move |state| {
            let known = cluster.head()?;
            let mut entry = same(state);
            let new = revisions
                .into_iter()
                .filter(|(revision, _)| *revision > known.revision);
            let mut last = known.revision;
            for (revision, items) in new {
                items.go_on(&mut entry)?;
                last = revision;
            }
            cluster.reach(&entry.id, last);
            Ok((last != known.revision).then_some(entry))
        })
        .await
    }

    async fn look_after(&self) {
        let Some(store) = self.store.upgrade() else {
            return;
        };
        if let Err(error) = spawn_blocking(move || store.look_after()).await {
            log::error!("api.store.path: {error}");
        }
    }

    fn show(&self) {
        if let Some(store) = self.store.upgrade() {
            store.show(&*self.serve);
        }
    }

    /// Serves with the keys in common, where they are new.
    async fn share(&self, sealed: Option<(&[u8], i64)>) {
        let revision = sealed.map_or(0, |(_, revision)| revision);
        let sealed = sealed.map(|(sealed, _)| sealed);
        let Some(keys) = self.cluster.ring.hear(sealed, revision) else {
            return;
        };
        let serve = Arc::clone(&self.serve);
        let shared = spawn_blocking(move || serve.share_keys(keys)).await;
        match shared.map_err(|error| error.to_string()) {
            Ok(Ok(())) => log::info!("api.store: the keys that the nodes have in common are used"),
            Ok(Err(why)) | Err(why) => {
                log::error!("api.store: the keys that the nodes have in common: {why}");
            }
        }
    }

    /// Puts new keys there when it is time, unless another node has.
    async fn rotate(&self) {
        let Some(new) = self.cluster.ring.due(SystemTime::now()) else {
            return;
        };
        let key = self.cluster.keys.shared();
        let compare = Compare {
            key: key.clone(),
            revision: new.revision,
        };
        let (value, lease) = (new.sealed, 0);
        let txn = Txn {
            compares: vec![compare],
            puts: vec![Put { key, value, lease }],
            ..Txn::default()
        };
        if let Err(error) = self.cluster.client.txn(&txn).await {
            log::warn!("api.store: etcd: no new keys in common: {error}");
        }
    }

    /// Has the store take over what is found once nobody else writes.
    async fn take(
        &self,
        find: impl FnOnce(&State) -> Result<Option<Entry>, String> + Send + 'static,
    ) -> Result<(), String> {
        let Some(store) = self.store.upgrade() else {
            return Err("the store is gone".to_owned());
        };
        let serve = Arc::clone(&self.serve);
        let taking = spawn_blocking(move || store.take(&*serve, Box::new(find)));
        taking.await.map_err(|error| error.to_string())?
    }
}

impl Cluster {
    /// What a key is about. What cannot be read is passed over where that is in nobody's way.
    fn read(&self, key: &[u8], value: Option<&[u8]>) -> Result<Option<Item>, String> {
        match self.keys.read(key, value) {
            Err(why) if self.keys.can_be_passed_over(key) => {
                let mut told = self.passed_over.lock();
                if told.is_none_or(|told| told.elapsed() >= TOLD) {
                    *told = Some(std::time::Instant::now());
                    log::warn!("api.store: etcd: {why}; it is passed over");
                }
                Ok(None)
            }
            item => item,
        }
    }

    /// Notes that this node takes nothing over. Where another fleet writes it is none of its nodes.
    fn refuse(&self, items: &Items, state: &State, why: &str) {
        match items.head {
            Some(_) => self.nodes.forget_own(),
            None => self.nodes.refuse(state.revision, why.to_owned()),
        }
    }
}
