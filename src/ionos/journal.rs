//! Objects in a folder: a file to which each write adds a line, and which is written anew from time
//! to time.
//!
//! A line counts once it is whole and on the disk; nothing is answered before. A crash can leave a
//! last line that is torn, which is as if it had never been asked for. A line is a checksum and
//! JSON, so that a person can read the file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::state::{Entry, State};

/// What the file begins with.
const HEADER: &[u8] = b"culvert api journal 1\n";
/// The same without its version.
const NAMED: &[u8] = b"culvert api journal ";
const NAME: &str = "api.journal";
const NEW: &str = "api.journal.new";
/// This is there as long as a write is missing in the journal, where it is a copy.
const BEHIND: &str = "api.journal.behind";
/// This is there once it was found out what is on record elsewhere, though that may be nothing.
const WAS_READ: &str = "api.journal.read";
/// How often it is told that a copy stays behind.
const TOLD: Duration = Duration::from_secs(60);
/// Whoever has this locked has the folder. It stays when the journal is replaced.
const LOCK: &str = "api.lock";
/// A file that is shorter is not written anew.
const SHORT: u64 = 1 << 20;
/// How many times as long as after it was written anew a file becomes.
const GROWTH: u64 = 4;

/// The file, to be written to.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    /// The folder, opened: what is renamed in it is on the disk once this is.
    directory: File,
    /// Nobody else has the folder for as long as this is there.
    _lock: File,
    file: File,
    /// The file has its name, and the disk may not know of it yet.
    is_unnamed: bool,
    /// How much of it counts.
    length: u64,
    /// Something may be behind that which does not.
    is_torn: bool,
    /// How long it was when it was written anew.
    first_length: u64,
    /// Whether a write is missing in it, where it is a copy.
    is_behind: bool,
    /// Whether it was found out what is on record elsewhere.
    pub(super) was_read: bool,
    /// When it was last told that it is.
    told: Option<Instant>,
}

impl Journal {
    /// Opens the journal in a folder, or makes one, with what is in it.
    ///
    /// Errors: it cannot be had, or something is in it that nobody has written: more than a torn
    /// last line.
    pub(super) fn open(folder: &Path) -> io::Result<(Journal, State)> {
        make(folder)?;
        let lock = lock(folder)?;
        let path = folder.join(NAME);
        let directory = File::open(folder)?;
        let state = State::default();
        let ((file, length), state) = match path.try_exists()? {
            true => open(&path).map_err(|error| of_file(NAME, error))?,
            false => (put_in_place(folder, &state)?, state),
        };
        directory.sync_all()?;
        let journal = Journal {
            folder: folder.to_owned(),
            directory,
            _lock: lock,
            file,
            is_unnamed: false,
            length,
            is_torn: false,
            first_length: length,
            is_behind: is_behind(folder),
            was_read: folder.join(WAS_READ).exists(),
            told: None,
        };
        Ok((journal, state))
    }

    /// Adds a write. When this returns it is on the disk; where it fails it never was.
    pub(super) fn add(&mut self, entry: &Entry) -> io::Result<()> {
        let line = line(entry)?;
        if self.is_unnamed {
            self.name()?;
        }
        if self.is_torn {
            self.cut()?;
        }
        self.is_torn = true;
        let written = self
            .file
            .write_all(&line)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Where it fails it is tried again by the next.
            self.cut().ok();
            return Err(error);
        }
        self.is_torn = false;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Takes everything away again that was added when it was so long: nothing came of it.
    pub(super) fn forget(&mut self, length: u64) -> io::Result<()> {
        self.length = length;
        self.is_torn = true;
        self.cut()
    }

    /// How much of it counts.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Adds a write that is on record elsewhere, after which the state is this one. Where that
    /// fails it says what it said, until the next one is added with all that is missing.
    pub(super) fn copy(&mut self, entry: &Entry, state: &State) -> io::Result<()> {
        let copied = match self.is_behind {
            true => self.replace(state),
            false => self.add(entry),
        };
        self.mark(copied.is_err());
        copied
    }

