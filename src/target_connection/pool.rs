//! Connections to targets that wait for their next request, and those of HTTP/2, which may carry
//! others meanwhile.
//!
//! Of HTTP/1.1 only one comes here whose last request and answer are over, byte for byte, and of
//! which no side has said that it closes. One that has been closed or has said something meanwhile
//! is not given out again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, interval};

use super::carrier::{Carrier, Ticket};
use crate::stream::TargetStream;

/// How long one waits.
const LONGEST: Duration = Duration::from_secs(50);
/// How many there are at most, in the process.
const MOST: usize = 1024;
/// How often those are looked for whose time is up, or whose target has closed them.
const SWEEP: Duration = Duration::from_secs(1);
const SHARDS: usize = 16;

/// Where connections wait, by what they lead to.
#[derive(Debug)]
pub struct Pool {
    shards: [Mutex<Shard>; SHARDS],
    count: AtomicUsize,
    most: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Pool::holding(MOST)
    }
}

#[derive(Debug, Default)]
struct Shard {
    waiting: HashMap<u64, Vec<Waiting>>,
    carriers: HashMap<u64, Vec<Carrier>>,
}

#[derive(Debug)]
struct Waiting {
    stream: TargetStream,
    since: Instant,
}

impl Waiting {
    fn is_fit(&mut self, now: Instant) -> bool {
        now.duration_since(self.since) < LONGEST && self.stream.is_silent()
    }
}

impl Pool {
    /// One for so many connections, as far as open files allow.
    pub fn holding(most: usize) -> Self {
        Pool {
            shards: Default::default(),
            count: AtomicUsize::new(0),
            most: most.min(MOST),
        }
    }

    /// The connection that has waited for the shortest time.
    pub(crate) fn take(&self, key: u64) -> Option<TargetStream> {
        let now = Instant::now();
        loop {
            let mut waiting = self.shard(key).waiting.get_mut(&key)?.pop()?;
            self.count.fetch_sub(1, Relaxed);
            if waiting.is_fit(now) {
                return Some(waiting.stream);
            }
        }
    }

    /// Has a connection wait, unless too many do.
    pub(crate) fn put(&self, key: u64, stream: TargetStream) {
        if self.has_room() {
            let since = Instant::now();
            let waiting = Waiting { stream, since };
            let mut shard = self.shard(key);
            shard.waiting.entry(key).or_default().push(waiting);
        }
    }

    /// The right to send a request on a connection of HTTP/2, the first that has room for it.
    pub(crate) fn ticket(&self, key: u64, has_body: bool) -> Option<Ticket> {
        let mut shard = self.shard(key);
        let carriers = shard.carriers.get_mut(&key)?;
        let before = carriers.len();
        carriers.retain_mut(Carrier::is_open);
        self.count.fetch_sub(before - carriers.len(), Relaxed);
        carriers.iter().find_map(|carrier| carrier.ticket(has_body))
    }

    /// Keeps a connection of HTTP/2 for others, unless there are too many.
    pub(crate) fn share(&self, key: u64, carrier: Carrier) {
        if self.has_room() {
            let mut shard = self.shard(key);
            shard.carriers.entry(key).or_default().push(carrier);
        }
    }

    /// Takes the place of one more.
    fn has_room(&self) -> bool {
        let one_more = |count| (count < self.most).then_some(count + 1);
        self.count.fetch_update(Relaxed, Relaxed, one_more).is_ok()
    }

    /// How many connections there may be at a time for copies of requests, beside these.
    pub fn copies(&self) -> usize {
        (self.most / 4).max(1)
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets those go that nobody can use any more, again and again; all of them while memory is
    /// short.
    pub async fn sweep(&self, is_short: impl Fn() -> bool) {
        let mut ticks = interval(SWEEP);
        loop {
            let now = ticks.tick().await;
            let is_short = is_short();
            self.retain(
                |waiting| !is_short && waiting.is_fit(now),
                |carrier| {
                    let most = if is_short { Duration::ZERO } else { LONGEST };
                    carrier.is_open() && carrier.idle(now).is_none_or(|idle| idle < most)
                },
            );
        }
    }

    fn retain(&self, waits: impl Fn(&mut Waiting) -> bool, carries: impl Fn(&mut Carrier) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let gone = extract(&mut shard.waiting, &waits);
            let idle = extract(&mut shard.carriers, &carries);
            drop(shard);
            self.count.fetch_sub(gone.len() + idle.len(), Relaxed);
        }
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        let place = usize::try_from(key % SHARDS as u64).unwrap_or(0);
        self.shards[place].lock()
    }
}

/// Takes those out that are not kept.
fn extract<T>(lists: &mut HashMap<u64, Vec<T>>, is_kept: impl Fn(&mut T) -> bool) -> Vec<T> {
    let mut gone = Vec::new();
    lists.retain(|_, list| {
        gone.extend(list.extract_if(.., |one| !is_kept(one)));
        !list.is_empty()
    });
    gone
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Both ends of a connection.
    async fn connection() -> (TargetStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let (stream, target) = tokio::join!(stream, listener.accept());
        (TargetStream::Plain(stream.unwrap()), target.unwrap().0)
    }

    #[tokio::test]
    async fn the_connection_that_waited_last_is_taken_first() {
        let pool = Pool::default();
        let (first, _first_target) = connection().await;
        let (second, _second_target) = connection().await;
        let port = |stream: &TargetStream| stream.socket().unwrap().local_addr().unwrap().port();
        let ports = [port(&second), port(&first)];
        pool.put(7, first);
        pool.put(7, second);
        assert!(pool.take(8).is_none());
        let taken = [pool.take(7), pool.take(7)].map(|stream| port(&stream.unwrap()));
        assert_eq!(taken, ports);
        assert!(pool.take(7).is_none() && pool.is_empty());
    }

    #[tokio::test]
    async fn one_that_has_been_closed_or_has_spoken_is_not_given_out() {
        let pool = Pool::default();
        let (closed, target) = connection().await;
        let (spoke, mut talker) = connection().await;
        drop(target);
        talker.write_all(b"x").await.unwrap();
        for stream in [closed, spoke] {
            stream.socket().unwrap().readable().await.unwrap();
            pool.put(1, stream);
        }
        assert!(pool.take(1).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let pool = Pool::default();
        let (stream, _target) = connection().await;
        pool.put(1, stream);
        let swept = tokio::time::timeout(LONGEST + SWEEP * 2, pool.sweep(|| false)).await;
        assert!(swept.is_err() && pool.is_empty());
    }
}
