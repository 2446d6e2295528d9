//! Notices that files have changed on disk: certificates which the configuration names, their keys,
//! the keys of session tickets, manifests.
//!
//! The system tells that something has happened in their folders, and in the folders of the
//! symbolic links that lead to them; that is only a hint to look at the files. They are looked at
//! every minute anyway, so that what no folder tells is missed for no longer: a folder further up
//! that was replaced, a file system that tells nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::Serving;
use crate::config::renewal;

/// How long nothing must have happened: a chain and its key come one after the other.
const QUIET: Duration = Duration::from_millis(300);
/// How long to wait for that.
const LONGEST: Duration = Duration::from_secs(3);
/// How often to look though nothing was heard.
const ANYWAY: Duration = Duration::from_secs(60);
/// How many symbolic links may lead to each other.
const MOST_LINKS: usize = 40;

/// The way to the thread that watches.
pub struct Watch(SyncSender<()>);

impl Watch {
    /// Watches the files that the configuration names.
    pub fn start(serving: Arc<Serving>, changed: mpsc::Sender<()>) -> Self {
        Watch::start_for(move || renewal::files(&serving.config()), changed)
    }

    /// Watches these files. It sends a word when some have changed; a word that waits is enough.
    pub fn start_for(
        files: impl Fn() -> Vec<PathBuf> + Send + 'static,
        changed: mpsc::Sender<()>,
    ) -> Self {
        let (hints, heard) = sync_channel(1);
        let watcher = Watcher {
            files: Box::new(files),
            changed,
            hints: hints.clone(),
            heard,
            folders: Folders::default(),
        };
        let thread = std::thread::Builder::new().name("watch".into());
        if let Err(error) = thread.spawn(|| watcher.run()) {
            log::warn!("changes of files on disk are only noticed by a reload: {error}");
        }
        Watch(hints)
    }

    /// Has it look: there may be other files.
    pub fn look(&self) {
        // It is about to look.
        self.0.try_send(()).ok();
    }
}

struct Watcher {
    files: Box<dyn Fn() -> Vec<PathBuf> + Send>,
    changed: mpsc::Sender<()>,
    hints: SyncSender<()>,
    heard: Receiver<()>,
    folders: Folders,
}

impl Watcher {
    fn run(mut self) {
        let mut before = Vec::new();
        loop {
            let files = (self.files)();
            // First the folders, so that no change is missed.
            self.folders.follow(&files, &self.hints);
            let now: Vec<_> = files.iter().map(|file| state(file)).collect();
            if now != before {
                self.changed.try_send(()).ok();
                before = now;
            }
            if self.heard.recv_timeout(ANYWAY).is_ok() {
                self.settle();
            }
        }
    }

    /// Waits until nothing happens any more, but not for ever.
    fn settle(&self) {
        let end = Instant::now() + LONGEST;
        while Instant::now() < end && self.heard.recv_timeout(QUIET).is_ok() {}
    }
}

/// What is other after any change of a file's content, or of what is at its path.
fn state(file: &Path) -> Option<[i64; 5]> {
    let found: Metadata = fs::metadata(file).ok()?;
    let (device, inode) = identity(&found);
    let [size, seconds, nanos] = [found.size() as i64, found.ctime(), found.ctime_nsec()];
    Some([device as i64, inode as i64, size, seconds, nanos])
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// The folders that are watched.
#[derive(Default)]
struct Folders {
    watcher: Option<RecommendedWatcher>,
    /// By their paths; another folder may come to have the same one.
    known: BTreeMap<PathBuf, (u64, u64)>,
    has_warned: bool,
}

impl Folders {
    /// Watches the folders of these files, and no others.
    fn follow(&mut self, files: &[PathBuf], hints: &SyncSender<()>) {
        let wanted: BTreeSet<PathBuf> = files.iter().flat_map(|file| folders(file)).collect();
        if wanted.is_empty() && self.watcher.is_none() {
            return;
        }
        if let Err(error) = self.try_follow(wanted, hints)
            && !self.has_warned
        {
            self.has_warned = true;
            log::warn!("changes of files on disk are only noticed once a minute: {error}");
        }
    }

    fn try_follow(
        &mut self,
        wanted: BTreeSet<PathBuf>,
        hints: &SyncSender<()>,
    ) -> notify::Result<()> {
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            none => none.insert(watcher(hints.clone())?),
        };
        let is_same = |path: &Path, known| {
            let found = fs::metadata(path).map(|found| identity(&found));
            found.is_ok_and(|found| found == known)
        };
        self.known.retain(|path, known| {
            let stays = wanted.contains(path) && is_same(path, *known);
            if !stays {
                // The system may have forgotten one that is gone.
                watcher.unwatch(path).ok();
            }
            stays
        });
        let mut result = Ok(());
        for path in wanted {
            if self.known.contains_key(&path) {
                continue;
            }
            // One that has gone meanwhile is told by its own folder.
            let Ok(found) = fs::metadata(&path) else {
                continue;
            };
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => _ = self.known.insert(path, identity(&found)),
                Err(error) => result = Err(error),
            }
        }
        result
    }
}

