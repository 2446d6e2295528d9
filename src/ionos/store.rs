//! Where writes come in, one after the other: what each makes of the objects is found out, served,
//! put on record and remembered, or nothing of it is. What other nodes have written comes in by
//! [`Take`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::error::{ApiError, INVALID, TAKEN_OVER};
use super::held::{Held, Wanted, serve_most};
use super::journal::Journal;
use super::keeping::{serve_and_keep, tidy};
use super::kept::Kept;
use super::object::{Object, Stamp};
use super::objects::Objects;
use super::path::ResourcePath;
use super::plan::Planner;
use super::record::{Find, NotKept, Record, Take};
use super::request::{Progress, Request};
use super::serve::{Serve, try_out};
use super::state::{Entry, State, Warnings};
use super::write::{Author, Change, Write, Written};
use crate::os::random;

/// How long a write is tried where others are first, and how long it is waited in between at most.
const TRYING: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(30);
/// How long it is waited for what another node has written.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a write may wait until it serves everywhere.
const SETTLING: Duration = Duration::from_secs(1);

/// All that is kept, and where.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    record: Arc<dyn Record>,
    /// Whoever has it is the one who changes what is kept. `None` while another process may have
    /// the folder.
    journal: Mutex<Option<Journal>>,
    /// Whoever has it is the one who changes what is served. Nobody waits for others meanwhile.
    serving: Mutex<Held>,
    /// What is read; whoever writes has it for a moment only.
    kept: Mutex<Kept>,
    changed: Condvar,
    /// How long a write is tried where others are first.
    trying: Duration,
    /// Whether it was known at the start what is on record elsewhere.
    was_read: bool,
}

impl Store {
    /// Opens what is kept in a folder, or begins there.
    ///
    /// Errors: it cannot be had, or another process has it.
    pub(super) fn open(folder: &Path, record: Arc<dyn Record>) -> io::Result<Self> {
        let (journal, state) = Journal::open(folder)?;
        let was_read = journal.was_read;
        Ok(Store {
            folder: folder.to_owned(),
            record,
            journal: Mutex::new(Some(journal)),
            serving: Mutex::default(),
            kept: Mutex::new(Kept {
                state: Arc::new(state),
                of_file: Arc::default(),
            }),
            changed: Condvar::new(),
            trying: TRYING,
            was_read,
        })
    }

    /// What is kept now, and what the configuration file has beside it. It waits for no write.
    pub fn state(&self, serve: &dyn Serve) -> Arc<State> {
        let of_file = serve.of_file();
        let mut kept = self.kept.lock();
        kept.take_file(of_file);
        Arc::clone(&kept.state)
    }

    /// Shows these warnings.
    pub(super) fn warn(&self, warnings: Warnings) {
        let mut kept = self.kept.lock();
        Arc::make_mut(&mut kept.state).warnings = warnings;
    }

    /// The objects that are kept.
    pub fn objects(&self) -> Objects {
        self.kept.lock().state.objects.clone()
    }

    /// Shows how it stands.
    pub(super) fn stand(&self, serve: &dyn Serve) {
        self.show(serve);
    }

    /// Whether there may be more than this node knows of, since others cannot be asked.
    pub(super) fn is_cut_off(&self) -> bool {
        self.record.is_shared() && {
            let revision = self.kept.lock().state.revision;
            !self.record.standing(revision).is_available
        }
    }

    /// Begins to take over what other nodes write.
    pub(super) fn begin(self: &Arc<Self>, serve: Arc<dyn Serve>) {
        let store: Weak<Store> = Arc::downgrade(self);
        self.show(&*serve);
        self.record.begin(store, serve);
    }

    /// Leaves the folder to another process. Writes are to be tried again until it is taken back.
    pub fn lend(&self) {
        *self.journal.lock() = None;
        self.record.end();
    }

    /// Takes the folder back from a process that has written nothing.
    pub(super) fn take_back(self: &Arc<Self>, serve: Arc<dyn Serve>) -> io::Result<()> {
        let (journal, _) = Journal::open(&self.folder)?;
        *self.journal.lock() = Some(journal);
        self.begin(serve);
        Ok(())
    }

