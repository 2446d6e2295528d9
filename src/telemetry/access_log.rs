//! The access log: one writer, on a thread of its own, so that a slow disk slows no request.
//!
//! Lines reach the writer through a queue that is bounded in lines and in bytes; one that does not
//! fit is dropped and counted. The writer gathers lines for a moment before it writes them, since
//! being woken for each costs the threads that serve connections more than the line does. It
//! appends whole lines: after a write that failed half way the next line begins on a line of its
//! own.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use prometheus::IntCounter;

pub use super::journal::Entry;
use super::journal::Journal;
use super::{CloseReason, Record, Style};

const QUEUED_LINES: usize = 65_536;
const QUEUED_BYTES: usize = 64 << 20;
/// How long a line may wait for others.
const GATHERING: Duration = Duration::from_millis(20);
/// What a pipe takes without another writer's bytes between: POSIX' least is 512, Linux' is this.
const PIPE_BUF: usize = 4096;
const BATCH_BYTES: usize = 256 << 10;
/// How many lines of a dead process wait at once, and for how long for the writer.
const AT_ONCE: usize = 1024;
const LINES_OF_THE_DEAD: Duration = Duration::from_secs(10);

/// The way to the writer. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct AccessLog {
    queue: SyncSender<Message>,
    queued_bytes: Arc<AtomicUsize>,
    reopen: Arc<AtomicBool>,
    next: Arc<Mutex<Option<Output>>>,
    style: Arc<ArcSwap<Style>>,
    dropped: IntCounter,
    journal: Option<Arc<Journal>>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// Wakes the writer.
    Reopen,
    Flush(SyncSender<()>),
}

impl AccessLog {
    /// Starts the writer, which opens files by way of `open`. `dropped` counts the lines that were
    /// lost.
    pub fn start(
        output: Output,
        open: Opener,
        style: Style,
        dropped: IntCounter,
    ) -> io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUED_LINES);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let reopen = Arc::new(AtomicBool::new(false));
        let next = Arc::default();
        let writer = Writer {
            output,
            open,
            messages,
            queued_bytes: Arc::clone(&queued_bytes),
            reopen: Arc::clone(&reopen),
            next: Arc::clone(&next),
            dropped: dropped.clone(),
            torn: false,
            failing: false,
        };
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(|| writer.run())?;
        Ok(AccessLog {
            queue,
            queued_bytes,
            reopen,
            next,
            style: Arc::new(ArcSwap::from_pointee(style)),
            dropped,
            journal: None,
        })
    }

    /// Has the open tunnels noted in a file in this folder from now on.
    pub fn keep_journal(&mut self, folder: &Path) -> io::Result<()> {
        self.journal = Some(Arc::new(Journal::open(folder)?));
        Ok(())
    }

    /// Notes a tunnel that opens, until the entry is dropped.
    pub fn enter(&self, record: &Record) -> Option<Entry> {
        self.journal.as_ref()?.enter(record)
    }

    /// Whether the open tunnels are noted.
    pub fn has_journal(&self) -> bool {
        self.journal.is_some()
    }

    /// Shows that the process lives.
    pub fn lives(&self) {
        if let Some(journal) = &self.journal {
            journal.lives();
        }
    }

    /// Takes the file with the open tunnels away: none is open any more.
    pub fn close_journal(&self) {
        if let Some(journal) = &self.journal {
            journal.close();
        }
    }

    /// Writes the lines of the tunnels that were open in processes that are dead. Blocks.
    pub fn write_for_the_dead(&self) {
        let dead = self
            .journal
            .iter()
            .flat_map(|journal| journal.of_the_dead());
        for mut dead in dead {
            let style = self.style();
            let mut count = 0;
            while let Some(line) = dead.next(&style) {
                count += 1;
                if count % AT_ONCE == 0 {
                    self.flush(LINES_OF_THE_DEAD);
                }
                self.write(line);
            }
            self.flush(LINES_OF_THE_DEAD);
            let path = dead.path().display();
            log::warn!("accessLog.journal: {path}: its process died with {count} open tunnels");
            dead.remove();
        }
    }

    /// What holds for all lines now.
    pub fn style(&self) -> Guard<Arc<Style>> {
        self.style.load()
    }

    /// Has lines follow this style from now on.
    pub fn restyle(&self, style: Style) {
        self.style.store(Arc::new(style));
    }

    /// Writes the record of something that is over, where it has a line.
    pub fn record(&self, record: &Record, reason: CloseReason) {
        let style = self.style();
        if style.wants(record.went_well(reason), &record.tracking_id) {
            self.write(record.to_line(reason, &style));
        }
    }

    /// Hands a whole line, with its end, to the writer. Never waits.
    pub fn write(&self, line: Vec<u8>) {
        let size = line.len();
        let fits = self.queued_bytes.fetch_add(size, Ordering::Relaxed) + size <= QUEUED_BYTES;
        if !fits || self.queue.try_send(Message::Line(line)).is_err() {
            self.queued_bytes.fetch_sub(size, Ordering::Relaxed);
            self.dropped.inc();
        }
    }

    /// Has the writer write to this from now on.
    pub fn switch(&self, output: Output) {
        *self.next.lock() = Some(output);
        self.reopen();
    }

    /// Has the writer open its file anew.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        // Where the queue is full the writer is awake.
        self.queue.try_send(Message::Reopen).ok();
    }

    /// Waits until all that was handed over before is written, at most for `limit`. Blocks: only
    /// for the process's end.
    pub fn flush(&self, limit: Duration) {
        let end = Instant::now() + limit;
        let (done, written) = sync_channel(1);
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(unsent)) = self.queue.try_send(message) {
            if Instant::now() >= end {
                break;
            }
            message = unsent;
            std::thread::sleep(GATHERING);
        }
        let left = end.saturating_duration_since(Instant::now());
        if written.recv_timeout(left).is_err() {
            log::error!("access log: not all lines could be written before the end");
        }
    }
}

