//! Limits of the operating system: every connection is an open file, and so is the way to its target.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit, setrlimit};

/// The share of the open files that clients' connections may have: each has one, and its way to the target another. What is left
/// is for everything else.
const FOR_CLIENTS: (u64, u64) = (7, 16);

/// How many connections of clients the limit of open files allows.
pub fn most_connections() -> usize {
    let (part, whole) = FOR_CLIENTS;
    let limit = getrlimit(Resource::Nofile).current;
    let most = limit.map(|limit| (limit / whole).saturating_mul(part).max(1));
    most.and_then(|most| most.try_into().ok())
        .unwrap_or(usize::MAX)
}

/// Whether an error of Pingora's comes of this process or machine having run out of something, which is nobody else's fault.
pub fn is_shortage(error: &pingora::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(is_short)
}

/// The same of an error of the system's.
pub fn is_short(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|error| {
        [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].contains(&error)
    })
}

/// Whether a connect failed because no port is left to leave from, or because the address to leave from is not this machine's.
pub fn is_out_of_ports(error: &pingora::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.root_cause());
    while let Some(one) = cause {
        if let Some(error) = one.downcast_ref::<io::Error>() {
            return Errno::from_io_error(error) == Some(Errno::ADDRNOTAVAIL);
        }
        cause = one.source();
    }
    false
}

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
