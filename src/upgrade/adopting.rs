//! The side of the process that serves: tunnels of an old one come here, a batch at a time.
//!
//! Nothing of a batch goes on before the old process has said `Go`; when the link ends before that
//! all of it is dropped here, and goes on there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::failpoint;
use super::old_processes::OldProcesses;
use super::protocol::{FORMAT, Link, Message, Move};
use crate::os::reserve;
use crate::serving::{Former, Serving};
use crate::tunnel::{Arrived, Identity};

/// How many tunnels a batch has at most.
const MOST_IN_A_BATCH: usize = 1024;
/// The share of the open files that is not taken for tunnels that come, and how many besides.
const KEPT_BACK: (u64, u64) = (16, 64);

/// Where the tunnels of one old process come to.
pub(super) struct Adopting {
    pub(super) serving: Arc<Serving>,
    pub(super) old_processes: Arc<OldProcesses>,
    /// The process that they come from.
    pub(super) pid: u32,
    /// How long each of its steps may take.
    pub(super) timeout: Duration,
}

impl Adopting {
    /// Takes what comes, for as long as the old process has something, and this one `serves`.
    pub(super) fn run(
        &self,
        link: &mut Link,
        first: Move,
        serves: impl Fn() -> bool,
    ) -> io::Result<()> {
        link.patience(Some(self.timeout))?;
        let mut next = Message::Move(first);
        let mut former = Former::default();
        loop {
            match next {
                Message::Move(word) if word.formats.contains(&FORMAT) && self.takes() => {
                    if !serves() {
                        return Ok(());
                    }
                    self.old_processes.report(self.pid, word.open, word.staying);
                    former = Former {
                        names: word.former_names,
                        delays: word.delays,
                    };
                    link.send(&Message::Room {
                        format: FORMAT,
                        descriptors: self.room(),
                    })?;
                }
                // It keeps its tunnels, and asks again later.
                Message::Move(_) => return Ok(()),
                Message::Batch(count) => self.take(link, count, &former)?,
                other => return Err(io::Error::other(format!("unexpected {other:?}"))),
            }
            next = match link.receive() {
                // It has nothing left, and ends.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                next => next?,
            };
        }
    }

    fn takes(&self) -> bool {
        let config = self.serving.config();
        config.server.upgrade.move_tunnels
            && !self.serving.drain.has_begun()
            && !failpoint::is_set("no_move")
    }

    /// How many descriptors may come.
    fn room(&self) -> usize {
        if self.serving.drain.is_waiting() {
            // It is not known yet where they belong.
            return 0;
        }
        if failpoint::is_set("room") {
            return usize::MAX;
        }
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let used = reserve::with(1, || fs::read_dir("/proc/self/fd"));
        let used = used.map_or(u64::MAX, |files| files.count() as u64);
        let (part, besides) = KEPT_BACK;
        let room = limit
            .saturating_sub(used)
            .saturating_sub(limit / part + besides);
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    fn take(&self, link: &mut Link, count: usize, former: &Former) -> io::Result<()> {
        if count > MOST_IN_A_BATCH {
            return Err(io::Error::other("a batch is too large"));
        }
        let (arrived, refused) = self.build(link, count)?;
        if !refused.is_empty() {
            let (count, pid) = (refused.len(), self.pid);
            log::warn!("{count} tunnels of process {pid} cannot go on here, and stay there");
        }
        failpoint::pass("before_built");
        link.send(&Message::Built {
            refused,
            descriptors: self.room(),
        })?;
        failpoint::pass("after_built");
        // They go on nowhere until it has spoken, or is gone.
        link.patience(None)?;
        match link.receive()? {
            Message::Go => {}
            other => return Err(io::Error::other(format!("unexpected {other:?}"))),
        }
        failpoint::pass("after_go");
        let left = left(arrived.iter().map(Arrived::identity));
        let has_left = || self.old_processes.has_left(self.pid, &left);
        self.serving.adopt_tunnels(arrived, former, has_left);
        link.patience(Some(self.timeout))
    }

    /// What can go on here, and the places of what cannot. Where descriptors were lost on the way
    /// nothing can.
    fn build(&self, link: &mut Link, count: usize) -> io::Result<(Vec<Arrived>, Vec<usize>)> {
        let mut told = Vec::with_capacity(count);
        for _ in 0..count {
            let text = link.receive_line()?;
            told.push((text, [link.socket().ok(), link.socket().ok()]));
        }
        let takes_all = !link.has_lost_sockets() && self.takes();
        let (mut arrived, mut refused) = (Vec::new(), Vec::new());
        for (place, (text, sockets)) in told.into_iter().enumerate() {
            let [Some(client), Some(target)] = sockets else {
                refused.push(place);
                continue;
            };
            match read(&text, [client, target]).filter(|_| takes_all) {
                Some(one) => arrived.push(one),
                None => refused.push(place),
            }
        }
        Ok((arrived, refused))
    }
}

/// Why one cannot be read may repeat what is in it, and is not told.
fn read(text: &[u8], sockets: [OwnedFd; 2]) -> Option<Arrived> {
    Arrived::read(text, sockets).ok()
}

/// How many of these there are, by forwarding rule, target group and target.
fn left<'a>(tunnels: impl Iterator<Item = &'a Identity>) -> BTreeMap<[String; 3], i64> {
    let mut left = BTreeMap::new();
    for identity in tunnels {
        let labels = [
            identity.forwarding_rule.to_string(),
            identity.target_group.to_string(),
            identity.target.to_string(),
        ];
        *left.entry(labels).or_default() += 1;
    }
    left
}