    /// Has what is kept served as the configuration is now.
    pub(super) fn renew(&self, serve: &dyn Serve) -> Result<(), ApiError> {
        let mut held = self.serving.lock();
        let state = self.state(serve);
        if !self.record.is_shared() {
            self.warn(serve.renew(&state.objects)?);
            return Ok(());
        }
        let renewed = Wanted::of(&state, &state, &Entry::default(), &held)
            .serve(|objects| serve.renew(objects));
        let (warnings, missing) = renewed?;
        *held = missing;
        drop(held);
        self.warn(warnings);
        Ok(())
    }

    /// As much of what is kept as this can serve, and what is held back.
    pub(super) fn most<T>(
        &self,
        serve: impl FnMut(&Objects) -> Result<T, ApiError>,
    ) -> Result<(T, Held), ApiError> {
        let state = Arc::clone(&self.kept.lock().state);
        let nothing = State::default();
        Wanted::of(&state, &nothing, &Entry::default(), &Held::default()).serve(serve)
    }

    /// Notes that this is not served.
    pub(super) fn hold(&self, held: Held) {
        *self.serving.lock() = held;
    }

    /// Has other nodes no longer wait for this one.
    pub(super) async fn leave(&self) {
        self.record.leave().await;
    }

    /// How far a write is.
    pub(super) fn progress(&self, request: &Request) -> Progress {
        match &request.failure {
            Some(failure) => Progress::Failed(failure.clone()),
            None => self.record.progress(request.revision),
        }
    }

    /// Waits a moment for a write to serve everywhere.
    pub(super) fn settle(&self, revision: u64) {
        self.record.wait(revision, SETTLING);
    }

    /// Does what is asked for. It waits for the disk, or for others.
    pub fn write(
        &self,
        write: &Write,
        author: Author<'_>,
        serve: &dyn Serve,
    ) -> Result<Written, ApiError> {
        let until = Instant::now() + self.trying;
        while Instant::now() < until {
            let before = self.kept.lock().state.id.clone();
            let written = self.try_to_write(write, author, serve);
            self.show(serve);
            match written {
                Ok(written) => return Ok(written),
                Err(NotKept::Refused(error)) => return Err(error),
                Err(NotKept::Lost) => self.wait_for_others(&before),
            }
            // Nodes that lose together are not to lose together again.
            thread::sleep(PAUSE.mul_f64(random::chance()));
        }
        let place = write.place().map_or("", ResourcePath::as_str);
        let message = format!("[(root)] {place}: others write, too: it is as before");
        Err(ApiError::new(409, INVALID, message))
    }

    fn try_to_write(
        &self,
        write: &Write,
        author: Author<'_>,
        serve: &dyn Serve,
    ) -> Result<Written, NotKept> {
        // It may wait, and whoever waits must not have the journal.
        let is_ready = self.record.check();
        let mut journal = self.journal.lock();
        let state = self.state(serve);
        let Some(journal) = journal.as_mut() else {
            return Err(NotKept::Refused(ApiError::later(TAKEN_OVER)));
        };
        is_ready.map_err(NotKept::Refused)?;
        let change = self.planned(write, author, &state, serve);
        let change = change.map_err(NotKept::Refused)?;
        self.carry_out(change, author, serve, (journal, &state))
    }

    fn planned(
        &self,
        write: &Write,
        author: Author<'_>,
        state: &State,
        serve: &dyn Serve,
    ) -> Result<Change, ApiError> {
        if let (Some(tag), Some(place)) = (author.only_if, write.place()) {
            state.objects.check_tag(place, tag)?;
        }
        let planner = Planner {
            objects: &state.objects,
            by: author.by,
            any_datacenter: serve.any_datacenter(),
            is_former: &|name, label| serve.is_former_name(name, label),
            new_ips: &|count, taken| serve.new_ips(count, taken),
            new_id: &|| uuid::Uuid::new_v4().to_string(),
        };
        planner.change(write)
    }

