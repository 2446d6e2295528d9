//! Empties single targets: those that left the configuration, those in maintenance that are to be
//! drained, and those that are unhealthy where that is wanted.
//!
//! One task does it for all of them: a look at the open tunnels tells what each target has, and
//! from one look to the next the tunnels are ended whose turn it is. A target may be called off at
//! any time; what is open then stays open.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::pace::{Pace, SHORTEST_STEP};
use crate::os::random::chance;
use crate::target_address::TargetAddress;
pub use crate::target_group::TargetId;
use crate::telemetry::CloseReason;
use crate::tunnel::{Handle, Tunnels};

/// How often to look whether a target has tunnels still, and for how long it has none before that
/// is believed.
const LOOK: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(5);
/// How much longer than a look it is at least to the next one, up to [`LOOK`]: looking takes no
/// more than this part of a core.
const REST: u32 = 20;
/// Tunnels that end within so long are ended at once: it takes no timer for each.
const SLOT: Duration = Duration::from_millis(10);

/// How a target is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eviction {
    /// Why its tunnels are ended.
    pub reason: CloseReason,
    /// How long they are left alone first.
    pub delay: Duration,
    /// Over how long their ends are spread.
    pub window: Duration,
}

/// What wants a target emptied. A target may be emptied for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The configuration, with what an operator has decided over it.
    Configuration,
    /// The target's health.
    Health,
}

/// The targets that are being emptied.
pub struct Evictions {
    tunnels: Arc<Tunnels>,
    courses: Mutex<HashMap<(TargetId, Cause), Course>>,
    changed: Notify,
}

/// How far a target is.
struct Course {
    eviction: Eviction,
    /// Until when its tunnels are left alone.
    begins: Instant,
    /// Since when it has none any more, once the window is over.
    quiet_since: Option<Instant>,
    /// Dropped when it is called off.
    life: Arc<()>,
}

/// What a target has open at a look.
#[derive(Default)]
struct Found {
    /// What may be ended.
    open: Vec<Idle>,
    /// Whether there is more, which has been told to end.
    has_ending: bool,
}

/// A tunnel, and how long nothing has moved in it.
type Idle = (Duration, Arc<Handle>);

/// A tunnel that is about to be ended.
struct End {
    at: Instant,
    tunnel: Arc<Handle>,
    reason: CloseReason,
    course: Weak<()>,
}

/// What a look has led to.
#[derive(Default)]
struct Plan {
    /// In the order of their times.
    ends: Vec<End>,
    /// When to look again; `None` where nobody is being emptied.
    next: Option<Instant>,
    /// Whether a target has nothing any more, and never will.
    is_one_gone: bool,
}

