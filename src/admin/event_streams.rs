//! Those who follow the figures of the status page, as a stream of events: how many there may be,
//! and the event that all of them take.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

/// How many may look at a time: few enough to leave most slots of the admin address to others.
pub(super) const MOST_STREAMS: usize = 16;

/// The streams of events that are open, and the event that all of them take.
pub(super) struct EventStreams {
    pub(super) free: Arc<Semaphore>,
    /// The last event.
    pub(super) event: watch::Sender<Bytes>,
    /// Whether somebody makes events.
    is_served: Mutex<bool>,
}

impl EventStreams {
    pub(super) fn new() -> Self {
        EventStreams {
            free: Arc::new(Semaphore::new(MOST_STREAMS)),
            event: watch::Sender::default(),
            is_served: Mutex::default(),
        }
    }

    /// One more looks; the first has the events made, from now on and until nobody looks.
    pub(super) fn join(&self, make: impl FnOnce()) -> watch::Receiver<Bytes> {
        let mut is_served = self.is_served.lock();
        let mut event = self.event.subscribe();
        if *is_served {
            event.mark_changed();
        } else {
            *is_served = true;
            make();
        }
        event
    }

    /// Whether anybody looks. If nobody does, the next to come has the events made again.
    pub(super) fn is_there(&self) -> bool {
        let mut is_served = self.is_served.lock();
        *is_served = self.event.receiver_count() > 0;
        *is_served
    }
}
