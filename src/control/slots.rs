//! The slots of a control address: few. When all are taken, a connection that asks for nothing
//! gives way to a new one. What it has sent is looked at first: with a whole request it stays.
//!
//! One with whose request something is being done keeps its slot, and so does a stream of events:
//! there are fewer of those than slots, so all others together always have some.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::os::reserve;

/// How many connections may be open. For one more another goes.
pub const MOST_CONNECTIONS: usize = 64;
/// How long one that is sent away may take to go, before another is.
const GOING: Duration = Duration::from_millis(50);
/// How long the end of the process waits for answers, and how often it looks.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
const SHORTLY: Duration = Duration::from_millis(5);

/// All slots.
pub struct Slots {
    /// How long each may do nothing before it has to give way.
    grace: Duration,
    free: Arc<Semaphore>,
    clients: Mutex<Vec<Arc<Client>>>,
}

/// A slot, for as long as it is kept.
pub(super) struct Slot {
    pub(super) client: Arc<Client>,
    slots: Arc<Slots>,
    _permit: OwnedSemaphorePermit,
}

/// A connection that has a slot.
pub struct Client {
    /// What it does, and since when.
    does: Mutex<(Stage, Instant)>,
    /// It has sent a request.
    asked: CancellationToken,
    /// It is to go, unless it does something by then.
    leave: Notify,
}

/// What a connection does. The first two can be sent away, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Nothing, or it has yet to send the rest of a request.
    Asking,
    /// It has yet to take the rest of an answer.
    Taking,
    /// Its request is whole, and has no answer yet.
    Waiting,
    /// It follows a stream of events; it took one then.
    Watching,
    /// It is to go.
    Leaving,
}

impl Slots {
    /// With all of them free. `grace` is how long a connection may ask for nothing, or not take its
    /// answer, before it has to give way.
    pub fn new(grace: Duration) -> Self {
        Slots {
            grace,
            free: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
            clients: Mutex::default(),
        }
    }

    /// A slot for a new connection; if all are taken, that of another, which goes.
    pub(super) async fn enter(self: &Arc<Self>) -> Slot {
        loop {
            let free = Arc::clone(&self.free);
            if self.free.available_permits() == 0 {
                self.make_way();
            }
            // They are never closed.
            if let Ok(Ok(permit)) = timeout(GOING, free.acquire_owned()).await {
                return self.give(permit);
            }
        }
    }

    fn give(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Slot {
        let client = Arc::new(Client::new());
        self.clients.lock().push(Arc::clone(&client));
        Slot {
            client,
            slots: Arc::clone(self),
            _permit: permit,
        }
    }

    /// Sends away whoever has asked for nothing, or not taken their answer, for the longest time.
    /// False if there is nobody.
    pub(super) fn make_way(&self) -> bool {
        let grace = self.grace;
        self.send_away(|stage, since| stage <= Stage::Taking && since.elapsed() >= grace)
    }

    /// Sends away whoever has taken no event for the longest time, if that is longer than this.
    pub fn clear_watchers(&self, patience: Duration) -> bool {
        self.send_away(|stage, since| stage == Stage::Watching && since.elapsed() > patience)
    }

    /// Returns when all requests have had their answers, or after a moment.
    pub async fn is_served(&self) {
        let has_asked = |client: &Arc<Client>| {
            let stage = client.does.lock().0;
            matches!(stage, Stage::Waiting | Stage::Taking)
        };
        let served = async {
            while self.clients.lock().iter().any(has_asked) {
                sleep(SHORTLY).await;
            }
        };
        timeout(LAST_ANSWERS, served).await.ok();
    }

    fn send_away(&self, may_go: impl Fn(Stage, Instant) -> bool) -> bool {
        let clients = self.clients.lock();
        let candidates = clients.iter().filter_map(|client| {
            let (stage, since) = *client.does.lock();
            may_go(stage, since).then_some(((stage, since), client))
        });
        let longest = candidates.min_by_key(|(does, _)| *does);
        // It may do something else by now.
        longest.is_some_and(|(_, client)| client.leave_if(&may_go))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut clients = self.slots.clients.lock();
        clients.retain(|client| !Arc::ptr_eq(client, &self.client));
        drop(clients);
        reserve::refill();
    }
}

impl Client {
    /// One that has just come, with a slot that nobody else knows.
    #[cfg(test)]
    pub fn alone() -> Arc<Self> {
        Arc::new(Client::new())
    }

