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
use super::plan::Planner;
use super::request::Request;
use super::state::{Entry, State, Warnings};
use super::write::{Change, Write};

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

    /// Serves with these objects, which it serves with already, as the configuration and the files
    /// that they name are now.
    ///
    /// Errors: they cannot be served so; then everything is as before.
    fn renew(&self, _objects: &Objects) -> Result<Warnings, ApiError> {
        Ok(Warnings::new())
    }

    /// What the configuration file has. Another list where that has changed.
    fn of_file(&self) -> Arc<Vec<(ResourcePath, Arc<Object>)>>;

    /// Whether a target group had this name before that is not the one that is called so now, and
    /// has tunnels by it.
    fn is_former_name(&self, _name: &str, _label: Option<&str>) -> bool {
        false
    }

    /// Whether a datacenter is there where somebody names it.
    fn any_datacenter(&self) -> bool;

    /// Addresses for an IP block: so many that are not among these.
    fn new_ips(&self, count: usize, taken: &HashSet<IpAddr>) -> Option<Vec<IpAddr>>;
}

/// All that is kept, and where.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// Whoever writes has it until that is done. `None` while another process may have it.
    journal: Mutex<Option<Journal>>,
    /// What is read; whoever writes has it for a moment only.
    kept: Mutex<Kept>,
}

#[derive(Debug, Clone)]
struct Kept {
    state: Arc<State>,
    /// What of it is the configuration file's.
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
            journal: Mutex::new(Some(journal)),
            kept: Mutex::new(Kept {
                state: Arc::new(state),
                of_file: Arc::default(),
            }),
        })
    }

    /// What is kept now, and what the configuration file has beside it. It waits for no write.
    pub fn state(&self, serve: &dyn Serve) -> Arc<State> {
        self.kept(serve).state
    }

    fn kept(&self, serve: &dyn Serve) -> Kept {
        let of_file = serve.of_file();
        let mut kept = self.kept.lock();
        kept.take_file(of_file);
        kept.clone()
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
        *self.journal.lock() = None;
    }

    /// Takes the folder back from a process that has written nothing.
    pub fn take_back(&self) -> io::Result<()> {
        let (journal, _) = Journal::open(&self.folder)?;
        *self.journal.lock() = Some(journal);
        Ok(())
    }

    /// Has what is kept served as the configuration is now.
    pub(super) fn renew(&self, serve: &dyn Serve) -> Result<(), ApiError> {
        let _nobody_writes = self.journal.lock();
        let state = self.state(serve);
        self.warn(serve.renew(&state.objects)?);
        Ok(())
    }

    /// Does what is asked for. It waits for the disk.
    pub fn write(
        &self,
        write: Write,
        author: Author<'_>,
        serve: &dyn Serve,
    ) -> Result<Written, ApiError> {
        let mut journal = self.journal.lock();
        let Some(journal) = journal.as_mut() else {
            return Err(ApiError::later("a new process takes over"));
        };
        let kept = self.kept(serve);
        if let (Some(tag), Some(place)) = (author.only_if, write.place()) {
            check_tag(&kept.state.objects, place, tag)?;
        }
        let change = plan(write, author.by, &kept.state.objects, serve)?;
        let written = carry_out(&kept.state, journal, change, author, serve)?;
        *self.kept.lock() = Kept {
            state: Arc::clone(&written.state),
            ..kept
        };
        if let Err(error) = journal.tidy(&written.state) {
            // Nothing is lost: it only goes on being long.
            log::warn!("api.store: the journal cannot be written anew: {error}");
        }
        Ok(written)
    }
}

fn plan(write: Write, by: &str, objects: &Objects, serve: &dyn Serve) -> Result<Change, ApiError> {
    let planner = Planner {
        objects,
        by,
        any_datacenter: serve.any_datacenter(),
        is_former: &|name, label| serve.is_former_name(name, label),
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
}

/// Has a change served and on record.
fn carry_out(
    before: &State,
    journal: &mut Journal,
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
        revision: before.revision + 1,
        objects: change.objects.into_iter().map(share).collect(),
        requests: vec![Arc::clone(&request)],
    };
    let mut state = before.clone();
    state.change(&entry);
    let length = journal.length();
    let mut keep = || journal.add(&entry);
    let served = serve.serve(&state.objects, &change.place, &mut keep);
    if served.is_err() && journal.length() > length {
        // It was on record, and could not be served for all that.
        journal.forget(length).ok();
    }
    state.warnings = served?;
    state.requests.keep(Arc::clone(&request));
    let mut objects = entry.objects.into_iter();
    let object = objects.find(|(place, _)| *place == change.place);
    Ok(Written {
        request,
        object: object.and_then(|(_, object)| object),
        place: change.place,
        state: Arc::new(state),
    })
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use serde_json::json;

    use super::super::kind::Kind;
    use super::*;

    /// Sees what can be read while it is written to this store; without one it fails too late.
    struct Reading(Option<Arc<Store>>);

    impl Serve for Reading {
        fn serve(
            &self,
            _: &Objects,
            _: &ResourcePath,
            keep: Keep<'_>,
        ) -> Result<Warnings, ApiError> {
            let (tell, told) = channel();
            let Some(store) = self.0.clone() else {
                keep().unwrap();
                return Err(ApiError::new(422, INVALID, "it cannot be served"));
            };
            thread::spawn(move || tell.send(store.state(&Reading(None)).revision));
            assert_eq!(told.recv_timeout(Duration::from_secs(5)), Ok(0));
            keep().unwrap();
            Ok(Warnings::new())
        }

        fn of_file(&self) -> Arc<Vec<(ResourcePath, Arc<Object>)>> {
            Arc::default()
        }

        fn any_datacenter(&self) -> bool {
            true
        }

        fn new_ips(&self, _: usize, _: &HashSet<IpAddr>) -> Option<Vec<IpAddr>> {
            None
        }
    }

    fn write(store: &Store, serve: &dyn Serve) -> Result<Written, ApiError> {
        let body = json!({"name": "g", "algorithm": "RANDOM", "protocol": "HTTP"});
        let write = Write::Create(Kind::TargetGroup, None, body);
        let author = Author {
            method: "POST",
            by: "test",
            only_if: None,
        };
        store.write(write, author, serve)
    }

    #[test]
    fn a_read_waits_for_no_write() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let serve = Reading(Some(Arc::clone(&store)));
        write(&store, &serve).unwrap();
        assert_eq!(store.state(&serve).revision, 1);
    }

    #[test]
    fn what_could_not_be_served_is_not_on_record() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(write(&store, &Reading(None)).is_err());
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.state(&Reading(None)).revision, 0);
    }
}
