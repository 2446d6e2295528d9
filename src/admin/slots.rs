//! The slots of the admin address: few. When all are taken, a connection that asks for nothing
//! gives way to a new one.
//!
//! One with whose request something is being done keeps its slot, and so does a stream of events:
//! there are fewer of those than slots, so all others together always have some.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::os::reserve;

/// How many connections may be open. For one more another goes.
pub(super) const MOST_CONNECTIONS: usize = 64;
/// How long one that is sent away may take to go, before another is.
const GOING: Duration = Duration::from_millis(50);
/// How long the end of the process waits for answers, and how often it looks.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
const SHORTLY: Duration = Duration::from_millis(5);

/// All slots.
pub(super) struct Slots {
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
pub(super) struct Client {
    /// What it does, and since when.
    does: Mutex<(Stage, Instant)>,
    /// It has sent a request.
    asked: CancellationToken,
    leave: CancellationToken,
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
    /// It was sent away.
    Leaving,
}

impl Slots {
    /// With all places free.
    pub(super) fn new() -> Self {
        Slots {
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
        let client = Arc::new(Client {
            does: Mutex::new((Stage::Asking, Instant::now())),
            asked: CancellationToken::new(),
            leave: CancellationToken::new(),
        });
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
        self.send_away(|stage, _| stage <= Stage::Taking)
    }

    /// Sends away whoever has taken no event for the longest time, if that is longer than this.
    pub(super) fn clear_watchers(&self, patience: Duration) -> bool {
        self.send_away(|stage, since| stage == Stage::Watching && since.elapsed() > patience)
    }

    /// Returns when all requests have had their answers, or after a moment.
    pub(super) async fn is_served(&self) {
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
    /// Its request is whole. False if it was sent away before: nothing is to be done then.
    pub(super) fn waits(&self) -> bool {
        self.turns(Stage::Waiting)
    }

    /// It takes an event.
    pub(super) fn watches(&self) {
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

    /// Returns when it is to go.
    pub(super) async fn leaves(&self) {
        self.leave.cancelled().await;
    }

    fn turns(&self, stage: Stage) -> bool {
        let mut does = self.does.lock();
        let is_there = does.0 != Stage::Leaving;
        self.asked.cancel();
        if is_there {
            *does = (stage, Instant::now());
        }
        is_there
    }

    fn leave_if(&self, may_go: impl Fn(Stage, Instant) -> bool) -> bool {
        let mut does = self.does.lock();
        let goes = may_go(does.0, does.1);
        if goes {
            does.0 = Stage::Leaving;
            self.leave.cancel();
        }
        goes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_has_asked_for_nothing_the_longest_gives_way() {
        let slots = Arc::new(Slots::new());
        let mut taken = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            taken.push(slots.enter().await);
        }
        assert!(taken[0].client.waits());
        taken[1].client.is_answered();
        taken[2].client.is_served();
        let is_gone = |slot: &Slot| slot.client.does.lock().0 == Stage::Leaving;
        for next in (3..MOST_CONNECTIONS).chain([2, 1]) {
            assert!(!is_gone(&taken[next]));
            assert!(slots.make_way());
            assert!(is_gone(&taken[next]), "{next}");
        }
        assert!(!slots.make_way(), "its request is whole");
        assert!(!taken[1].client.waits(), "it was sent away");
    }

    #[tokio::test]
    async fn a_stream_gives_way_to_streams_alone_and_only_if_it_takes_nothing() {
        let slots = Arc::new(Slots::new());
        let slot = slots.enter().await;
        slot.client.watches();
        slot.client.is_answered();
        assert!(!slots.make_way());
        assert!(!slots.clear_watchers(Duration::from_secs(60)));
        assert!(slots.clear_watchers(Duration::ZERO));
    }
}