impl Evictions {
    /// Empties no targets yet.
    pub fn new(tunnels: Arc<Tunnels>) -> Self {
        Evictions {
            tunnels,
            courses: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Empties these targets from now on, for this cause, and no others of those that are asked
    /// about. One that is being emptied for the same reason already is left to that.
    pub fn evict(
        &self,
        cause: Cause,
        is_asked: impl Fn(&TargetId) -> bool,
        wanted: HashMap<TargetId, Eviction>,
    ) {
        let mut courses = self.courses.lock();
        let before = courses.len();
        courses.retain(|(target, of), course| {
            let now = wanted.get(target);
            let is_other = now.is_some_and(|now| now.reason != course.eviction.reason);
            *of != cause || !is_other && (now.is_some() || !is_asked(target))
        });
        let mut has_changed = courses.len() != before;
        for (target, eviction) in wanted {
            courses.entry((target, cause)).or_insert_with(|| {
                has_changed = true;
                Course::begin(eviction)
            });
        }
        if has_changed {
            self.changed.notify_one();
        }
    }

    /// Does the work, for ever. Calls `gone` when targets have nothing any more that the
    /// configuration does not have.
    pub async fn run(&self, gone: impl Fn()) {
        let mut rest = SHORTEST_STEP;
        loop {
            let now = Instant::now();
            let plan = self.look(now, rest);
            rest = (now.elapsed() * REST).clamp(SHORTEST_STEP, LOOK);
            if plan.is_one_gone {
                gone();
            }
            let ending = async {
                end_in_turn(plan.ends).await;
                pending().await
            };
            let over = async {
                match plan.next {
                    Some(next) => sleep_until(next.max(now + rest)).await,
                    None => pending().await,
                }
            };
            let changed = async {
                self.changed.notified().await;
                sleep_until(now + rest).await;
            };
            tokio::select! {
                () = ending => {}
                () = over => {}
                () = changed => {}
            }
        }
    }

    /// Looks at the open tunnels, if there is a target that is to have less of them, and decides
    /// which end until the next look: not before this rest is over.
    fn look(&self, now: Instant, rest: Duration) -> Plan {
        let due = self.due(now);
        let mut found = self.tunnels_of(&due);
        let mut courses = self.courses.lock();
        let waits = courses.values().map(|course| course.wait(now));
        let Some(step) = waits.min() else {
            return Plan::default();
        };
        let step = step.max(rest);
        let mut plan = Plan {
            next: Some(now + step),
            ..Plan::default()
        };
        for (target, place) in &due {
            for cause in [Cause::Configuration, Cause::Health] {
                let key = (target.clone(), cause);
                let course = courses.get_mut(&key).filter(|course| course.begins <= now);
                let Some(course) = course else { continue };
                if course.is_over(&mut found[*place], now, step, &mut plan.ends) {
                    plan.is_one_gone |= course.tell_gone(target);
                    courses.remove(&key);
                }
            }
        }
        plan.ends.sort_unstable_by_key(|end| end.at);
        plan
    }

    /// The targets whose tunnels are not left alone any more, each with its place among them.
    fn due(&self, now: Instant) -> HashMap<TargetId, usize> {
        let courses = self.courses.lock();
        let due = courses.iter().filter(|(_, course)| course.begins <= now);
        let mut places = HashMap::new();
        for ((target, _), _) in due {
            let next = places.len();
            places.entry(target.clone()).or_insert(next);
        }
        places
    }

    /// The open tunnels of these targets, by their places.
    fn tunnels_of(&self, targets: &HashMap<TargetId, usize>) -> Vec<Found> {
        let mut found: Vec<Found> = targets.iter().map(|_| Found::default()).collect();
        if targets.is_empty() {
            return found;
        }
        let mut groups: HashMap<&TargetAddress, Vec<(&str, usize)>> = HashMap::new();
        for ((group, address), place) in targets {
            groups.entry(address).or_default().push((group, *place));
        }
        let place = |tunnel: &Handle| {
            let identity = &tunnel.identity;
            let mut groups = groups.get(&identity.target)?.iter();
            let (_, place) = groups.find(|(group, _)| **group == *identity.target_group)?;
            Some(*place)
        };
        let is_its = |tunnel: &Handle| place(tunnel).is_some();
        self.tunnels.for_each(is_its, |tunnel| {
            if let Some(place) = place(tunnel) {
                found[place].add(tunnel);
            }
        });
        found
    }
}

impl Found {
    fn add(&mut self, tunnel: &Arc<Handle>) {
        match tunnel.is_ending() {
            true => self.has_ending = true,
            false => self.open.push((tunnel.idle(), Arc::clone(tunnel))),
        }
    }

    /// So many of those that may be ended, if there are as many: the idlest, in their order.
    fn idlest(&mut self, count: usize) -> &[Idle] {
        let count = count.min(self.open.len());
        if (1..self.open.len()).contains(&count) {
            let key = |(idle, _): &Idle| Reverse(*idle);
            self.open.select_nth_unstable_by_key(count - 1, key);
        }
        let idlest = &mut self.open[..count];
        idlest.sort_unstable_by_key(|(idle, _)| Reverse(*idle));
        idlest
    }
}

impl Course {
    fn begin(eviction: Eviction) -> Self {
        Course {
            begins: Instant::now() + eviction.delay,
            eviction,
            quiet_since: None,
            life: Arc::default(),
        }
    }

    fn deadline(&self) -> Instant {
        self.begins + self.eviction.window
    }

    /// How long it is at most to the next look.
    fn wait(&self, now: Instant) -> Duration {
        let deadline = self.deadline();
        if now < self.begins {
            self.begins - now
        } else if now < deadline {
            let step = Pace::over(self.eviction.window).step();
            step.min(deadline - now)
        } else {
            LOOK
        }
    }

    /// Decides which of the target's tunnels end within the step; whether it has had none for long
    /// enough.
    fn is_over(
        &mut self,
        found: &mut Found,
        now: Instant,
        step: Duration,
        ends: &mut Vec<End>,
    ) -> bool {
        let deadline = self.deadline();
        if now < deadline {
            let (open, elapsed) = (found.open.len(), now - self.begins);
            let pace = Pace::over(self.eviction.window);
            let share = pace.share_of(step, open, 0, elapsed, chance());
            let span = step.min(deadline - now);
            self.end_within(found.idlest(share), now, span, ends);
            return false;
        }
        for (_, tunnel) in &found.open {
            tunnel.end(self.eviction.reason);
        }
        // A handshake that was under way may still have become a tunnel, or will.
        if !found.open.is_empty() || found.has_ending {
            self.quiet_since = None;
            return false;
        }
        let since = *self.quiet_since.get_or_insert(now);
        now - since >= QUIET
    }

    /// At random moments, the first of these tunnels first.
    fn end_within(&self, tunnels: &[Idle], now: Instant, span: Duration, ends: &mut Vec<End>) {
        let slots = span.as_secs_f64() / SLOT.as_secs_f64();
        let moment = |_: &Idle| now + span.min(SLOT.mul_f64((chance() * slots).ceil()));
        let mut moments: Vec<Instant> = tunnels.iter().map(moment).collect();
        moments.sort_unstable();
        let end = |(at, (_, tunnel)): (Instant, &Idle)| End {
            at,
            tunnel: Arc::clone(tunnel),
            reason: self.eviction.reason,
            course: Arc::downgrade(&self.life),
        };
        ends.extend(moments.into_iter().zip(tunnels).map(end));
    }

    /// Tells that it is emptied, if it is not to come back.
    fn tell_gone(&self, (group, address): &TargetId) -> bool {
        let is_gone = self.eviction.reason == CloseReason::TargetRemoved;
        if is_gone {
            log::info!("target group {group}: target {address} is gone");
        }
        is_gone
    }
}

async fn end_in_turn(ends: Vec<End>) {
    let mut reached = None;
    for end in ends {
        if reached < Some(end.at) {
            sleep_until(end.at).await;
            reached = Some(end.at);
        }
        if end.course.strong_count() > 0 {
            end.tunnel.end(end.reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use tokio::time::sleep;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::tunnel::{Identity, Listed};

    const SECOND: Duration = Duration::from_secs(1);

    fn target(port: u16) -> TargetId {
        let address = SocketAddr::from(([192, 0, 2, 1], port));
        ("chat".to_owned(), address.into())
    }

    fn open(tunnels: &Arc<Tunnels>, port: u16, count: usize) -> Vec<Listed> {
        let identity = || Identity {
            id: String::new(),
            forwarding_rule: "edge".into(),
            target_group: "chat".into(),
            target: target(port).1,
            client: SocketAddr::from(([192, 0, 2, 2], 1)).into(),
            uri: "/".into(),
        };
        (0..count)
            .map(|_| Listed::open(tunnels, identity()))
            .collect()
    }

    fn eviction(reason: CloseReason, delay: u32, window: u32) -> Eviction {
        Eviction {
            reason,
            delay: delay * SECOND,
            window: window * SECOND,
        }
    }

    fn removal(delay: u32, window: u32) -> Eviction {
        eviction(CloseReason::TargetRemoved, delay, window)
    }

    /// How many are to end, for this reason.
    fn ending(open: &[Listed], reason: CloseReason) -> usize {
        open.iter()
            .filter(|one| one.order() == Some(reason))
            .count()
    }

    /// Evictions that are carried out, and how often targets were gone.
    fn running() -> (Arc<Tunnels>, Arc<Evictions>, Arc<AtomicUsize>) {
        let tunnels = Arc::new(Tunnels::new(TaskTracker::new()));
        let evictions = Arc::new(Evictions::new(Arc::clone(&tunnels)));
        let gone = Arc::<AtomicUsize>::default();
        let (running, counted) = (Arc::clone(&evictions), Arc::clone(&gone));
        tokio::spawn(async move { running.run(|| _ = counted.fetch_add(1, SeqCst)).await });
        (tunnels, evictions, gone)
    }

    #[tokio::test(start_paused = true)]
    async fn each_target_is_emptied_after_its_delay_and_over_its_window_and_others_are_not() {
        let (tunnels, evictions, _) = running();
        let [fast, slow, late, other] = [1, 2, 3, 4].map(|port| open(&tunnels, port, 1000));
        let wanted = [
            (1, removal(0, 10)),
            (2, removal(0, 40)),
            (3, removal(20, 20)),
        ];
        let wanted = wanted.map(|(port, eviction)| (target(port), eviction));
        let began = Instant::now();
        evictions.evict(Cause::Configuration, |_| true, wanted.into());
        let removed = |open: &[Listed]| ending(open, CloseReason::TargetRemoved);
        for (second, expected) in [
            (5, [500, 125, 0]),
            (11, [1000, 275, 0]),
            (19, [1000, 475, 0]),
            (30, [1000, 750, 500]),
            (42, [1000, 1000, 1000]),
        ] {
            sleep_until(began + second * SECOND).await;
            for (open, expected) in [&fast, &slow, &late].into_iter().zip(expected) {
                let found = removed(open);
                assert!(
                    found.abs_diff(expected) <= 80,
                    "{found} at {second} s, not {expected}"
                );
            }
            assert_eq!(removed(&other), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_called_off_stays_open_and_what_was_not_asked_about_goes_on() {
        let (tunnels, evictions, _) = running();
        let [one, two] = [1, 2].map(|port| open(&tunnels, port, 1000));
        let wanted = [1, 2].map(|port| (target(port), removal(0, 20)));
        evictions.evict(Cause::Configuration, |_| true, wanted.into());
        sleep(10 * SECOND).await;
        let is_one = |id: &TargetId| *id == target(1);
        evictions.evict(Cause::Configuration, is_one, HashMap::new());
        let removed = |open: &[Listed]| ending(open, CloseReason::TargetRemoved);
        let before = removed(&one);
        assert!((400..600).contains(&before), "{before}");
        sleep(30 * SECOND).await;
        assert_eq!((removed(&one), removed(&two)), (before, 1000));
    }

    #[tokio::test(start_paused = true)]
    async fn another_reason_takes_the_place_of_one_and_each_cause_has_its_own() {
        let (tunnels, evictions, _) = running();
        let open = open(&tunnels, 1, 1000);
        let maintained = [(target(1), eviction(CloseReason::Drained, 0, 100))];
        evictions.evict(Cause::Configuration, |_| true, maintained.into());
        let unhealthy = [(target(1), eviction(CloseReason::TargetUnhealthy, 0, 100))];
        evictions.evict(Cause::Health, |_| true, unhealthy.clone().into());
        sleep(50 * SECOND).await;
        let drained = ending(&open, CloseReason::Drained);
        let ended = drained + ending(&open, CloseReason::TargetUnhealthy);
        // Both choose the idlest, so that together they are hardly faster.
        assert!(
            drained > 150 && (450..850).contains(&ended),
            "{drained} of {ended}"
        );
        evictions.evict(
            Cause::Configuration,
            |_| true,
            [(target(1), removal(0, 1))].into(),
        );
        evictions.evict(Cause::Health, |_| true, unhealthy.into());
        sleep(2 * SECOND).await;
        assert_eq!(ending(&open, CloseReason::Drained), drained);
        let removed = ending(&open, CloseReason::TargetRemoved);
        assert!(
            removed > 100 && open.iter().all(|one| one.order().is_some()),
            "{removed}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_is_gone_when_it_has_had_nothing_for_a_while() {
        let (tunnels, evictions, gone) = running();
        let first = open(&tunnels, 1, 3);
        let began = Instant::now();
        evictions.evict(
            Cause::Configuration,
            |_| true,
            [(target(1), removal(1, 1))].into(),
        );
        sleep_until(began + 3 * SECOND).await;
        assert_eq!(ending(&first, CloseReason::TargetRemoved), 3);
        drop(first);
        sleep_until(began + 6 * SECOND).await;
        // A handshake that was under way.
        let second = open(&tunnels, 1, 1);
        sleep_until(began + 8 * SECOND).await;
        assert_eq!(ending(&second, CloseReason::TargetRemoved), 1);
        sleep_until(began + 20 * SECOND).await;
        assert_eq!(gone.load(SeqCst), 0);
        drop(second);
        sleep_until(began + 30 * SECOND).await;
        assert_eq!(gone.load(SeqCst), 1);
        // Nothing is looked at any more.
        assert!(evictions.courses.lock().is_empty());
    }
}