    /// Writes all that is missing in a copy that is behind, or is gone. Errors, once in a while: it
    /// still is.
    pub(super) fn catch_up(&mut self, state: &State) -> io::Result<()> {
        let is_there = self.folder.join(NAME).exists();
        if is_there && !self.is_behind {
            return Ok(());
        }
        self.mark(true);
        let replaced = self.replace(state);
        if replaced.is_ok() {
            log::info!("api.store.path: the copy has caught up");
            self.told = None;
            self.mark(false);
            return Ok(());
        }
        if self.told.is_some_and(|told| told.elapsed() < TOLD) {
            return Ok(());
        }
        self.told = Some(Instant::now());
        replaced
    }

    /// Notes that it was found out what is on record elsewhere.
    pub(super) fn note_read(&mut self) {
        if !self.was_read {
            self.was_read = File::create(self.folder.join(WAS_READ)).is_ok();
        }
    }

    /// Notes whether a write is missing, for whoever reads the file, too.
    fn mark(&mut self, is_behind: bool) {
        if self.is_behind == is_behind {
            return;
        }
        self.is_behind = is_behind;
        let mark = self.folder.join(BEHIND);
        let marked = match is_behind {
            true => File::create(mark).map(drop),
            false => fs::remove_file(mark),
        };
        if let Err(error) = marked {
            log::debug!("api.store.path: {BEHIND}: {error}");
        }
    }

    /// Takes away what does not count.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.sync_data()?;
        self.is_torn = false;
        Ok(())
    }

    /// Has the name of the file on the disk.
    fn name(&mut self) -> io::Result<()> {
        self.directory.sync_all()?;
        self.is_unnamed = false;
        Ok(())
    }

    /// Puts this in the place of what it says. From the moment at which the file has its name,
    /// whatever is added goes to that one.
    pub(super) fn replace(&mut self, state: &State) -> io::Result<()> {
        (self.file, self.length) = put_in_place(&self.folder, state)?;
        self.first_length = self.length;
        self.is_torn = false;
        self.is_unnamed = true;
        self.name()
    }

    /// Writes the file anew with this, which is what it says, where it has become long. Where that
    /// fails the file stays as it is, until it is as long again.
    pub(super) fn tidy(&mut self, state: &State) -> io::Result<()> {
        if self.length < SHORT || self.length < self.first_length.saturating_mul(GROWTH) {
            return Ok(());
        }
        self.first_length = self.length;
        self.replace(state)
    }
}

/// Whether a write is missing in the journal in a folder, where it is a copy.
pub(super) fn is_behind(folder: &Path) -> bool {
    folder.join(BEHIND).exists()
}

/// What the journal in a folder says, whoever has it.
pub(super) fn peek(folder: &Path) -> io::Result<State> {
    let bytes = fs::read(folder.join(NAME)).map_err(|error| of_file(NAME, error))?;
    let read = read(&bytes).map_err(|error| of_file(NAME, error));
    read.map(|(state, _)| state)
}

/// An error about this file of the folder.
fn of_file(name: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

/// A journal that is there, at its end, and what is in it; nothing is behind that.
fn open(path: &Path) -> io::Result<((File, u64), State)> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let (state, length) = read(&bytes)?;
    if length < bytes.len() as u64 {
        file.set_len(length)?;
        file.sync_all()?;
    }
    file.seek(SeekFrom::Start(length))?;
    Ok(((file, length), state))
}

/// Puts a file with this in the place of the one that is there, in one step. Its content is on the
/// disk; that it has the name is, once the folder is. Returns how long it is, too.
fn put_in_place(folder: &Path, state: &State) -> io::Result<(File, u64)> {
    let path = folder.join(NEW);
    let open = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path)
    };
    let written = open().and_then(|mut file| {
        let content = [HEADER, &line(&state.whole())?].concat();
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&path, folder.join(NAME))?;
        Ok((file, content.len() as u64))
    });
    if written.is_err() {
        fs::remove_file(&path).ok();
    }
    written
}