    fn carry_out(
        &self,
        change: Change,
        author: Author<'_>,
        serve: &dyn Serve,
        (journal, before): (&mut Journal, &Arc<State>),
    ) -> Result<Written, NotKept> {
        let place = change.place.clone();
        let (request, entry) = self.entry(change, author, before);
        let mut state = State::clone(before);
        state.change(&entry);
        let is_shared = self.record.is_shared();
        if is_shared {
            let held = self.serving.lock().without(&entry.objects);
            let objects = held.objects(&state.objects);
            try_out(&objects, &place, serve).map_err(NotKept::Refused)?;
            self.record.keep(before, &entry, journal)?;
        }
        let mut held = self.serving.lock();
        let missing = match is_shared {
            true => serve_most(&mut state, before, (&entry, Some(&place)), &mut held, serve),
            false => {
                let keep = |journal: &mut Journal| self.record.keep(before, &entry, journal);
                serve_and_keep(&mut state, &place, serve, (journal, &keep))?;
                None
            }
        };
        let state = self.put(before, state, &entry);
        drop(held);
        self.record.copy(&entry, &state, journal);
        tidy(journal, &state);
        self.record.tell(entry.revision, missing);
        let mut objects = entry.objects.into_iter();
        let object = objects.find(|(there, _)| *there == place);
        Ok(Written {
            request,
            object: object.and_then(|(_, object)| object),
            place,
            state,
        })
    }

    fn entry(&self, change: Change, author: Author<'_>, before: &State) -> (Arc<Request>, Entry) {
        let revision = before.revision + 1;
        let request = Arc::new(Request {
            id: uuid::Uuid::new_v4().to_string(),
            created: Stamp::now(author.by),
            method: author.method.to_owned(),
            target: change.place,
            failure: None,
            revision,
        });
        let share = |(place, object): (ResourcePath, Option<Object>)| (place, object.map(Arc::new));
        let id = self.record.name(&request);
        // The first write of a fleet names it.
        let fleet = match before.fleet.is_empty() || id.is_empty() {
            true => id.clone(),
            false => before.fleet.clone(),
        };
        let entry = Entry {
            revision,
            id,
            fleet,
            objects: change.objects.into_iter().map(share).collect(),
            requests: vec![Arc::clone(&request)],
        };
        (request, entry)
    }

    /// Has this state in the place of the one before, which an entry has made of it.
    fn put(&self, before: &Arc<State>, state: State, entry: &Entry) -> Arc<State> {
        let mut kept = self.kept.lock();
        for request in &entry.requests {
            state.requests.keep(Arc::clone(request));
        }
        match Arc::ptr_eq(&kept.state, before) {
            true => kept.state = Arc::new(state),
            // Meanwhile the file has changed.
            false => {
                let now = Arc::make_mut(&mut kept.state);
                now.change(entry);
                now.warnings = state.warnings;
            }
        }
        self.changed.notify_all();
        Arc::clone(&kept.state)
    }

    /// Waits until another write has come in than this one, but not for long.
    fn wait_for_others(&self, id: &str) {
        let mut kept = self.kept.lock();
        let is_same = |kept: &mut Kept| kept.state.id == id;
        let waited = self.changed.wait_while_for(&mut kept, is_same, PATIENCE);
        if waited.timed_out() {
            self.record.doubt();
        }
    }
}

impl Take for Store {
    fn take(&self, serve: &dyn Serve, find: Find<'_>) -> Result<(), String> {
        let mut journal = self.journal.lock();
        let before = self.state(serve);
        let Some(journal) = journal.as_mut() else {
            return Ok(());
        };
        let Some(entry) = find(&before)? else {
            return Ok(());
        };
        let mut state = State::clone(&before);
        state.change(&entry);
        let mut held = self.serving.lock();
        let missing = serve_most(&mut state, &before, (&entry, None), &mut held, serve);
        let is_new = entry.id != before.id || !entry.objects.is_empty();
        let state = self.put(&before, state, &entry);
        drop(held);
        if is_new {
            self.record.copy(&entry, &state, journal);
            tidy(journal, &state);
        }
        journal.note_read();
        self.record.tell(entry.revision, missing);
        Ok(())
    }

    fn look_after(&self) {
        // Whoever has the journal writes.
        let Some(mut journal) = self.journal.try_lock() else {
            return;
        };
        let state = Arc::clone(&self.kept.lock().state);
        if let Some(journal) = journal.as_mut()
            && let Err(error) = journal.catch_up(&state)
        {
            log::error!("api.store.path: the copy is behind: {error}");
        }
    }

    fn lacks(&self) -> bool {
        !self.serving.lock().is_empty()
    }

