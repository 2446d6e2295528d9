//! Objects in a folder: a file to which each write adds a line, and which is written anew from time
//! to time.
//!
//! A line counts once it is whole and on the disk; nothing is answered before. A crash can leave a
//! last line that is torn, which is as if it had never been asked for. A line is a checksum and
//! JSON, so that a person can read the file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::state::{Entry, State};

/// What the file begins with.
const HEADER: &[u8] = b"culvert api journal 1\n";
const NAME: &str = "api.journal";
const NEW: &str = "api.journal.new";
/// A file that is shorter is not written anew.
const SHORT: u64 = 1 << 20;
/// How many times as long as after it was written anew a file becomes.
const GROWTH: u64 = 4;

/// The file, to be written to.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    file: File,
    /// How much of it counts.
    length: u64,
    /// Something may be behind that which does not.
    is_torn: bool,
    /// How long it was when it was written anew.
    first_length: u64,
}

impl Journal {
    /// Opens the journal in a folder, or makes one, with what is in it.
    ///
    /// Errors: it cannot be had, or something is in it that nobody has written: more than a torn
    /// last line.
    pub(super) fn open(folder: &Path) -> io::Result<(Journal, State)> {
        make(folder)?;
        let path = folder.join(NAME);
        if !path.try_exists()? {
            let file = write_anew(folder, &State::default())?;
            return Journal::of(folder, file, State::default());
        }
        let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
        lock(&file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (state, length) = read(&bytes)?;
        if length < bytes.len() as u64 {
            file.set_len(length)?;
            file.sync_all()?;
        }
        Journal::of(folder, file, state)
    }

    fn of(folder: &Path, mut file: File, state: State) -> io::Result<(Journal, State)> {
        let length = file.seek(SeekFrom::End(0))?;
        let folder = folder.to_owned();
        let journal = Journal {
            folder,
            file,
            length,
            is_torn: false,
            first_length: length,
        };
        Ok((journal, state))
    }

    /// Adds a write. When this returns it is on the disk; where it fails it never was.
    pub(super) fn add(&mut self, entry: &Entry) -> io::Result<()> {
        let line = line(entry)?;
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

    /// Takes away what does not count.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.sync_data()?;
        self.is_torn = false;
        Ok(())
    }

    /// Puts this in the place of what it says.
    pub(super) fn replace(&mut self, state: &State) -> io::Result<()> {
        let mut file = write_anew(&self.folder, state)?;
        self.length = file.seek(SeekFrom::End(0))?;
        self.first_length = self.length;
        self.is_torn = false;
        self.file = file;
        Ok(())
    }

    /// Writes the file anew with this, which is what it says, where it has become long. Where that
    /// fails the file stays as it is.
    pub(super) fn tidy(&mut self, state: &State) -> io::Result<()> {
        if self.length < SHORT || self.length < self.first_length.saturating_mul(GROWTH) {
            return Ok(());
        }
        self.replace(state)
    }
}

/// What the journal in a folder says, whoever has it.
pub(super) fn peek(folder: &Path) -> io::Result<State> {
    let bytes = fs::read(folder.join(NAME))?;
    read(&bytes).map(|(state, _)| state)
}

/// Puts a file with this in the place of the one that is there, in one step.
fn write_anew(folder: &Path, state: &State) -> io::Result<File> {
    let path = folder.join(NEW);
    let options = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path)
    };
    let written = options().and_then(|mut file| {
        lock(&file)?;
        file.write_all(HEADER)?;
        file.write_all(&line(&state.whole())?)?;
        file.sync_all()?;
        fs::rename(&path, folder.join(NAME))?;
        File::open(folder)?.sync_all()?;
        Ok(file)
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
fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::other("another process has it"),
        TryLockError::Error(error) => error,
    })
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
        return Err(invalid("does not begin like a journal".to_owned()));
    };
    let mut state = State::default();
    let mut rest = lines;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let Some(entry) = entry(&rest[..end]) else {
            // A torn line has no end.
            let at = bytes.len() - rest.len();
            return Err(invalid(format!(
                "what is at byte {at} is not what was written there"
            )));
        };
        state.apply(entry);
        rest = &rest[end + 1..];
    }
    Ok((state, (bytes.len() - rest.len()) as u64))
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
        assert!(error.contains("at byte 22"), "{error}");
        fs::write(&path, b"something else").unwrap();
        assert!(Journal::open(folder.path()).is_err());
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
    fn one_process_has_it_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(folder.path()).unwrap();
        let error = Journal::open(folder.path()).unwrap_err().to_string();
        assert_eq!(error, "another process has it");
        drop(journal);
        assert!(Journal::open(folder.path()).is_ok());
    }
}
