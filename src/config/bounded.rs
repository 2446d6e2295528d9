//! Files that an operator names, read with a bound: a device or a pipe may have no end.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

/// The largest file that is read.
pub(crate) const LARGEST_FILE: usize = 16 << 20;

/// The file's bytes, but at most one more than is allowed.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = LARGEST_FILE as u64 + 1;
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
