//! A small file of the kernel's with a figure that is read again and again.
//!
//! It stays open: when it matters most there may be no file left to open it with.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// More than any of these files has.
const LONGEST: usize = 64 << 10;

/// An open file, read from its beginning each time.
#[derive(Debug)]
pub(super) struct Figure(File);

impl Figure {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Figure)
    }

    /// The figure in the file; `None` where there is no such file.
    pub(super) fn find(path: &Path) -> io::Result<Option<Self>> {
        match Figure::open(path) {
            Ok(figure) => Ok(Some(figure)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All that is in it now.
    pub(super) fn text(&self) -> io::Result<String> {
        let mut bytes = vec![0; 4096];
        let mut length = 0;
        while length < LONGEST {
            if length == bytes.len() {
                bytes.resize(2 * length, 0);
            }
            match self.0.read_at(&mut bytes[length..], length as u64)? {
                0 => break,
                count => length += count,
            }
        }
        bytes.truncate(length);
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    /// The only number in it; `None` where there is none, but a word: `max`.
    pub(super) fn number(&self) -> io::Result<Option<u64>> {
        Ok(self.text()?.trim().parse().ok())
    }

    /// The number after this name, in a file with a name and a number on each line.
    pub(super) fn named(&self, name: &str) -> io::Result<Option<u64>> {
        let text = self.text()?;
        let rest = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(rest.and_then(|number| number.trim().parse().ok()))
    }
}
