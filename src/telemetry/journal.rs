//! The open tunnels of a process, each in its place of a file, which outlives the process: where
//! that dies another writes a line for each tunnel that was open.
//!
//! A place is written when a tunnel opens, and emptied when it is over; nothing is written in
//! between. The file is not mapped into memory: where the disk is full a write fails, and a mapping
//! would kill the process.
//!
//! Each process has a file of its own, which it has locked for as long as it lives: a file whose
//! lock can be had is of one that is dead. When it was last changed tells until when that lived.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::diagnostics::OUTSIDE;
use super::{CloseReason, Line, Record, Style};

const EXTENSION: &str = "tunnels";
/// Of a file that a version has written which is not known here.
const UNKNOWN: &str = "unknown";
/// What a file begins with, in a place of its own.
const FORMAT: &[u8] = b"culvert tunnels 1\n";
/// A length of two bytes, and the line of a tunnel that opens.
const PLACE: usize = 1024;
const LENGTH: usize = size_of::<u16>();
const TRACKING_ID: &str = "trackingId";
/// How many characters of each text are kept of a line that does not fit: the first that does.
const SHORT: [usize; 3] = [64, 16, 4];

/// The file of this process.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    places: Mutex<Places>,
    is_failing: AtomicBool,
}

#[derive(Debug, Default)]
struct Places {
    free: Vec<u32>,
    next: u32,
}

/// A tunnel that is open, until this is dropped.
#[derive(Debug)]
pub struct Entry {
    journal: Arc<Journal>,
    place: u32,
}

impl Journal {
    /// Makes a file for this process in the folder, and the folder, where there is none.
    pub(super) fn open(folder: &Path) -> io::Result<Journal> {
        fs::create_dir_all(folder)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let name = format!("{}-{}", process::id(), now.unwrap_or_default().as_nanos());
        let new = folder.join(format!("{name}.new"));
        let path = folder.join(format!("{name}.{EXTENSION}"));
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        // Nobody looks at it before it is locked and has its name.
        let made = file
            .try_lock()
            .map_err(io::Error::from)
            .and_then(|()| file.write_all_at(FORMAT, 0))
            .and_then(|()| fs::rename(&new, &path));
        if let Err(error) = made {
            fs::remove_file(&new).ok();
            return Err(error);
        }
        Ok(Journal {
            folder: folder.to_owned(),
            path,
            file,
            places: Mutex::default(),
            is_failing: AtomicBool::new(false),
        })
    }

    /// Notes a tunnel that opens. `None` where that cannot be written.
    pub(super) fn enter(self: &Arc<Self>, record: &Record) -> Option<Entry> {
        let text = opening(record)?;
        let length = u16::try_from(text.len()).ok()?;
        let bytes = [&length.to_le_bytes(), text.as_slice()].concat();
        let place = self.places.lock().take();
        let entry = Entry {
            journal: Arc::clone(self),
            place,
        };
        let written = self.file.write_all_at(&bytes, offset(place));
        match written {
            Ok(()) => self.is_failing.store(false, Relaxed),
            Err(error) => {
                self.fails(&error);
                return None;
            }
        }
        Some(entry)
    }

    /// Shows that the process lives.
    pub(super) fn lives(&self) {
        if let Err(error) = self.file.set_modified(SystemTime::now()) {
            self.fails(&error);
        }
    }

    /// Takes the file away: no tunnel is open any more.
    pub(super) fn close(&self) {
        fs::remove_file(&self.path).ok();
    }

    /// The files of processes that are dead.
    pub(super) fn of_the_dead(&self) -> Vec<Dead> {
        let Ok(files) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let paths = files.filter_map(|file| Some(file.ok()?.path()));
        let is_another = |path: &PathBuf| {
            path.extension().is_some_and(|it| it == EXTENSION) && *path != self.path
        };
        let found = paths.filter(is_another).filter_map(Dead::find);
        let mut found: Vec<_> = found.collect();
        if !found.is_empty() {
            // A process may have died when it had just given them away.
            let ours = Arc::new(self.open_here());
            found
                .iter_mut()
                .for_each(|dead| dead.left = Arc::clone(&ours));
        }
        found
    }

    /// The tracking ids of the tunnels that are open here.
    fn open_here(&self) -> HashSet<String> {
        let Ok(file) = File::open(&self.path) else {
            return HashSet::new();
        };
        let mut file = BufReader::with_capacity(64 * PLACE, file);
        let mut ids = HashSet::new();
        while let Some(place) = next_place(&mut file) {
            let id = fields(&place).and_then(|mut fields| fields.remove(TRACKING_ID));
            ids.extend(id.and_then(|id| Some(id.as_str()?.to_owned())));
        }
        ids
    }

    fn fails(&self, error: &io::Error) {
        if !self.is_failing.swap(true, Relaxed) {
            let path = self.path.display();
            log::error!(
                target: OUTSIDE,
                "accessLog.journal: {path}: {error}; a crash would lose lines"
            );
        }
    }
}

