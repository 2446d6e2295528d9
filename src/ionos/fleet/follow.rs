//! Takes over what other nodes have written, in order and whole.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, sleep};

use super::super::object::Object;
use super::super::objects::Change;
use super::super::path::ResourcePath;
use super::super::record::Take;
use super::super::request::Request;
use super::super::serve::Serve;
use super::super::state::{Entry, State};
use super::cluster::{Cluster, HeadAt};
use super::keys::{Head, Item};
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

/// What the keys of one revision say, or several, or all.
#[derive(Default)]
struct Items {
    head: Option<(Head, i64)>,
    is_importing: bool,
    is_headless: bool,
    objects: Vec<(ResourcePath, Option<Object>)>,
    requests: Vec<Request>,
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

/// What changes nothing.
fn same(state: &State) -> Entry {
    Entry {
        revision: state.revision,
        id: state.id.clone(),
        fleet: state.fleet.clone(),
        ..Entry::default()
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

impl Items {
    fn add(&mut self, item: Item, revision: i64) {
        match item {
            Item::Head(Some(head)) => self.head = Some((head, revision)),
            Item::Head(None) => self.is_headless = true,
            Item::Import(import) => self.is_importing = import.is_some(),
            Item::Object(path, object) => self.objects.push((path, object)),
            Item::Request(request) => self.requests.extend(request),
            Item::Node(..) | Item::Shared(_) => {}
        }
    }

    /// Goes on from an entry. Errors: it does not come after that.
    fn go_on(self, entry: &mut Entry) -> Result<(), String> {
        let Some((head, _)) = self.head else {
            return Err("something was changed by hand".to_owned());
        };
        let is_other = !entry.fleet.is_empty() && head.fleet != entry.fleet;
        if self.is_headless || head.previous != entry.id || is_other {
            return Err(format!("{} does not come after {}", head.id, entry.id));
        }
        let share = |(path, object): (ResourcePath, Option<Object>)| (path, object.map(Arc::new));
        entry.objects.extend(self.objects.into_iter().map(share));
        entry
            .requests
            .extend(self.requests.into_iter().map(Arc::new));
        (entry.id, entry.revision) = (head.id, head.number);
        entry.fleet = head.fleet;
        Ok(())
    }
}

/// What makes this state what is there. Errors: it is not to be.
fn difference(state: &State, items: &Items, prefix: &str) -> Result<Entry, String> {
    let mut ours: HashMap<_, _> = state
        .objects
        .iter()
        .filter(|(_, object)| !object.is_of_file)
        .collect();
    if items.is_importing {
        return Err(format!(
            "objects are being imported, see {prefix}import: where that has failed, do it again"
        ));
    }
    let Some((head, _)) = &items.head else {
        return match state.id.is_empty() && ours.is_empty() && items.objects.is_empty() {
            true => Ok(same(state)),
            false => Err(format!(
                "there is no {prefix}head, but this node has {} objects: it serves them, and \
                 writes nothing",
                ours.len()
            )),
        };
    };
    if state.id.is_empty() && !ours.is_empty() {
        return Err(format!(
            "the folder has {} objects that are not from there: it must be empty",
            ours.len()
        ));
    }
    if !state.fleet.is_empty() && head.fleet != state.fleet {
        return Err(format!(
            "{prefix}head is of the fleet {:?}, and this node of {:?}: it serves what it has, and \
             writes nothing",
            head.fleet, state.fleet
        ));
    }
    let mut objects: Vec<Change> = Vec::new();
    for (path, object) in &items.objects {
        let known = ours.remove(path);
        if let Some(object) = object
            && known.is_none_or(|known| **known != *object)
        {
            objects.push((path.clone(), Some(Arc::new(object.clone()))));
        }
    }
    objects.extend(ours.into_keys().map(|path| (path.clone(), None)));
    let is_new = |request: &&Request| state.requests.get(&request.id).is_none();
    let requests = items.requests.iter().filter(is_new);
    Ok(Entry {
        revision: head.number,
        id: head.id.clone(),
        fleet: head.fleet.clone(),
        objects,
        requests: requests.cloned().map(Arc::new).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::super::super::kind::Kind;
    use super::super::super::object::Stamp;
    use super::super::keys::Import;
    use super::*;

    fn group(id: &str) -> ResourcePath {
        ResourcePath::of(Kind::TargetGroup, None, id)
    }

    fn object(name: &str) -> Object {
        let stamp = Stamp {
            at: "2026-11-26T00:00:00Z".to_owned(),
            by: "test".to_owned(),
        };
        let properties = json!({"name": name}).as_object().cloned();
        Object {
            created: stamp.clone(),
            modified: stamp,
            ..Object::new(properties.unwrap_or_else(Map::new), "test")
        }
    }

    fn head(previous: &str, id: &str, number: u64) -> Head {
        Head {
            id: id.to_owned(),
            previous: previous.to_owned(),
            number,
            fleet: "f".to_owned(),
        }
    }

    fn state(id: &str, groups: &[&str]) -> State {
        let mut state = State {
            id: id.to_owned(),
            fleet: "f".to_owned(),
            ..State::default()
        };
        let object = |id: &&str| (group(id), Some(Arc::new(object(id))));
        state.objects.apply(groups.iter().map(object));
        state
    }

    #[test]
    fn a_write_is_taken_over_only_where_it_comes_after_the_last() {
        let items = |previous: &str| {
            let mut items = Items::default();
            items.add(Item::Head(Some(head(previous, "c", 3))), 9);
            items.add(Item::Object(group("g"), None), 9);
            items
        };
        let mut entry = same(&state("b", &[]));
        items("b").go_on(&mut entry).unwrap();
        assert_eq!(
            (&*entry.id, entry.revision, entry.objects.len()),
            ("c", 3, 1)
        );
        assert!(items("a").go_on(&mut same(&state("b", &[]))).is_err());
        // Somebody has changed an object by hand.
        let mut by_hand = Items::default();
        by_hand.add(Item::Object(group("g"), None), 9);
        assert!(by_hand.go_on(&mut entry).is_err());
    }

    #[test]
    fn of_all_that_is_there_only_the_difference_is_taken_over() {
        let mut items = Items::default();
        items.add(Item::Head(Some(head("y", "z", 8))), 9);
        items.add(Item::Object(group("same"), Some(object("same"))), 5);
        items.add(Item::Object(group("other"), Some(object("changed"))), 6);
        items.add(Item::Object(group("new"), Some(object("new"))), 7);
        let entry = difference(&state("a", &["same", "other", "gone"]), &items, "/p/").unwrap();
        let what = |change: &Change| (change.0.id().to_owned(), change.1.is_some());
        let mut changes: Vec<_> = entry.objects.iter().map(what).collect();
        changes.sort();
        let expected = [("gone", false), ("new", true), ("other", true)];
        assert_eq!(
            changes,
            expected.map(|(id, is_there)| (id.to_owned(), is_there))
        );
        assert_eq!((&*entry.id, entry.revision), ("z", 8));
    }

    #[test]
    fn an_etcd_that_has_nothing_and_a_folder_of_another_store_change_nothing() {
        let nothing = Items::default();
        assert!(difference(&state("a", &["g"]), &nothing, "/p/").is_err());
        assert!(difference(&state("", &["g"]), &nothing, "/p/").is_err());
        assert!(difference(&state("", &[]), &nothing, "/p/").is_ok());
        let mut items = Items::default();
        items.add(Item::Head(Some(head("", "a", 1))), 9);
        assert!(difference(&state("", &["g"]), &items, "/p/").is_err());
        assert!(difference(&state("", &[]), &items, "/p/").is_ok());
    }

    #[test]
    fn nothing_is_taken_over_from_another_fleet_or_while_objects_are_imported() {
        let mut items = Items::default();
        items.add(Item::Head(Some(head("", "z", 8))), 9);
        let mut ours = state("a", &["g"]);
        assert!(difference(&ours, &items, "/p/").is_ok());
        ours.fleet = "another".to_owned();
        assert!(difference(&ours, &items, "/p/").is_err());
        assert!(items.go_on(&mut same(&ours)).is_err());
        // A copy from before there were names of fleets.
        ours.fleet = String::new();
        let mut items = Items::default();
        items.add(Item::Head(Some(head("", "z", 8))), 9);
        assert_eq!(difference(&ours, &items, "/p/").unwrap().fleet, "f");
        let import = Import {
            fleet: "f".to_owned(),
            number: 8,
        };
        items.add(Item::Import(Some(import)), 10);
        assert!(difference(&state("", &[]), &items, "/p/").is_err());
    }
}
