//! Connections to targets that wait for their next request.
//!
//! Only one comes here whose last request and answer are over, byte for byte, and of which no side has said that it closes. One that
//! has been closed or has said something meanwhile is not given out again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, interval};

use super::TargetStream;

/// How long one waits.
const LONGEST: Duration = Duration::from_secs(50);
/// How many wait at most, in the process.
const MOST: usize = 1024;
/// How often those are looked for whose time is up, or whose target has closed them.
const SWEEP: Duration = Duration::from_secs(1);
const SHARDS: usize = 16;

/// Where connections wait, by what they lead to.
#[derive(Debug)]
pub struct Pool {
    shards: [Mutex<HashMap<u64, Vec<Waiting>>>; SHARDS],
    count: AtomicUsize,
    most: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Pool::holding(MOST)
    }
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
    pub(super) fn take(&self, key: u64) -> Option<TargetStream> {
        let now = Instant::now();
        loop {
            let mut waiting = self.shard(key).get_mut(&key)?.pop()?;
            self.count.fetch_sub(1, Relaxed);
            if waiting.is_fit(now) {
                return Some(waiting.stream);
            }
        }
    }

    /// Has a connection wait, unless too many do.
    pub(super) fn put(&self, key: u64, stream: TargetStream) {
        let one_more = |count| (count < self.most).then_some(count + 1);
        if self.count.fetch_update(Relaxed, Relaxed, one_more).is_err() {
            return;
        }
        let since = Instant::now();
        let waiting = Waiting { stream, since };
        self.shard(key).entry(key).or_default().push(waiting);
    }

    /// How many connections wait.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets those go that nobody can use any more, again and again; all of them while memory is short.
    pub async fn sweep(&self, is_short: impl Fn() -> bool) {
        let mut ticks = interval(SWEEP);
        loop {
            let now = ticks.tick().await;
            self.retain(|waiting| !is_short() && waiting.is_fit(now));
        }
    }

    fn retain(&self, is_kept: impl Fn(&mut Waiting) -> bool) {
        for shard in &self.shards {
            let mut gone = Vec::new();
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, list| {
                gone.extend(list.extract_if(.., |waiting| !is_kept(waiting)));
                !list.is_empty()
            });
            drop(shard);
            self.count.fetch_sub(gone.len(), Relaxed);
        }
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, HashMap<u64, Vec<Waiting>>> {
        let place = usize::try_from(key % SHARDS as u64).unwrap_or(0);
        self.shards[place]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
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
        let port = |stream: &TargetStream| stream.socket().local_addr().unwrap().port();
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
            stream.socket().readable().await.unwrap();
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