impl Places {
    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next
        })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let journal = &self.journal;
        let emptied = journal.file.write_all_at(&[0; LENGTH], offset(self.place));
        match emptied {
            Ok(()) => journal.places.lock().free.push(self.place),
            // It is not used again: what is there may not be whole.
            Err(error) => journal.fails(&error),
        }
    }
}

/// Where a place is. The first has no tunnel.
fn offset(place: u32) -> u64 {
    u64::from(place) * PLACE as u64
}

/// The line of a tunnel that opens, as it fits into a place.
fn opening(record: &Record) -> Option<Vec<u8>> {
    let fits = |line: &Vec<u8>| line.len() <= PLACE - LENGTH;
    let whole = record.to_open_line(&Style::default());
    if fits(&whole) {
        return Some(whole);
    }
    SHORT
        .into_iter()
        .filter_map(|most| shorter(&whole, most))
        .find(fits)
}

/// The same line without the headers that it repeats, and with so many characters of each text at
/// most.
fn shorter(line: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut fields: Map<_, _> = serde_json::from_slice(line).ok()?;
    fields.retain(|_, value| !value.is_object());
    for (_, value) in &mut fields {
        if let Value::String(text) = value
            && let Some((end, _)) = text.char_indices().nth(most)
        {
            text.truncate(end);
            text.push('…');
        }
    }
    serde_json::to_vec(&fields).ok()
}

/// The file of a process that is dead.
#[derive(Debug)]
pub(super) struct Dead {
    path: PathBuf,
    file: BufReader<File>,
    lived_until: SystemTime,
    /// The tracking ids of tunnels that have moved.
    left: Arc<HashSet<String>>,
}

impl Dead {
    /// `None` where its process lives, or another one looks at it.
    fn find(path: PathBuf) -> Option<Dead> {
        let file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
        file.try_lock().ok()?;
        let found = file.metadata().ok().filter(|found| found.nlink() > 0)?;
        let mut file = BufReader::with_capacity(64 * PLACE, file);
        let mut first = [0; FORMAT.len()];
        file.read_exact(&mut first).ok()?;
        if first != FORMAT {
            let aside = path.with_extension(UNKNOWN);
            let moved = fs::rename(&path, &aside).map_or_else(
                |error| error.to_string(),
                |()| format!("it is {} now", aside.display()),
            );
            let path = path.display();
            log::error!(target: OUTSIDE, "accessLog.journal: {path}: of another version: {moved}");
            return None;
        }
        file.seek(SeekFrom::Start(PLACE as u64)).ok()?;
        Some(Dead {
            path,
            file,
            lived_until: found.modified().ok()?,
            left: Arc::default(),
        })
    }

    /// The file's name, which begins with the id of the process.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The line of the next tunnel that was open.
    pub(super) fn next(&mut self, style: &Style) -> Option<Vec<u8>> {
        loop {
            let place = next_place(&mut self.file)?;
            let Some(fields) = fields(&place) else {
                continue;
            };
            let id = fields.get(TRACKING_ID).and_then(Value::as_str);
            if id.is_some_and(|id| self.left.contains(id)) {
                continue;
            }
            if let Some(line) = ending(&fields, self.lived_until, style) {
                return Some(line);
            }
        }
    }

    /// All its lines are written.
    pub(super) fn remove(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            log::error!("accessLog.journal: {}: {error}", self.path.display());
        }
    }
}

/// The next place of a file; `None` at its end.
fn next_place(file: &mut impl Read) -> Option<Vec<u8>> {
    let mut place = Vec::with_capacity(PLACE);
    let read = file.take(PLACE as u64).read_to_end(&mut place).ok()?;
    (read >= LENGTH).then_some(place)
}

/// What is told of the tunnel in a place, if there is one.
fn fields(place: &[u8]) -> Option<Map<String, Value>> {
    let (length, text) = place.split_first_chunk::<LENGTH>()?;
    let text = text.get(..usize::from(u16::from_le_bytes(*length)))?;
    serde_json::from_slice(text).ok()
}