/// How the file at a path is opened anew.
pub type Opener = fn(&Path) -> io::Result<Output>;

/// Where lines go.
#[derive(Debug)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File {
        /// Its name, by which it is opened anew.
        path: PathBuf,
        /// The file that had this name.
        file: File,
    },
}

impl Output {
    /// Opens the file at `path`, or takes standard output.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Output::Stdout);
        };
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Output::File {
            path: path.to_owned(),
            file,
        })
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::Stdout => io::stdout().write(whole_lines(bytes)),
            Output::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Stdout => io::stdout().flush(),
            Output::File { file, .. } => file.flush(),
        }
    }
}

struct Writer {
    output: Output,
    open: Opener,
    messages: Receiver<Message>,
    queued_bytes: Arc<AtomicUsize>,
    reopen: Arc<AtomicBool>,
    next: Arc<Mutex<Option<Output>>>,
    dropped: IntCounter,
    /// A write stopped in the middle of a line.
    torn: bool,
    /// The last write failed, and that was said.
    failing: bool,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_BYTES);
        let mut is_drained = true;
        while let Ok(first) = self.messages.recv() {
            if is_drained && matches!(first, Message::Line(_)) {
                std::thread::sleep(GATHERING);
            }
            self.reopen_if_asked();
            self.take(first, &mut batch);
            is_drained = self.gather(&mut batch);
            self.write(&mut batch);
        }
    }

    /// Takes what waits, up to a batch; tells whether that was all.
    fn gather(&mut self, batch: &mut Vec<u8>) -> bool {
        while batch.len() < BATCH_BYTES {
            match self.messages.try_recv() {
                Ok(message) => self.take(message, batch),
                Err(_) => return true,
            }
        }
        false
    }

    fn take(&mut self, message: Message, batch: &mut Vec<u8>) {
        match message {
            Message::Line(line) => {
                self.queued_bytes.fetch_sub(line.len(), Ordering::Relaxed);
                batch.extend_from_slice(&line);
            }
            Message::Reopen => {
                self.write(batch);
                self.reopen_if_asked();
            }
            Message::Flush(done) => {
                self.write(batch);
                done.try_send(()).ok();
            }
        }
    }

    fn write(&mut self, batch: &mut Vec<u8>) {
        if batch.is_empty() {
            return;
        }
        let lines = if self.torn {
            [b"\n", batch.as_slice()].concat()
        } else {
            std::mem::take(batch)
        };
        match write_counted(&mut self.output, &lines) {
            Ok(()) => (self.torn, self.failing) = (false, false),
            Err((written, error)) => self.lose(&lines, written, &error),
        }
        *batch = lines;
        batch.clear();
    }

    fn lose(&mut self, lines: &[u8], written: usize, error: &io::Error) {
        let ends = lines[written..]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        let mending = usize::from(self.torn && written == 0);
        self.dropped.inc_by((ends - mending) as u64);
        self.torn = if written > 0 {
            lines[written - 1] != b'\n'
        } else {
            self.torn
        };
        if !self.failing {
            log::error!("access log: {error}; lines are being lost");
        }
        self.failing = true;
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Output::File { path, .. } = &self.output {
            self.output = (self.open)(path)?;
        }
        Ok(())
    }

    fn reopen_if_asked(&mut self) {
        if !self.reopen.swap(false, Ordering::Acquire) {
            return;
        }
        let next = self.next.lock().take();
        let reopened = match next {
            Some(output) => {
                self.output = output;
                Ok(())
            }
            None => self.reopen(),
        };
        match reopened {
            Ok(()) => self.torn = false,
            Err(error) => {
                log::error!("access log: cannot be reopened, writing on to the old file: {error}")
            }
        }
    }
}