fn watcher(hints: SyncSender<()>) -> notify::Result<RecommendedWatcher> {
    let is_change = |event: &Event| match event.kind {
        // Looking at the files must not lead to another look.
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.as_ref().map_or(true, is_change) {
            // A hint that waits is enough.
            hints.try_send(()).ok();
        }
    })
}

/// The folders in which a file can change: its own, and the one in which that can be replaced; the
/// same for every symbolic link that leads to it. Instead of one that is not there, the nearest
/// above it.
fn folders(file: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    let Ok(mut path) = std::path::absolute(file) else {
        return folders;
    };
    for _ in 0..MOST_LINKS {
        let own = path.ancestors().skip(1).take(2);
        let linked = path.ancestors().filter(|path| path.is_symlink());
        let of_links = linked.filter_map(Path::parent);
        folders.extend(
            own.chain(of_links)
                .filter_map(|folder| existing(folder).ok()),
        );
        match fs::read_link(&path) {
            Ok(target) => path = path.with_file_name("").join(target),
            Err(_) => break,
        }
    }
    folders
}

/// By the path without symbolic links: a folder is watched once.
fn existing(folder: &Path) -> io::Result<PathBuf> {
    let mut found = Err(io::ErrorKind::NotFound.into());
    for folder in folder.ancestors() {
        found = fs::canonicalize(folder);
        if found.is_ok() {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_can_change_in_its_folder_and_in_those_of_the_links_that_lead_to_it() {
        let top = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(top.path()).unwrap();
        let at = |name: &str| top.join(name);
        let found = |name: &str| {
            let all = folders(&at(name)).into_iter();
            let names = all.filter_map(|path| Some(path.strip_prefix(&top).ok()?.to_owned()));
            let names: Vec<_> = names.map(|path| path.display().to_string()).collect();
            names.join(" ")
        };
        for folder in ["a/b", "live/x", "archive/x", "mount/..1"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("a/b/file"), "").unwrap();
        assert_eq!(found("a/b/file"), "a a/b");
        // The way of certbot.
        symlink("../../archive/x/1.pem", at("live/x/pem")).unwrap();
        assert_eq!(found("live/x/pem"), "archive archive/x live live/x");
        // The way of Kubernetes.
        symlink("..1", at("mount/..data")).unwrap();
        symlink("..data/crt", at("mount/crt")).unwrap();
        assert_eq!(found("mount/crt"), " mount mount/..1");
        // A folder that is a link.
        symlink("a/b", at("current")).unwrap();
        assert_eq!(found("current/file"), " a/b");
        // What is not there.
        assert_eq!(found("a/c/d/file"), "a");
        symlink("loop", at("loop")).unwrap();
        assert_eq!(found("loop"), "");
    }

    #[test]
    fn a_file_that_changes_has_another_state() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let mut states = vec![state(&file)];
        fs::write(&file, "one").unwrap();
        states.push(state(&file));
        fs::write(&file, "four").unwrap();
        states.push(state(&file));
        fs::write(folder.path().join("new"), "five").unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        states.push(state(&file));
        states.dedup();
        assert_eq!(states.len(), 4);
    }
}