/// The line of a tunnel of a dead process, made of that with which it opened. Its sums are not
/// known.
fn ending(fields: &Map<String, Value>, end: SystemTime, style: &Style) -> Option<Vec<u8>> {
    let started = fields.get("startTime")?.as_str()?;
    let lasted = humantime::parse_rfc3339(started)
        .ok()
        .and_then(|started| end.duration_since(started).ok());
    let mut line = Line::begin(style.format);
    line.time("time", SystemTime::now());
    line.text("startTime", Some(started));
    line.millis("durationMs", Some(lasted.unwrap_or_default()));
    line.text("node", style.node());
    let of_the_opening = ["event", "time", "startTime"];
    for (name, value) in fields {
        if !of_the_opening.contains(&name.as_str()) {
            line.value(name, value);
        }
    }
    line.text("closeReason", Some(CloseReason::ProcessCrash.as_str()));
    Some(line.end())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::super::RequestLine;
    use super::*;

    fn record(id: &str, uri: &str) -> Record {
        let client = SocketAddr::from(([192, 0, 2, 1], 80));
        let mut record = Record::begin("edge".into(), client.into());
        record.tracking_id = id.to_owned();
        record.request = Some(RequestLine {
            version: "HTTP/1.1",
            method: "GET".into(),
            host: "a.example".into(),
            uri: uri.into(),
            user_agent: Some("ü".repeat(900)),
            referer: None,
        });
        record
    }

    fn open(folder: &Path) -> Arc<Journal> {
        Arc::new(Journal::open(folder).unwrap())
    }

    /// Another process of which nobody knows that it is one.
    fn dies(journal: Arc<Journal>, entries: Vec<Option<Entry>>) {
        journal.file.unlock().unwrap();
        entries.into_iter().for_each(std::mem::forget);
    }

    fn lines(dead: &mut Dead) -> Vec<Value> {
        std::iter::from_fn(|| dead.next(&Style::default()))
            .map(|line| serde_json::from_slice(&line).unwrap())
            .collect()
    }

    #[test]
    fn of_a_dead_process_those_tunnels_have_a_line_that_were_open() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (open(folder.path()), open(folder.path()));
        let entries = ["a", "b", "c"].map(|id| theirs.enter(&record(id, "/chat")));
        let [a, b, c] = entries;
        drop(b);
        let d = theirs.enter(&record("d", &"/long".repeat(1000)));
        assert!(ours.of_the_dead().is_empty());
        let end = SystemTime::now() + Duration::from_secs(5);
        theirs.file.set_modified(end).unwrap();
        dies(theirs, vec![a, c, d]);

        let mut dead = ours.of_the_dead();
        let lines = lines(&mut dead[0]);
        let ids: Vec<_> = lines.iter().map(|line| &line["trackingId"]).collect();
        assert_eq!(ids, ["a", "d", "c"]);
        for line in &lines {
            assert_eq!(line["closeReason"], "process_crash");
            assert_eq!(line["clientIp"], "192.0.2.1");
            assert!(line["durationMs"].as_f64() > Some(4000.0), "{line}");
            assert!(line.get("event").is_none());
        }
        assert_eq!(lines[0]["requestUri"], "/chat");
        let uri = lines[1]["requestUri"].as_str().unwrap();
        assert!(uri.starts_with("/long/long") && uri.ends_with('…'), "{uri}");
        // Nobody else has them, and nobody has them again.
        assert!(ours.of_the_dead().is_empty());
        dead.into_iter().for_each(Dead::remove);
        assert!(ours.of_the_dead().is_empty());
        ours.close();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn those_that_have_moved_here_have_no_line_of_the_dead() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (open(folder.path()), open(folder.path()));
        let entries = ["a", "b", "c"].map(|id| theirs.enter(&record(id, "/chat")));
        let moved = ["b", "d"].map(|id| ours.enter(&record(id, "/chat")));
        dies(theirs, entries.into());
        let lines = lines(&mut ours.of_the_dead()[0]);
        let ids: Vec<_> = lines.iter().map(|line| &line["trackingId"]).collect();
        assert_eq!(ids, ["a", "c"]);
        drop(moved);
    }

    #[test]
    fn a_line_with_any_headers_and_texts_has_a_place() {
        let mut record = record("a", &"/\u{1}".repeat(1000));
        let header = (http::header::ORIGIN, "\"".repeat(2048));
        record.details().request_headers = vec![header; 20];
        let line: Value = serde_json::from_slice(&opening(&record).unwrap()).unwrap();
        assert_eq!(line["trackingId"], "a");
        assert!(line.get("requestHeaders").is_none());
    }

    #[test]
    fn whatever_a_file_holds_the_lines_are_whole_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let ours = open(folder.path());
        let place = |text: &[u8]| {
            let length = u16::try_from(text.len()).unwrap().to_le_bytes();
            let mut place = [&length, text].concat();
            place.resize(PLACE, b'x');
            place
        };
        let mut first = FORMAT.to_vec();
        first.resize(PLACE, 0);
        let whole = opening(&record("a", "/")).unwrap();
        let bytes = [
            first,
            vec![0xff; PLACE],
            place(b"{}"),
            place(b"{\"startTime\":\"never\"}"),
            place(&whole),
            whole,
        ];
        fs::write(folder.path().join("1-1.tunnels"), bytes.concat()).unwrap();
        fs::write(folder.path().join("2-1.tunnels"), "culvert tunnels 2\n").unwrap();
        let mut dead = ours.of_the_dead();
        assert_eq!(dead.len(), 1);
        assert!(folder.path().join("2-1.unknown").exists());
        assert_eq!(lines(&mut dead[0]).len(), 2);
    }
}