/// As many whole lines as a pipe takes in one piece, or one that is longer: an old process may
/// write to the same pipe.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| *byte == b'\n';
    let piece = &bytes[..bytes.len().min(PIPE_BUF)];
    let end = piece.iter().rposition(is_end);
    let end = end.or_else(|| bytes.iter().position(is_end));
    end.map_or(bytes, |end| &bytes[..=end])
}

/// Writes all bytes; an error tells how many were written before it.
fn write_counted(output: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    output.flush().map_err(|error| (written, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Full {
        room: usize,
        kept: Vec<u8>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(self.room);
            self.room -= count;
            self.kept.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn dropped() -> IntCounter {
        IntCounter::new("dropped", "test").unwrap()
    }

    #[test]
    fn a_failed_write_tells_how_far_it_came() {
        let mut disk = Full {
            room: 5,
            kept: Vec::new(),
        };
        let (written, error) = write_counted(&mut disk, b"one\ntwo\n").unwrap_err();
        assert_eq!((written, error.kind()), (5, io::ErrorKind::StorageFull));
        assert_eq!(disk.kept, b"one\nt");
    }

    #[test]
    fn what_goes_to_a_pipe_is_whole_lines_that_fit_or_one_that_does_not() {
        let long = [&[b'x'; 5000][..], b"\n"].concat();
        let many = b"0123456789abcde\n".repeat(300);
        assert_eq!(whole_lines(b"one\ntwo\nth"), b"one\ntwo\n");
        assert_eq!(whole_lines(&many).len(), PIPE_BUF);
        assert_eq!(whole_lines(&[&long[..], b"two\n"].concat()), long);
        assert_eq!(whole_lines(&[b"one\n", &long[..]].concat()), b"one\n");
        assert_eq!(whole_lines(b"rest"), b"rest");
    }

    #[test]
    fn lines_arrive_in_order_and_a_reopened_file_gets_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let moved = folder.path().join("access.log.1");
        let log = {
            let output = Output::open(Some(&path)).unwrap();
            let open = |path: &Path| Output::open(Some(path));
            AccessLog::start(output, open, Style::default(), dropped()).unwrap()
        };

        log.write(b"one\n".to_vec());
        log.write(b"two\n".to_vec());
        log.flush(Duration::from_secs(5));
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        log.write(b"three\n".to_vec());
        log.flush(Duration::from_secs(5));

        assert_eq!(std::fs::read_to_string(moved).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "three\n");
    }

    #[test]
    fn a_line_that_does_not_fit_is_counted_and_does_not_block() {
        let (queue, messages) = sync_channel(1);
        let log = AccessLog {
            queue,
            queued_bytes: Arc::default(),
            reopen: Arc::default(),
            next: Arc::default(),
            style: Arc::default(),
            dropped: dropped(),
            journal: None,
        };
        log.write(b"kept\n".to_vec());
        log.write(b"lost\n".to_vec());
        assert_eq!(log.dropped.get(), 1);
        assert!(matches!(messages.recv(), Ok(Message::Line(line)) if line == b"kept\n"));
    }
}
