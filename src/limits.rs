//! Limits of the operating system: every connection is an open file, and so is the way to its target.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one, and says what it is.
pub fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    let word = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => log::info!(
            "open files: {} (the limit was {})",
            word(limit.current),
            word(before)
        ),
        Err(error) => log::warn!(
            "open files: {}, which could not be raised: {error}",
            word(before)
        ),
    }
}