    fn show(&self, serve: &dyn Serve) {
        let revision = self.kept.lock().state.revision;
        let mut standing = self.record.standing(revision);
        standing.is_known |= self.was_read;
        serve.show(standing);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::IpAddr;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::thread;

    use async_trait::async_trait;
    use serde_json::json;

    use super::super::alone::Alone;
    use super::super::file_objects::FileObjects;
    use super::super::held::Missing;
    use super::super::kind::Kind;
    use super::super::serve::Keep;
    use super::super::state::Standing;
    use super::*;

    /// Serves everything.
    struct Willing;

    impl Serve for Willing {
        fn serve(
            &self,
            _: &Objects,
            _: Option<&ResourcePath>,
            keep: Keep<'_>,
        ) -> Result<Warnings, ApiError> {
            keep().map(|()| Warnings::new())
        }

        fn is_outdated(&self) -> bool {
            false
        }

        fn of_file(&self) -> Arc<FileObjects> {
            // Always the same one.
            static NOTHING: OnceLock<Arc<FileObjects>> = OnceLock::new();
            Arc::clone(NOTHING.get_or_init(Arc::default))
        }

        fn any_datacenter(&self) -> bool {
            true
        }

        fn new_ips(&self, _: usize, _: &HashSet<IpAddr>) -> Option<Vec<IpAddr>> {
            None
        }
    }

    /// A record in which another node is first so many times; each time it renames a group.
    #[derive(Debug, Default)]
    struct Contested {
        losses: AtomicUsize,
        doubts: AtomicUsize,
        is_silent: AtomicBool,
        store: OnceLock<Weak<Store>>,
    }

    #[async_trait]
    impl Record for Contested {
        fn check(&self) -> Result<(), ApiError> {
            Ok(())
        }

        fn name(&self, request: &Request) -> String {
            request.id.clone()
        }

        fn keep(&self, _: &State, entry: &Entry, journal: &mut Journal) -> Result<(), NotKept> {
            let losses = self.losses.load(Ordering::SeqCst);
            if losses == 0 {
                journal.add(entry).unwrap();
                return Ok(());
            }
            self.losses.store(losses - 1, Ordering::SeqCst);
            if self.is_silent.load(Ordering::SeqCst) {
                return Err(NotKept::Lost);
            }
            let store = self.store.get().and_then(Weak::upgrade).unwrap();
            thread::spawn(move || store.take(&Willing, Box::new(|state| Ok(Some(other(state))))));
            Err(NotKept::Lost)
        }

        fn doubt(&self) {
            self.doubts.fetch_add(1, Ordering::SeqCst);
        }

        fn copy(&self, _: &Entry, _: &State, _: &mut Journal) {}

        fn is_shared(&self) -> bool {
            true
        }

        fn tell(&self, _: u64, _: Option<Missing>) {}

        fn progress(&self, _: u64) -> Progress {
            Progress::Done
        }

        fn standing(&self, revision: u64) -> Standing {
            Alone::default().standing(revision)
        }

        fn wait(&self, _: u64, _: Duration) {}

        fn begin(&self, _: Weak<dyn Take>, _: Arc<dyn Serve>) {}

        fn end(&self) {}

        async fn leave(&self) {}
    }

    /// What another node writes: it renames every group.
    fn other(state: &State) -> Entry {
        let renamed = |(path, object): (&ResourcePath, &Arc<Object>)| {
            let mut properties = object.properties.clone();
            properties.insert("name".to_owned(), "other".into());
            let object = object.changed(properties, "other");
            (path.clone(), Some(Arc::new(object)))
        };
        Entry {
            revision: state.revision + 1,
            id: uuid::Uuid::new_v4().to_string(),
            fleet: state.fleet.clone(),
            objects: state.objects.iter().map(renamed).collect(),
            requests: Vec::new(),
        }
    }

    struct Stage {
        store: Arc<Store>,
        record: Arc<Contested>,
        group: ResourcePath,
        _folder: tempfile::TempDir,
    }

    impl Stage {
        /// A store with a group, for which others are first so many times from now on.
        fn new(losses: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let record = Arc::<Contested>::default();
            let store = Store::open(folder.path(), Arc::clone(&record) as Arc<dyn Record>);
            let mut store = store.unwrap();
            store.trying = Duration::from_millis(200);
            let store = Arc::new(store);
            record.store.set(Arc::downgrade(&store)).unwrap();
            let group = store
                .write(&create(), author(None), &Willing)
                .unwrap()
                .place;
            record.losses.store(losses, Ordering::SeqCst);
            Stage {
                store,
                record,
                group,
                _folder: folder,
            }
        }

        fn patch(&self, only_if: Option<&str>) -> Result<Written, ApiError> {
            let patch = Write::Patch(self.group.clone(), json!({"algorithm": "ROUND_ROBIN"}));
            self.store.write(&patch, author(only_if), &Willing)
        }
    }

    fn author(only_if: Option<&str>) -> Author<'_> {
        Author {
            method: "PATCH",
            by: "test",
            only_if,
        }
    }

