//! Limits of the operating system: every connection is an open file, and so is the way to its
//! target. At the limits that come of that by default the files never run out, whatever clients do.

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit, setrlimit};

/// How many files are kept in reserve for the operator.
pub const RESERVE: usize = 16;
/// The share of the open files that clients may have: each place has a connection and a way to a
/// target.
const FOR_CLIENTS: (u64, u64) = (7, 16);
/// How many connections at most may stand at a time to be told that there is no place for them.
pub const MOST_STANDING: usize = 128;
/// What is open besides: runtimes, logs, sockets for upgrades and for names, files while they are
/// read, and the reserve.
const BESIDES: u64 = 48 + RESERVE as u64;
/// What a control address may have.
const FOR_CONTROL: u64 = 64;

/// How the open files are shared out. A place of a client takes two at most: a connection of
/// HTTP/1.1 and the way to its target, a connection of HTTP/2 and the way of one of its streams, or
/// one for each further stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Places for clients.
    pub places: usize,
    /// Connections that stand, to be told that there is no place.
    pub standing: usize,
    /// Connections to targets that are kept while nobody needs them.
    pub idle: usize,
}

impl Shares {
    /// What the present limit allows, where there are so many targets, listeners and control
    /// addresses.
    pub fn now(targets: usize, listeners: usize, control: usize) -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        // A check for each target; an upgrade hands a copy of each listener's socket over.
        let others = BESIDES + FOR_CONTROL * control as u64 + targets as u64 + 2 * listeners as u64;
        Shares::of(limit.unwrap_or(u64::MAX), others)
    }

    fn of(limit: u64, others: u64) -> Self {
        let number = |files: u64| usize::try_from(files).unwrap_or(usize::MAX);
        let standing = (limit / 64).min(MOST_STANDING as u64);
        let idle = limit / 16;
        let taken = standing + idle + others;
        let (part, whole) = FOR_CLIENTS;
        let places = (limit / whole).saturating_mul(part);
        Shares {
            places: number(places.min(limit.saturating_sub(taken) / 2).max(1)),
            standing: number(standing.max(1)),
            idle: number(idle),
        }
    }
}

/// How many files are open.
pub fn open() -> io::Result<u64> {
    const FILES: &str = "/proc/self/fd";
    // Its size tells since Linux 6.2.
    match fs::metadata(FILES)?.len() {
        0 => Ok(fs::read_dir(FILES)?.count() as u64),
        told => Ok(told),
    }
}

/// How many may be; `None` where there is no limit.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Whether an error of Pingora's comes of this process or machine having run out of something,
/// which is nobody else's fault.
pub fn is_shortage(error: &pingora::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(is_short)
}

/// Whether the system says so: that files or memory have run out.
pub fn is_short(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|error| {
        [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].contains(&error)
    })
}

/// Whether a connect failed because no port is left to leave from, or because the address to leave
/// from is not this machine's.
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
pub fn raise() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_open_at_a_time_is_less_than_the_limit() {
        for limit in [256, 400, 1_024, 2_000, 20_000, 1_048_576, u64::MAX / 2] {
            for others in [130, 180] {
                let Shares {
                    places,
                    standing,
                    idle,
                } = Shares::of(limit, others);
                let most = 2 * places as u64 + standing as u64 + idle as u64 + others;
                assert!(most <= limit, "{most} of {limit}");
            }
        }
    }

    #[test]
    fn clients_have_seven_sixteenths_and_less_where_there_are_few_files() {
        let places = |limit| Shares::of(limit, 130).places;
        assert_eq!(places(1_048_576), 458_752);
        assert_eq!(places(2_000), 857);
        assert_eq!(places(1_024), 407);
        assert_eq!(places(64), 1);
    }
}
