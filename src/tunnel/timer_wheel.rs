//! The one timer of all tunnels: a wheel of slots, each with the tunnels whose relay wants to look
//! at its clocks then.
//!
//! A tunnel is put into the slot of its deadline, or into the last one of this turn if that is
//! further away; nothing is ever taken out before its time. So setting a deadline is one push, a
//! tunnel that is gone costs nothing but its place until the wheel comes round, and one that is
//! idle for hours is touched once a turn.

use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{MissedTickBehavior, interval};

use super::handle::Handle;

const SLOTS: usize = 1024;
const TICK: Duration = Duration::from_millis(50);

/// The wheel.
#[derive(Debug)]
pub struct TimerWheel {
    began: Instant,
    /// The last slot that was passed, counted from the beginning.
    turned: AtomicU64,
    slots: Box<[Mutex<Vec<Entry>>]>,
}

#[derive(Debug)]
struct Entry {
    tunnel: Weak<Handle>,
    deadline: Instant,
}

impl TimerWheel {
    /// A wheel that begins to turn with [`TimerWheel::run`].
    pub fn new() -> Self {
        let slots = (0..SLOTS).map(|_| Mutex::default()).collect();
        TimerWheel {
            began: Instant::now(),
            turned: AtomicU64::new(0),
            slots,
        }
    }

    /// Wakes the tunnel's relay at `deadline`, or up to two ticks later.
    pub(super) fn watch(&self, tunnel: &Arc<Handle>, deadline: Instant) {
        self.place(Entry {
            tunnel: Arc::downgrade(tunnel),
            deadline,
        });
    }

    fn place(&self, entry: Entry) {
        loop {
            let turned = self.turned.load(Acquire);
            let furthest = turned + SLOTS as u64 - 1;
            let due = (self.tick(entry.deadline) + 1).clamp(turned + 1, furthest);
            let mut slot = self.slot(due);
            // The wheel passes a slot with its lock held: what is in it now will be seen.
            if self.turned.load(Acquire) < due {
                return slot.push(entry);
            }
        }
    }

    fn tick(&self, moment: Instant) -> u64 {
        let passed = moment.saturating_duration_since(self.began).as_millis() / TICK.as_millis();
        u64::try_from(passed).unwrap_or(u64::MAX / 2)
    }

    fn slot(&self, tick: u64) -> MutexGuard<'_, Vec<Entry>> {
        let place = usize::try_from(tick % SLOTS as u64).unwrap_or(0);
        self.slots[place].lock()
    }

    /// Turns the wheel, for ever.
    pub async fn run(&self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            while self.turned.load(Acquire) < self.tick(now) {
                self.turn(now);
            }
        }
    }

    fn turn(&self, now: Instant) {
        let tick = self.turned.load(Acquire) + 1;
        let mut slot = self.slot(tick);
        self.turned.store(tick, Release);
        let due = std::mem::take(&mut *slot);
        drop(slot);
        for entry in due {
            let Some(tunnel) = entry.tunnel.upgrade() else {
                continue;
            };
            if entry.deadline <= now {
                tunnel.wake();
            } else {
                self.place(entry);
            }
        }
    }
}

impl Default for TimerWheel {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::handle::tests::handle;

    fn held(wheel: &TimerWheel) -> usize {
        (0..SLOTS as u64).map(|tick| wheel.slot(tick).len()).sum()
    }

    #[test]
    fn a_deadline_is_met_by_the_slot_after_it_and_not_before() {
        let wheel = TimerWheel::new();
        let tunnel = Arc::new(handle());
        let deadline = wheel.began + TICK * 10;
        wheel.watch(&tunnel, deadline);
        for tick in 1..=10 {
            wheel.turn(wheel.began + TICK * tick);
            assert_eq!(held(&wheel), 1, "tick {tick}");
        }
        wheel.turn(wheel.began + TICK * 11);
        assert_eq!(held(&wheel), 0);
    }

    #[test]
    fn a_deadline_beyond_the_wheel_is_carried_on_until_it_comes() {
        let wheel = TimerWheel::new();
        let tunnel = Arc::new(handle());
        let ticks = 3 * u32::try_from(SLOTS).unwrap();
        wheel.watch(&tunnel, wheel.began + TICK * ticks);
        for tick in 1..=ticks {
            wheel.turn(wheel.began + TICK * tick);
            assert_eq!(held(&wheel), 1, "tick {tick}");
        }
        wheel.turn(wheel.began + TICK * (ticks + 1));
        assert_eq!(held(&wheel), 0);
    }

    #[test]
    fn a_deadline_in_the_past_is_met_at_the_next_tick_and_a_tunnel_that_is_gone_is_forgotten() {
        let wheel = TimerWheel::new();
        let tunnel = Arc::new(handle());
        wheel.turn(wheel.began + TICK);
        wheel.watch(&tunnel, wheel.began);
        wheel.watch(&Arc::new(handle()), wheel.began + TICK * 2);
        wheel.turn(wheel.began + TICK * 2);
        assert_eq!(held(&wheel), 1);
        wheel.turn(wheel.began + TICK * 3);
        assert_eq!(held(&wheel), 0);
    }
}