/// The folder, for its owner alone, where it is not there.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// One process has it at a time.
fn lock(folder: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(folder.join(LOCK));
    let file = file.map_err(|error| of_file(LOCK, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("another process has it")),
        Err(TryLockError::Error(error)) => Err(of_file(LOCK, error)),
    }
}

fn line(entry: &Entry) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(entry)?;
    let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

/// What is in these bytes, and how many of them count.
fn read(bytes: &[u8]) -> io::Result<(State, u64)> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let Some(lines) = bytes.strip_prefix(HEADER) else {
        return Err(invalid(foreign(bytes)));
    };
    let mut state = State::default();
    let mut rest = lines;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let Some(entry) = entry(&rest[..end]) else {
            // A torn line has no end.
            let at = bytes.len() - rest.len();
            return Err(invalid(format!(
                "what is at byte {at} is not what was written there; put a copy in its place, or \
                 move it away to begin with nothing"
            )));
        };
        state.apply(entry);
        rest = &rest[end + 1..];
    }
    Ok((state, (bytes.len() - rest.len()) as u64))
}

/// What a file is that begins with something else.
fn foreign(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next();
    let version = line.and_then(|line| line.strip_prefix(NAMED));
    match version.map(String::from_utf8_lossy) {
        Some(version) if version != "1" && !version.is_empty() => {
            let version: String = version.chars().take(20).collect();
            format!("is of version {version:?}, and this program reads version 1")
        }
        _ => "does not begin like a journal".to_owned(),
    }
}