    #[test]
    fn a_write_that_comes_second_is_made_of_what_was_first() {
        let stage = Stage::new(3);
        let written = stage.patch(None).unwrap();
        // One has made the group, three are the others'.
        assert_eq!(written.request.revision, 5);
        let object = written.object.unwrap();
        assert_eq!(
            (object.text("name"), object.text("algorithm")),
            ("other", "ROUND_ROBIN")
        );
    }

    #[test]
    fn a_write_for_which_others_are_always_first_is_refused_with_its_path() {
        let stage = Stage::new(usize::MAX);
        let error = stage.patch(None).unwrap_err();
        assert_eq!(error.status, 409);
        let expected = format!("[(root)] {}: others write, too", stage.group);
        assert!(error.to_string().starts_with(&expected), "{error}");
        let tries = usize::MAX - stage.record.losses.load(Ordering::SeqCst);
        assert!(tries > 1, "{tries}");
        assert_eq!(stage.record.doubts.load(Ordering::SeqCst), 0);
        assert_eq!(stage.store.state(&Willing).requests.all().len(), 1);
    }

    #[test]
    fn where_nothing_is_to_be_seen_of_what_was_first_that_is_doubted() {
        let stage = Stage::new(usize::MAX);
        stage.record.is_silent.store(true, Ordering::SeqCst);
        stage.patch(None).unwrap_err();
        assert_eq!(stage.record.doubts.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_was_first_counts_for_if_match() {
        let stage = Stage::new(1);
        let tag = stage.store.objects().get(&stage.group).unwrap().tag();
        assert_eq!(stage.patch(Some(&tag)).unwrap_err().status, 412);
    }

    /// Sees what can be read while it is written to this store; without one it fails too late.
    struct Reading(Option<Arc<Store>>);

    impl Serve for Reading {
        fn serve(
            &self,
            _: &Objects,
            _: Option<&ResourcePath>,
            keep: Keep<'_>,
        ) -> Result<Warnings, ApiError> {
            let (tell, told) = channel();
            let Some(store) = self.0.clone() else {
                keep()?;
                return Err(ApiError::new(422, INVALID, "it cannot be served"));
            };
            thread::spawn(move || tell.send(store.state(&Willing).revision));
            assert_eq!(told.recv_timeout(Duration::from_secs(5)), Ok(0));
            keep().unwrap();
            Ok(Warnings::new())
        }

        fn is_outdated(&self) -> bool {
            false
        }

        fn of_file(&self) -> Arc<FileObjects> {
            Willing.of_file()
        }

        fn any_datacenter(&self) -> bool {
            true
        }

        fn new_ips(&self, _: usize, _: &HashSet<IpAddr>) -> Option<Vec<IpAddr>> {
            None
        }
    }

    fn alone(folder: &Path) -> Store {
        Store::open(folder, Arc::<Alone>::default()).unwrap()
    }

    fn create() -> Write {
        let body = json!({"name": "g", "algorithm": "RANDOM", "protocol": "HTTP"});
        Write::Create(Kind::TargetGroup, None, body)
    }

    #[test]
    fn a_read_waits_for_no_write() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(alone(folder.path()));
        let serve = Reading(Some(Arc::clone(&store)));
        store.write(&create(), author(None), &serve).unwrap();
        assert_eq!(store.state(&serve).revision, 1);
    }

    #[test]
    fn what_could_not_be_served_is_not_on_record() {
        let folder = tempfile::tempdir().unwrap();
        let store = alone(folder.path());
        let written = store.write(&create(), author(None), &Reading(None));
        assert!(written.is_err());
        drop(store);
        assert_eq!(alone(folder.path()).state(&Willing).revision, 0);
    }

    #[test]
    fn what_is_on_record_elsewhere_stays_though_it_cannot_be_served() {
        let stage = Stage::new(0);
        let written = stage.store.write(&create(), author(None), &Reading(None));
        assert_eq!(written.unwrap().request.revision, 2);
        assert_eq!(stage.store.state(&Willing).revision, 2);
    }
}
