//! All connections and streams that are no tunnels, and who of them goes when memory is short.
//!
//! Each notes when something last happened on it, and whether it waits for its client. When there
//! have to be fewer, those go first that wait longest for their clients, and then the others, in
//! the same order. What an entry costs is its place in a map, under one of many locks, when it
//! comes and when it goes; nothing is done for it in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::overload::{Overload, Resets};

const SHARDS: u64 = 64;

/// All that may have to go.
pub(super) struct LoadShedding {
    overload: Arc<Overload>,
    began: Instant,
    entered: AtomicU64,
    shards: [Mutex<BTreeMap<u64, Entry>>; SHARDS as usize],
}

/// One that may have to go.
struct Entry {
    waiting: Arc<Waiting>,
    /// `None` once it was told to go.
    reset: Option<oneshot::Sender<()>>,
}

impl LoadShedding {
    pub(super) fn new(overload: Arc<Overload>) -> Self {
        LoadShedding {
            overload,
            began: Instant::now(),
            entered: AtomicU64::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Whether nobody is let in any more.
    pub(super) fn refuses(&self) -> bool {
        self.overload.refuses()
    }

    /// What is cancelled when a connection that begins now should go as soon as it is idle.
    pub(super) fn idle(&self) -> Arc<CancellationToken> {
        self.overload.idle()
    }

    /// Milliseconds since it is there.
    pub(super) fn now(&self) -> u64 {
        millis(self.began.elapsed())
    }

    /// Has a connection or a stream among those that may be told to go, for as long as what is
    /// returned is kept.
    pub(super) fn enter<'a>(&'a self, waiting: &Arc<Waiting>) -> Member<'a> {
        let number = self.entered.fetch_add(1, Relaxed);
        let (reset, told) = oneshot::channel();
        let entry = Entry {
            waiting: Arc::clone(waiting),
            reset: Some(reset),
        };
        self.shard(number).insert(number, entry);
        Member {
            load_shedding: self,
            number,
            told,
        }
    }

    /// Tells these to go. How many there were.
    pub(super) fn reset(&self, resets: Resets) -> usize {
        let (count, latest) = match resets {
            Resets::Any(count) => (count, None),
            Resets::Waiting(count, time) => (count, Some(self.now().saturating_sub(millis(time)))),
        };
        let goes = |rank: &Rank| latest.is_none_or(|latest| rank.is_stalled(latest));
        let mut all: Vec<(Rank, u64)> = Vec::new();
        for number in 0..SHARDS {
            let shard = self.shard(number);
            let present = shard.iter().filter(|(_, entry)| entry.reset.is_some());
            let ranks =
                present.filter_map(|(number, entry)| Some((entry.waiting.rank()?, *number)));
            all.extend(ranks.filter(|(rank, _)| goes(rank)));
        }
        let count = count.min(all.len());
        if count > 0 {
            all.select_nth_unstable(count - 1);
        }
        let going = all[..count].iter();
        going.filter(|(_, number)| self.tell(*number)).count()
    }

    fn tell(&self, number: u64) -> bool {
        let mut shard = self.shard(number);
        let reset = shard.get_mut(&number).and_then(|entry| entry.reset.take());
        reset.is_some_and(|reset| reset.send(()).is_ok())
    }

    fn shard(&self, number: u64) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        let place = usize::try_from(number % SHARDS).unwrap_or(0);
        self.shards[place].lock()
    }
}

/// A place among those that may have to go, for as long as this is kept.
pub(super) struct Member<'a> {
    load_shedding: &'a LoadShedding,
    number: u64,
    told: oneshot::Receiver<()>,
}

impl Member<'_> {
    /// Returns when it is told to go.
    pub(super) async fn told(&mut self) {
        if (&mut self.told).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        let entry = self.load_shedding.shard(self.number).remove(&self.number);
        drop(entry);
    }
}

/// What a connection or a stream waits for, and since when.
#[derive(Debug)]
pub(super) struct Waiting {
    /// When something last happened, in milliseconds of its clock.
    since: AtomicU64,
    /// Streams of HTTP/2 on it, tunnels among them: as long as there are any, they are what may go.
    streams: AtomicU32,
    for_client: AtomicBool,
}

