//! Where writes come in, one after the other: what each makes of the objects is found out, served,
//! kept and remembered, or nothing of it is.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::{ApiError, INVALID};
use super::journal::Journal;
use super::object::{Object, Stamp};
use super::objects::Objects;
use super::path::ResourcePath;
use super::plan::{Change, Planner, Write};
use super::request::Request;
use super::state::{Entry, State, Warnings};

/// Has a write on record; where that fails nothing has changed.
pub(super) type Keep<'a> = &'a mut dyn FnMut() -> io::Result<()>;

/// Whoever serves what is written.
pub trait Serve: Send + Sync {
    /// Serves with these objects in the place of those before; `keep` is called once nothing can
    /// fail any more but itself. `about` is the object that is written.
    ///
    /// Errors: they cannot be served, or not kept; then everything is as before.
    fn serve(
        &self,
        objects: &Objects,
        about: &ResourcePath,
        keep: Keep<'_>,
    ) -> Result<Warnings, ApiError>;

    /// What the configuration file has. Another list where that has changed.
    fn of_file(&self) -> Arc<Vec<(ResourcePath, Arc<Object>)>>;

    /// Whether a datacenter is there where somebody names it.
    fn any_datacenter(&self) -> bool;

    /// Addresses for an IP block: so many that are not among these.
    fn new_ips(&self, count: usize, taken: &HashSet<IpAddr>) -> Option<Vec<IpAddr>>;
}

/// All that is kept, and where.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// `None` while another process may have it.
    journal: Option<Journal>,
    state: Arc<State>,
    of_file: Arc<Vec<(ResourcePath, Arc<Object>)>>,
}

/// A write that is done.
#[derive(Debug)]
pub struct Written {
    /// The request that remembers it.
    pub request: Arc<Request>,
    /// The object that it was about; `None` where it is gone.
    pub object: Option<Arc<Object>>,
    /// Where that is.
    pub place: ResourcePath,
    /// What is kept now.
    pub state: Arc<State>,
}

/// What a client has of a write beside its content.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    /// `POST`
    pub method: &'a str,
    /// A user's name.
    pub by: &'a str,
    /// `If-Match`: the object must have one of these tags.
    pub only_if: Option<&'a str>,
}

impl Store {
    /// Opens what is kept in a folder, or begins there.
    ///
    /// Errors: it cannot be had, or another process has it.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let (journal, state) = Journal::open(folder)?;
        Ok(Store {
            folder: folder.to_owned(),
            kept: Mutex::new(Kept {
                journal: Some(journal),
                state: Arc::new(state),
                of_file: Arc::default(),
            }),
        })
    }

    /// What is kept now, and what the configuration file has beside it.
    pub fn state(&self, serve: &dyn Serve) -> Arc<State> {
        let mut kept = self.kept.lock();
        kept.take_file(serve.of_file());
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

    /// Leaves the folder to another process. Writes are to be tried again until it is taken back.
    pub fn lend(&self) {
        self.kept.lock().journal = None;
    }

    /// Takes the folder back from a process that has written nothing.
    pub fn take_back(&self) -> io::Result<()> {
        let (journal, _) = Journal::open(&self.folder)?;
        self.kept.lock().journal = Some(journal);
        Ok(())
    }

    /// Does what is asked for. It waits for the disk.
    pub fn write(
        &self,
        write: Write,
        author: Author<'_>,
        serve: &dyn Serve,
    ) -> Result<Written, ApiError> {
        let mut kept = self.kept.lock();
        kept.take_file(serve.of_file());
        if kept.journal.is_none() {
            return Err(ApiError::later("a new process takes over"));
        }
        if let (Some(tag), Some(place)) = (author.only_if, write.place()) {
            check_tag(&kept.state.objects, place, tag)?;
        }
        let change = plan(write, author.by, &kept.state.objects, serve)?;
        kept.carry_out(change, author, serve)
    }
}

fn plan(write: Write, by: &str, objects: &Objects, serve: &dyn Serve) -> Result<Change, ApiError> {
    let planner = Planner {
        objects,
        by,
        any_datacenter: serve.any_datacenter(),
        new_ips: &|count, taken| serve.new_ips(count, taken),
        new_id: &|| uuid::Uuid::new_v4().to_string(),
    };
    planner.change(write)
}

impl Kept {
    /// Has what the configuration file has among the objects.
    fn take_file(&mut self, of_file: Arc<Vec<(ResourcePath, Arc<Object>)>>) {
        if Arc::ptr_eq(&self.of_file, &of_file) {
            return;
        }
        let state = Arc::make_mut(&mut self.state);
        let gone = self.of_file.iter().map(|(place, _)| (place.clone(), None));
        state.objects.apply(gone);
        let new = of_file
            .iter()
            .map(|(place, object)| (place.clone(), Some(Arc::clone(object))));
        state.objects.apply(new);
        self.of_file = of_file;
    }

    fn carry_out(
        &mut self,
        change: Change,
        author: Author<'_>,
        serve: &dyn Serve,
    ) -> Result<Written, ApiError> {
        let request = Arc::new(Request {
            id: uuid::Uuid::new_v4().to_string(),
            created: Stamp::now(author.by),
            method: author.method.to_owned(),
            target: change.place.clone(),
            failure: None,
        });
        let share = |(place, object): (ResourcePath, Option<Object>)| (place, object.map(Arc::new));
        let entry = Entry {
            revision: self.state.revision + 1,
            objects: change.objects.into_iter().map(share).collect(),
            requests: vec![Arc::clone(&request)],
        };
        let mut state = State::clone(&self.state);
        state.change(&entry);
        let journal = self.journal.as_mut();
        let journal = journal.ok_or_else(|| ApiError::later("a new process takes over"))?;
        let mut keep = || journal.add(&entry);
        state.warnings = serve.serve(&state.objects, &change.place, &mut keep)?;
        state.requests.keep(Arc::clone(&request));
        if let Err(error) = journal.tidy(&state) {
            // Nothing is lost: it only goes on being long.
            log::warn!("api.store: the journal cannot be written anew: {error}");
        }
        self.state = Arc::new(state);
        let mut objects = entry.objects.into_iter();
        let object = objects.find(|(place, _)| *place == change.place);
        Ok(Written {
            request,
            object: object.and_then(|(_, object)| object),
            place: change.place,
            state: Arc::clone(&self.state),
        })
    }
}

fn check_tag(objects: &Objects, place: &ResourcePath, tags: &str) -> Result<(), ApiError> {
    let Some(object) = objects.get(place) else {
        return Ok(());
    };
    let mut tags = tags.split(',').map(|tag| tag.trim().trim_matches('"'));
    match tags.any(|tag| tag == "*" || tag == object.tag()) {
        true => Ok(()),
        false => Err(ApiError::new(
            412,
            INVALID,
            "it has been changed since: see its ETag",
        )),
    }
}
