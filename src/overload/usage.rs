//! How much memory is used, and how much may be: the process's own, and that of its cgroups.
//!
//! In a cgroup what counts is what the kernel counts there: the buffers of sockets and old
//! processes among it, and the cache of files not, as far as that can be dropped. Elsewhere it is
//! the resident memory of the process, without the pages of files.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use procfs::{Current as _, Meminfo};

use super::cgroup::Cgroup;
use super::figure::Figure;
use super::reading::Reading;

/// How often to look for cgroups that have got a limit.
const AGAIN: Duration = Duration::from_secs(10);

/// Where the figures come from.
pub(super) struct Usage {
    /// `/proc/self/statm`
    own: Figure,
    page: u64,
    /// Of the machine.
    total: u64,
    /// The cgroups of the process that have a limit.
    cgroups: Vec<Cgroup>,
    looked: Instant,
}

impl Usage {
    /// Errors: the process's own cannot be found out.
    pub(super) fn open() -> io::Result<Self> {
        let total = Meminfo::current().map_err(io::Error::other)?.mem_total;
        let cgroups = Cgroup::with_limit(Path::new("/proc/self"), total);
        Ok(Usage {
            own: Figure::open(Path::new("/proc/self/statm"))?,
            page: procfs::page_size(),
            total,
            cgroups: cgroups.unwrap_or_else(|error| {
                log::warn!("memory: the limits of cgroups cannot be found out: {error}");
                Vec::new()
            }),
            looked: Instant::now(),
        })
    }

    /// What is used now; `wanted` is the limit, if the operator has set one.
    pub(super) fn read(&mut self, wanted: Option<u64>, now: Instant) -> Reading {
        if now.duration_since(self.looked) >= AGAIN {
            self.looked = now;
            // Where they cannot be looked for, for want of files, say, those that are known stay.
            if let Ok(cgroups) = Cgroup::with_limit(Path::new("/proc/self"), self.total) {
                self.cgroups = cgroups;
            }
        }
        let cgroups = self.cgroups.iter();
        let cgroups = cgroups.filter_map(|cgroup| cgroup.read().ok().flatten());
        tightest(self.own(), self.total, wanted, cgroups)
    }

    /// The process's own.
    fn own(&self) -> u64 {
        let text = self.own.text().unwrap_or_default();
        let mut pages = text.split(' ').skip(1).map(|pages| pages.parse::<u64>());
        let (Some(Ok(resident)), Some(Ok(of_files))) = (pages.next(), pages.next()) else {
            return 0;
        };
        resident.saturating_sub(of_files) * self.page
    }
}

/// The lowest limit, and what is used of it; or, where another is nearer to its end, so much that
/// as little is left of it.
///
/// The operator's word is for the process, and takes the place of what a cgroup leaves free where
/// it leaves less.
fn tightest(
    own: u64,
    total: u64,
    wanted: Option<u64>,
    cgroups: impl Iterator<Item = Reading>,
) -> Reading {
    let of_cgroup = |Reading { used, limit }: Reading| Reading {
        used,
        limit: wanted.unwrap_or(0).clamp(nine_tenths(limit), limit),
    };
    let own = Reading {
        used: own,
        limit: wanted.unwrap_or_else(|| nine_tenths(total)),
    };
    let all = || std::iter::once(own);
    let all: Vec<Reading> = all().chain(cgroups.map(of_cgroup)).collect();
    let limit = all.iter().map(|one| one.limit).min().unwrap_or(0);
    let left = |one: &Reading| i128::from(one.limit) - i128::from(one.used);
    let left = all.iter().map(left).min().unwrap_or(0);
    let used = (i128::from(limit) - left).max(0);
    Reading {
        used: u64::try_from(used).unwrap_or(u64::MAX),
        limit,
    }
}

fn nine_tenths(bytes: u64) -> u64 {
    bytes - bytes / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is used of which limit: the process's own, the operator's word, and cgroups; all in
    /// bytes of a machine of 1000.
    fn found(own: u64, wanted: Option<u64>, cgroups: &[(u64, u64)]) -> (u64, u64) {
        let cgroups = cgroups.iter();
        let cgroups = cgroups.map(|&(used, limit)| Reading { used, limit });
        let Reading { used, limit } = tightest(own, 1000, wanted, cgroups);
        (used, limit)
    }

    #[test]
    fn the_limit_is_nine_tenths_of_the_lowest_there_is() {
        assert_eq!(found(50, None, &[]), (50, 900));
        assert_eq!(found(50, None, &[(60, 100)]), (60, 90));
        assert_eq!(found(50, None, &[(60, 100), (70, 500)]), (60, 90));
    }

    #[test]
    fn the_one_that_leaves_the_least_counts() {
        // 20 are left of the outer one, and 30 of the inner.
        assert_eq!(found(50, None, &[(60, 100), (430, 500)]), (70, 90));
    }

    #[test]
    fn the_operators_limit_is_for_the_process_and_may_go_to_the_cgroups() {
        assert_eq!(found(50, Some(60), &[]), (50, 60));
        // What the cgroup's other processes use does not count for it.
        assert_eq!(found(50, Some(60), &[(300, 500)]), (50, 60));
        assert_eq!(found(50, Some(60), &[(445, 500)]), (55, 60));
        assert_eq!(found(50, Some(98), &[(60, 100)]), (60, 98));
        assert_eq!(found(50, Some(200), &[(60, 100)]), (60, 100));
    }

    #[test]
    fn the_process_finds_out_what_it_uses() {
        let mut usage = Usage::open().unwrap();
        let much = std::hint::black_box(vec![1_u8; 64 << 20]);
        let reading = usage.read(None, Instant::now());
        assert!(reading.used >= much.len() as u64 && reading.used < reading.limit);
    }
}