/// Who goes first: the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    waits_for_others: bool,
    since: u64,
}

impl Rank {
    /// Whether it waits for its client, and has since then at the latest.
    fn is_stalled(&self, latest: u64) -> bool {
        !self.waits_for_others && self.since <= latest
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Waiting {
    /// For the client, from now on.
    pub(super) fn since(now: u64) -> Self {
        Waiting {
            since: AtomicU64::new(now),
            streams: AtomicU32::new(0),
            for_client: AtomicBool::new(true),
        }
    }

    /// Something has happened; the client is waited for, or the target.
    pub(super) fn note(&self, now: u64, for_client: bool) {
        self.since.store(now, Relaxed);
        self.for_client.store(for_client, Relaxed);
    }

    /// One stream more.
    pub(super) fn carry(&self) {
        self.streams.fetch_add(1, Relaxed);
    }

    /// One stream less.
    pub(super) fn put_down(&self) {
        self.streams.fetch_sub(1, Relaxed);
    }

    /// `None` for one that has to stay.
    fn rank(&self) -> Option<Rank> {
        (self.streams.load(Relaxed) == 0).then(|| Rank {
            waits_for_others: !self.for_client.load(Relaxed),
            since: self.since.load(Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overload::tests::overload;

    const ALL: Resets = Resets::Any(usize::MAX);

    fn load_shedding() -> LoadShedding {
        LoadShedding::new(Arc::new(overload()))
    }

    /// A connection that waits since then, for the client or not.
    fn waiting(since: u64, for_client: bool) -> Arc<Waiting> {
        let waiting = Waiting::since(0);
        waiting.note(since, for_client);
        Arc::new(waiting)
    }

    #[test]
    fn those_go_first_that_wait_longest_for_their_clients_and_then_the_others() {
        let load_shedding = load_shedding();
        let all = [(9, true), (2, false), (3, true), (1, false), (5, true)]
            .map(|(since, for_client)| waiting(since, for_client));
        let mut members = all.each_ref().map(|one| load_shedding.enter(one));
        let mut told = || members.each_mut().map(|one| one.told.try_recv().is_ok());
        assert_eq!(load_shedding.reset(Resets::Any(2)), 2);
        assert_eq!(told(), [false, false, true, false, true]);
        assert_eq!(load_shedding.reset(Resets::Any(2)), 2);
        assert_eq!(told(), [true, false, false, true, false]);
        assert_eq!((load_shedding.reset(ALL), load_shedding.reset(ALL)), (1, 0));
    }

    #[test]
    fn of_those_that_wait_for_their_clients_only_those_may_be_meant_that_have_waited_long() {
        let load_shedding = load_shedding();
        let (long, others) = (waiting(0, true), waiting(0, false));
        let now = waiting(u64::MAX, true);
        let mut members = [&long, &others, &now].map(|one| load_shedding.enter(one));
        let stalled = Resets::Waiting(usize::MAX, Duration::ZERO);
        assert_eq!(
            (load_shedding.reset(stalled), load_shedding.reset(stalled)),
            (1, 0)
        );
        assert!(members[0].told.try_recv().is_ok());
        let hour = Resets::Waiting(usize::MAX, Duration::from_secs(3600));
        assert_eq!(load_shedding.reset(hour), 0);
    }

    #[test]
    fn what_carries_streams_stays() {
        let load_shedding = load_shedding();
        let carrier = waiting(0, true);
        let _member = load_shedding.enter(&carrier);
        carrier.carry();
        assert_eq!(load_shedding.reset(ALL), 0);
        carrier.put_down();
        assert_eq!(load_shedding.reset(ALL), 1);
    }

    #[tokio::test]
    async fn one_that_is_told_hears_it_and_one_that_has_left_is_not_told() {
        let load_shedding = load_shedding();
        let (first, second) = (waiting(1, true), waiting(2, true));
        let gone = load_shedding.enter(&first);
        let mut stays = load_shedding.enter(&second);
        drop(gone);
        assert_eq!(load_shedding.reset(ALL), 1);
        stays.told().await;
        drop(stays);
        assert!(
            load_shedding
                .shards
                .iter()
                .all(|shard| shard.lock().is_empty())
        );
    }
}