    fn new() -> Self {
        Client {
            does: Mutex::new((Stage::Asking, Instant::now())),
            asked: CancellationToken::new(),
            leave: Notify::new(),
        }
    }

    /// Its request is whole.
    pub fn waits(&self) {
        self.turns(Stage::Waiting);
    }

    /// It takes an event.
    pub fn watches(&self) {
        self.turns(Stage::Watching);
    }

    /// There is an answer for it; a stream of events has no end.
    pub(super) fn is_answered(&self) {
        if self.does.lock().0 != Stage::Watching {
            self.turns(Stage::Taking);
        }
    }

    /// It has its answer.
    pub(super) fn is_served(&self) {
        self.turns(Stage::Asking);
    }

    /// Returns when it has sent a request, or was given this long to.
    pub(super) async fn asks(&self, patience: Duration) {
        timeout(patience, self.asked.cancelled()).await.ok();
    }

    /// Returns when it is to go. Whatever it has sent must be looked at before.
    pub(super) async fn leaves(&self) {
        loop {
            self.leave.notified().await;
            if self.does.lock().0 == Stage::Leaving {
                return;
            }
        }
    }

    fn turns(&self, stage: Stage) {
        self.asked.cancel();
        *self.does.lock() = (stage, Instant::now());
    }

    fn leave_if(&self, may_go: impl Fn(Stage, Instant) -> bool) -> bool {
        let mut does = self.does.lock();
        let goes = may_go(does.0, does.1);
        if goes {
            does.0 = Stage::Leaving;
            self.leave.notify_one();
        }
        goes
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn whoever_has_asked_for_nothing_the_longest_gives_way() {
        let slots = Arc::new(Slots::new(Duration::ZERO));
        let mut taken = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            taken.push(slots.enter().await);
        }
        taken[0].client.waits();
        taken[1].client.is_answered();
        taken[2].client.is_served();
        let is_gone = |slot: &Slot| slot.client.does.lock().0 == Stage::Leaving;
        for next in (3..MOST_CONNECTIONS).chain([2, 1]) {
            assert!(!is_gone(&taken[next]));
            assert!(slots.make_way());
            assert!(is_gone(&taken[next]), "{next}");
        }
        assert!(!slots.make_way(), "its request is whole");
    }

    #[tokio::test]
    async fn whoever_has_asked_by_the_time_that_they_are_to_go_stays() {
        let slots = Arc::new(Slots::new(Duration::ZERO));
        let slot = slots.enter().await;
        let mut leaving = Box::pin(slot.client.leaves());
        assert!(slots.make_way());
        slot.client.waits();
        assert!((&mut leaving).now_or_never().is_none());
        slot.client.is_served();
        assert!(slots.make_way());
        assert!(leaving.now_or_never().is_some());
    }

    #[tokio::test]
    async fn nobody_gives_way_before_they_had_a_moment_to_ask() {
        let hour = Arc::new(Slots::new(Duration::from_secs(3600)));
        let slot = hour.enter().await;
        assert!(!hour.make_way());
        slot.client.is_answered();
        assert!(!hour.make_way());
        let none = Arc::new(Slots::new(Duration::ZERO));
        let _slot = none.enter().await;
        assert!(none.make_way());
    }

    #[tokio::test]
    async fn a_stream_gives_way_to_streams_alone_and_only_if_it_takes_nothing() {
        let slots = Arc::new(Slots::new(Duration::ZERO));
        let slot = slots.enter().await;
        slot.client.watches();
        slot.client.is_answered();
        assert!(!slots.make_way());
        assert!(!slots.clear_watchers(Duration::from_secs(60)));
        assert!(slots.clear_watchers(Duration::ZERO));
    }
}
