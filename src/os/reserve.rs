//! Open files that are kept back for the operator's ways in: the admin address, the upgrade socket,
//! what a reload reads, what a new process needs of this one, the service manager.
//!
//! They are open all the time, on /dev/null. Where no file is left, those that are needed are
//! closed first, and opened again as soon as that is possible. Until then no client's connection is
//! accepted: the listeners fill the reserve up before they take anything. What else opens files,
//! the ways to targets, may be faster now and then: so a file that was given back is asked for more
//! than once.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

use parking_lot::Mutex;
use rustix::io::Errno;

use crate::os::open_files::{RESERVE as FILES, is_short};

/// How often something is tried that may have been taken away by others.
const TRIES: usize = 3;

static RESERVE: Reserve = Reserve::new();

/// Fills the reserve; from now on it is kept.
pub fn begin() {
    RESERVE.fill();
}

/// Does something that needs so many files at once; where none are left, with those in reserve.
pub fn with<T>(files: usize, work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    RESERVE.with(files, work)
}

/// Has so many files ready for whatever is done while the result is kept; where none are left,
/// those in reserve.
pub fn lend(files: usize) -> Lent {
    Lent(RESERVE.lend(files).then_some(&RESERVE))
}

/// Takes back what there is, after a file was closed that might be of the reserve.
pub fn refill() {
    RESERVE.check().ok();
}

/// Whether the reserve is whole, so that others may open files; the error is why it cannot be.
pub fn check() -> io::Result<()> {
    RESERVE.check()
}

/// What is lent; dropping it takes it back.
pub struct Lent(Option<&'static Reserve>);

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(reserve) = self.0 {
            reserve.take_back();
        }
    }
}

struct Reserve {
    spares: Mutex<Vec<File>>,
    /// How many there should be more.
    missing: AtomicUsize,
    /// How many have something lent now.
    borrowers: AtomicUsize,
}

impl Reserve {
    const fn new() -> Self {
        Reserve {
            spares: Mutex::new(Vec::new()),
            missing: AtomicUsize::new(0),
            borrowers: AtomicUsize::new(0),
        }
    }

    fn with<T>(&self, files: usize, mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let mut done = work();
        for _ in 0..TRIES {
            match &done {
                Err(error) if is_short(error) => {}
                Ok(_) | Err(_) => break,
            }
            let is_lent = self.lend(files);
            done = work();
            if is_lent {
                self.take_back();
            }
        }
        done
    }

    /// False if so many can be opened without it.
    fn lend(&self, files: usize) -> bool {
        let probes: io::Result<Vec<File>> = (0..files).map(|_| open()).collect();
        let is_short = probes.is_err();
        if is_short {
            self.give(files);
        }
        is_short
    }

    fn give(&self, files: usize) {
        self.borrowers.fetch_add(1, SeqCst);
        let mut spares = self.spares.lock();
        let left = spares.len().saturating_sub(files);
        self.missing.fetch_add(spares.len() - left, SeqCst);
        spares.truncate(left);
    }

    fn take_back(&self) {
        self.borrowers.fetch_sub(1, SeqCst);
        self.check().ok();
    }

    fn check(&self) -> io::Result<()> {
        if self.borrowers.load(Relaxed) > 0 {
            return Err(Errno::MFILE.into());
        }
        match self.missing.load(Relaxed) {
            0 => Ok(()),
            _ => self.refill(),
        }
    }

    fn fill(&self) {
        self.missing.store(FILES, SeqCst);
        if let Err(error) = self.refill() {
            log::warn!("no files are left to keep in reserve for the operator: {error}");
        }
    }

    fn refill(&self) -> io::Result<()> {
        let mut spares = self.spares.lock();
        while self.missing.load(SeqCst) > 0 {
            spares.push(open()?);
            self.missing.fetch_sub(1, SeqCst);
        }
        Ok(())
    }
}

/// One of its own: where the machine has run out of files, a copy would not count.
fn open() -> io::Result<File> {
    File::open("/dev/null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lent_where_files_are_left() {
        let reserve = Reserve::new();
        reserve.fill();
        assert!(!reserve.lend(FILES));
        assert_eq!(reserve.spares.lock().len(), FILES);
        assert!(reserve.check().is_ok());
    }

    #[test]
    fn nobody_else_opens_anything_until_all_is_back() {
        let reserve = Reserve::new();
        reserve.fill();
        reserve.give(3);
        reserve.give(FILES);
        assert!(reserve.spares.lock().is_empty());
        reserve.take_back();
        assert!(reserve.check().is_err(), "one has yet to give it back");
        reserve.take_back();
        assert!(reserve.check().is_ok());
        assert_eq!(reserve.spares.lock().len(), FILES);
    }

    #[test]
    fn what_fails_for_want_of_files_is_tried_again() {
        let reserve = Reserve::new();
        let mut tries = 0;
        let done = reserve.with(1, || {
            tries += 1;
            (tries == 3)
                .then_some(())
                .ok_or_else(|| Errno::MFILE.into())
        });
        assert!(done.is_ok() && tries == 3);
    }

    #[test]
    fn another_error_is_not_tried_again() {
        let reserve = Reserve::new();
        let mut tries = 0;
        let done: io::Result<()> = reserve.with(1, || {
            tries += 1;
            Err(io::ErrorKind::NotFound.into())
        });
        assert_eq!(
            (done.unwrap_err().kind(), tries),
            (io::ErrorKind::NotFound, 1)
        );
    }
}