fn entry(line: &[u8]) -> Option<Entry> {
    let (sum, json) = line.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    (sum == crc32fast::hash(json)).then(|| serde_json::from_slice(json).ok())?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::kind::Kind;
    use super::super::object::Object;
    use super::super::path::ResourcePath;
    use super::*;

    fn group(id: usize) -> ResourcePath {
        ResourcePath::of(Kind::TargetGroup, None, &id.to_string())
    }

    fn made(revision: usize, name: &str) -> Entry {
        let properties = json!({"name": name}).as_object().cloned().unwrap();
        Entry {
            revision: revision as u64,
            id: String::new(),
            fleet: String::new(),
            objects: vec![(
                group(revision),
                Some(Object::new(properties, "test").into()),
            )],
            requests: Vec::new(),
        }
    }

    fn names(state: &State) -> Vec<String> {
        state
            .objects
            .iter()
            .map(|(_, object)| object.name().to_owned())
            .collect()
    }

    #[test]
    fn what_was_written_is_there_however_much_of_the_last_line_is_torn_off() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        journal.add(&made(1, "a")).unwrap();
        journal.add(&made(2, "b\nc")).unwrap();
        let before = journal.length;
        journal.add(&made(3, "d")).unwrap();
        drop(journal);
        let path = folder.path().join(NAME);
        let whole = fs::read(&path).unwrap();
        for length in before..=whole.len() as u64 {
            fs::write(&path, &whole[..length as usize]).unwrap();
            let (mut journal, state) = Journal::open(folder.path()).unwrap();
            let is_whole = length == whole.len() as u64;
            let expected: &[&str] = if is_whole {
                &["a", "b\nc", "d"]
            } else {
                &["a", "b\nc"]
            };
            assert_eq!(names(&state), expected, "{length}");
            // And it goes on.
            journal.add(&made(4, "e")).unwrap();
            drop(journal);
            let (_, state) = Journal::open(folder.path()).unwrap();
            assert_eq!(state.revision, 4);
            assert_eq!(names(&state).len(), expected.len() + 1);
        }
    }

    #[test]
    fn what_is_damaged_is_told_and_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        journal.add(&made(1, "a")).unwrap();
        journal.add(&made(2, "b")).unwrap();
        drop(journal);
        let path = folder.path().join(NAME);
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged[HEADER.len() + 20] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let error = Journal::open(folder.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("api.journal: what is at byte 22 "),
            "{error}"
        );
        for (bytes, expected) in [
            (&b"something else"[..], "does not begin like a journal"),
            (b"", "does not begin like a journal"),
            (
                b"culvert api journal 2\nx",
                "is of version \"2\", and this program reads version 1",
            ),
        ] {
            fs::write(&path, bytes).unwrap();
            let error = Journal::open(folder.path()).unwrap_err().to_string();
            assert_eq!(error, format!("api.journal: {expected}"));
            let error = peek(folder.path()).unwrap_err().to_string();
            assert_eq!(error, format!("api.journal: {expected}"));
        }
    }

    #[test]
    fn nothing_is_added_before_the_name_of_the_file_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, mut state) = Journal::open(folder.path()).unwrap();
        state.apply(made(1, "a"));
        // What cannot be synchronised.
        let nothing = File::open("/dev/null").unwrap();
        let directory = std::mem::replace(&mut journal.directory, nothing);
        assert!(journal.replace(&state).is_err());
        assert!(journal.add(&made(2, "b")).is_err());
        journal.directory = directory;
        journal.add(&made(3, "c")).unwrap();
        drop(journal);
        let (_, state) = Journal::open(folder.path()).unwrap();
        assert_eq!(names(&state), ["a", "c"]);
    }

    #[test]
    fn a_long_file_is_written_anew_and_says_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, mut state) = Journal::open(folder.path()).unwrap();
        let name = "n".repeat(100_000);
        for revision in 1..=30 {
            let entry = Entry {
                objects: vec![(
                    group(revision % 3),
                    made(revision, &name).objects[0].1.clone(),
                )],
                ..made(revision, &name)
            };
            journal.add(&entry).unwrap();
            state.apply(entry);
            journal.tidy(&state).unwrap();
        }
        let length = fs::metadata(folder.path().join(NAME)).unwrap().len();
        assert!(length < 2 * SHORT, "{length}");
        drop(journal);
        let (_, read) = Journal::open(folder.path()).unwrap();
        assert_eq!((read.revision, names(&read)), (30, names(&state)));
        assert!(!folder.path().join(NEW).exists());
    }

    #[test]
    fn a_copy_that_has_missed_a_write_gets_all_with_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, mut state) = Journal::open(folder.path()).unwrap();
        let mut write = |journal: &mut Journal, revision, name| {
            let entry = made(revision, name);
            state.apply(entry.clone());
            journal.copy(&entry, &state)
        };
        write(&mut journal, 1, "a").unwrap();
        let file = std::mem::replace(&mut journal.file, File::open("/dev/null").unwrap());
        write(&mut journal, 2, "b").unwrap_err();
        journal.file = file;
        assert!(is_behind(folder.path()));
        write(&mut journal, 3, "c").unwrap();
        assert!(!is_behind(folder.path()));
        drop(journal);
        let (_, read) = Journal::open(folder.path()).unwrap();
        assert_eq!(names(&read), ["a", "b", "c"]);
    }

    #[test]
    fn a_copy_that_is_gone_is_written_again_and_told_where_it_cannot_be() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, away) = (parent.path().join("folder"), parent.path().join("away"));
        let (mut journal, mut state) = Journal::open(&folder).unwrap();
        state.apply(made(1, "a"));
        fs::rename(&folder, &away).unwrap();
        assert!(journal.catch_up(&state).is_err());
        // It is not told each time.
        assert!(journal.catch_up(&state).is_ok());
        fs::rename(&away, &folder).unwrap();
        journal.catch_up(&state).unwrap();
        assert_eq!(names(&peek(&folder).unwrap()), ["a"]);
        assert!(!is_behind(&folder));
    }

    #[test]
    fn one_process_has_it_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(folder.path()).unwrap();
        let error = Journal::open(folder.path()).unwrap_err().to_string();
        assert_eq!(error, "another process has it");
        let mut journal = journal;
        journal.replace(&State::default()).unwrap();
        let error = Journal::open(folder.path()).unwrap_err().to_string();
        assert_eq!(error, "another process has it");
        assert!(!folder.path().join(NEW).exists());
        drop(journal);
        assert!(Journal::open(folder.path()).is_ok());
    }
}
