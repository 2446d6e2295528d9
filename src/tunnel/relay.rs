//! The relay: one small task for each tunnel, which moves bytes between two sockets until both
//! directions are over.
//!
//! It holds no buffer while nothing is in flight: bytes are read into a buffer of the thread, and
//! only what the receiver does not take is kept. Whatever ends the relay, also a panic or the end
//! of the runtime, drops it, and dropping it reports the tunnel's end, once.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::ending::{Ending, OnEnd, Verdict};
use super::flow::{Flow, Pumped};
use super::frames::{Follower, Sender, close_frame};
use super::handle::Handle;
use super::limits::Limits;
use super::registry::Entry;
use super::timer_wheel::TimerWheel;
use crate::os::keepalive::probe_when_silent;
use crate::os::random;
use crate::stream::{ClientStream, End, TargetStream};
use crate::telemetry::CloseReason;

const SCRATCH: usize = 64 << 10;
/// Shorter than any keep-alive.
const UNPROBED: Duration = Duration::from_secs(1);

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

/// What holds for a tunnel.
pub(super) struct Rules {
    pub(super) limits: Limits,
    /// Whether it carries WebSocket's frames.
    pub(super) has_frames: bool,
    /// Whether the client's socket is probed otherwise than this tunnel's should be.
    pub(super) probes_client: bool,
}

pub(super) struct Relay {
    handle: Arc<Handle>,
    timer_wheel: Arc<TimerWheel>,
    limits: Limits,
    client: ClientStream,
    target: TargetStream,
    inward: Flow,
    outward: Flow,
    verdict: Verdict,
    /// When the last byte moved, and when the clocks will have the relay look again.
    active: Instant,
    watched: Instant,
    /// When the sockets get their keep-alive: most tunnels that end early need none, and it costs a
    /// system call for each option.
    unprobed: Option<Instant>,
    /// Whether the client's socket has to get it too.
    probes_client: bool,
    /// When it has lived for long enough.
    death: Option<Instant>,
    /// By when all must be over, once one side has ended or we end the tunnel.
    until: Option<Instant>,
    on_end: Option<OnEnd>,
    _entry: Entry,
}

impl Relay {
    pub(super) fn new(
        handle: Arc<Handle>,
        timer_wheel: Arc<TimerWheel>,
        rules: Rules,
        client: End<ClientStream>,
        target: End<TargetStream>,
        on_end: OnEnd,
        entry: Entry,
    ) -> Self {
        let now = Instant::now();
        let follower = |sender| match rules.has_frames {
            true => Follower::new(sender),
            false => Follower::off(sender),
        };
        Relay {
            handle,
            timer_wheel,
            limits: rules.limits,
            client: client.stream,
            target: target.stream,
            inward: Flow::new(follower(Sender::Client), client.early),
            outward: Flow::new(follower(Sender::Target), target.early),
            verdict: Verdict::default(),
            active: now,
            watched: now + Duration::from_secs(u32::MAX.into()),
            unprobed: Some(now + UNPROBED),
            probes_client: rules.probes_client,
            death: rules.limits.death(now),
            until: None,
            on_end: Some(on_end),
            _entry: entry,
        }
    }

    /// Moves what can be moved; tells whether there may be more.
    fn pump(&mut self, cx: &mut Context<'_>) -> bool {
        let was_awaited = !self.outward.is_not_awaited();
        let (client, target) = (&mut self.client, &mut self.target);
        let (inward, outward) = BUFFER.with_borrow_mut(|buffer| {
            let inward = self.inward.pump(client, target, buffer, &self.outward, cx);
            let outward = self.outward.pump(target, client, buffer, &self.inward, cx);
            (inward, outward)
        });
        self.end_together();
        self.note_closes();
        let more_in = self.judge(inward, CloseReason::ClientError, CloseReason::TargetError);
        let more_out = self.judge(outward, CloseReason::TargetError, CloseReason::ClientError);
        self.note_ends();
        // The other direction was looked at before this one came to its end, and may have to end
        // the target's side now.
        let is_news = was_awaited && self.outward.is_not_awaited();
        more_in || more_out || is_news
    }

    /// Ends one direction with the other where nothing can come any more.
    fn end_together(&mut self) {
        if self.outward.is_over() && self.outward.is_last(&self.inward) {
            self.inward.give_up();
        }
        if self.inward.is_over() && self.inward.is_last(&self.outward) {
            self.outward.give_up();
        }
    }

    fn note_closes(&mut self) {
        for (flow, reason) in [
            (&self.inward, CloseReason::ClientClosed),
            (&self.outward, CloseReason::TargetClosed),
        ] {
            if let Some(close) = flow.follower().close() {
                self.verdict.said_close(reason, close.code);
            }
        }
    }

    fn judge(&mut self, pumped: Pumped, sender: CloseReason, receiver: CloseReason) -> bool {
        let (reason, error) = match pumped {
            Pumped::Waits => return false,
            Pumped::HasMore => return true,
            Pumped::SenderBroke(error) => (sender, error),
            Pumped::ReceiverBroke(error) => (receiver, error),
        };
        self.verdict.broke(reason, &error);
        // Nobody is left on that side to hear anything; what comes from there still passes.
        let deaf = if reason == CloseReason::ClientError {
            &mut self.outward
        } else {
            &mut self.inward
        };
        deaf.give_up();
        true
    }

    fn note_ends(&mut self) {
        for (flow, reason) in [
            (&self.inward, CloseReason::ClientClosed),
            (&self.outward, CloseReason::TargetClosed),
        ] {
            if flow.has_ended() {
                self.verdict.ended(reason);
            }
        }
        let have_said_close = [&self.inward, &self.outward]
            .iter()
            .all(|flow| flow.follower().close().is_some());
        let limit = match (have_said_close, self.verdict.has_ended()) {
            (true, _) => self.limits.close,
            (false, true) => self.limits.half_close,
            (false, false) => return,
        };
        self.until.get_or_insert_with(|| Instant::now() + limit);
    }

    /// Ends the tunnel ourselves: a Close frame in each direction where there are frames, otherwise
    /// a FIN, and a limit for the answers.
    fn end(&mut self, reason: CloseReason, now: Instant) {
        let by = now + self.limits.close;
        self.until = Some(self.until.map_or(by, |until| until.min(by)));
        let farewell = self.handle.farewell(reason);
        let are_off = [&self.inward, &self.outward].map(|flow| flow.follower().is_off());
        let is_said = are_off != [true, true];
        self.verdict.order(reason, is_said.then_some(farewell.code));
        let frame = |mask| close_frame(farewell.code, &farewell.text, mask);
        self.inward.close(frame(Some(random::four_bytes())));
        self.outward.close(frame(None));
    }

    /// Looks at the clocks; tells whether that changed anything.
    fn look_at_clocks(&mut self, now: Instant) -> bool {
        if self.unprobed.is_some_and(|moment| moment <= now) {
            self.unprobed = None;
            self.probe();
        }
        if self.until.is_some_and(|until| until <= now) {
            self.inward.give_up();
            self.outward.give_up();
            return true;
        }
        if let Some(reason) = self.due(now).filter(|_| !self.verdict.is_ordered()) {
            self.end(reason, now);
            return true;
        }
        self.watch(now);
        false
    }

    fn probe(&self) {
        let client = self.client.socket().filter(|_| self.probes_client);
        for socket in client.into_iter().chain(self.target.socket()) {
            if let Err(error) = probe_when_silent(socket, self.limits.keepalive) {
                log::debug!(
                    "tunnel {}: TCP keep-alive: {error}",
                    self.handle.identity.id
                );
            }
        }
    }

    /// Why we have to end it, if we have to.
    fn due(&self, now: Instant) -> Option<CloseReason> {
        let is_past = |moment: Instant| moment <= now;
        let died = || {
            self.death
                .is_some_and(is_past)
                .then_some(CloseReason::MaxLifetime)
        };
        let idles = || is_past(self.idle_at()).then_some(CloseReason::IdleTimeout);
        self.handle.order().or_else(died).or_else(idles)
    }

    fn idle_at(&self) -> Instant {
        self.active + self.limits.idle
    }

    /// Has the clocks wake us in time for the next deadline.
    fn watch(&mut self, now: Instant) {
        let idle = self.idle_at();
        let lives_until = self.death.map_or(idle, |death| death.min(idle));
        let next = match (self.until, self.verdict.is_ordered()) {
            (Some(until), true) => until,
            (Some(until), false) => until.min(lives_until),
            (None, _) => lives_until,
        };
        let next = self.unprobed.map_or(next, |moment| moment.min(next));
        if self.watched <= now || next < self.watched {
            self.watched = next;
            self.timer_wheel.watch(&self.handle, next);
        }
    }

    fn ending(&self, reason: Option<CloseReason>) -> Ending {
        Ending {
            reason,
            code: self.verdict.code(),
            bytes_in: self.inward.passed(),
            bytes_out: self.outward.passed(),
            frames_in: self.inward.follower().frames(),
            frames_out: self.outward.follower().frames(),
            since_activity: self.active.elapsed(),
            error: self.verdict.error(),
        }
    }

    fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        self.client.say_goodbye(cx);
        self.target.say_goodbye(cx);
    }

    fn report(&mut self, reason: Option<CloseReason>) {
        if let Some(on_end) = self.on_end.take() {
            on_end(self.ending(reason));
        }
    }
}

impl Future for Relay {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let relay = self.get_mut();
        relay.handle.wakes(cx.waker());
        if relay.handle.is_cut() {
            relay.say_goodbye(cx);
            relay.report(relay.verdict.reason());
            return Poll::Ready(());
        }
        let passed_before = (relay.inward.passed(), relay.outward.passed());
        let mut has_more = relay.pump(cx);
        let now = Instant::now();
        let passed = (relay.inward.passed(), relay.outward.passed());
        if passed != passed_before {
            relay.active = now;
            let frames = [&relay.inward, &relay.outward].map(|flow| flow.follower().frames());
            relay.handle.moved(passed, frames.into(), now);
        }
        has_more |= relay.look_at_clocks(now);
        if relay.inward.is_over() && relay.outward.is_over() {
            relay.say_goodbye(cx);
            relay.report(relay.verdict.reason());
            return Poll::Ready(());
        }
        if has_more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let reason = self.verdict.reason().filter(|_| !std::thread::panicking());
        self.report(reason);
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::task::TaskTracker;

    use super::super::handle::tests::handle;
    use super::super::registry::Tunnels;
    use super::*;

    fn limits() -> Limits {
        super::super::limits::tests::all(Duration::from_secs(60))
    }

    type Endings = Arc<Mutex<Vec<Ending>>>;

    /// A connection: the relay's end, and the other.
    async fn connection() -> (End<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(listener.accept(), TcpStream::connect(address));
        (
            End {
                stream: ours.unwrap().0,
                early: Vec::new(),
            },
            theirs.unwrap(),
        )
    }

    /// A relay, the other ends of its sockets, what it reports, and its handle.
    async fn relay(limits: Limits) -> (Relay, [TcpStream; 2], Endings, Arc<Handle>) {
        let ((client, far_client), (target, far_target)) = (connection().await, connection().await);
        let client = End {
            stream: ClientStream::Plain(client.stream),
            early: client.early,
        };
        let target = End {
            stream: TargetStream::Plain(target.stream),
            early: target.early,
        };
        let tunnels = Arc::new(Tunnels::new(TaskTracker::new()));
        let handle = Arc::new(handle());
        let entry = Entry::add(&tunnels, &handle);
        let endings = Endings::default();
        let reported = Arc::clone(&endings);
        let on_end: OnEnd = Box::new(move |ending| reported.lock().push(ending));
        let (seen, wheel) = (Arc::clone(&handle), Arc::clone(&tunnels.timer_wheel));
        let rules = Rules {
            limits,
            has_frames: true,
            probes_client: false,
        };
        let relay = Relay::new(handle, wheel, rules, client, target, on_end, entry);
        (relay, [far_client, far_target], endings, seen)
    }

    fn reasons(endings: &Endings) -> Vec<Option<CloseReason>> {
        endings.lock().iter().map(|ending| ending.reason).collect()
    }

    #[tokio::test]
    async fn a_panic_in_a_relay_is_reported_once_as_an_end_from_outside() {
        // An idle timeout that no clock can hold makes the relay panic at its first look.
        let limits = Limits {
            idle: Duration::MAX,
            ..limits()
        };
        let (relay, _far, endings, _handle) = relay(limits).await;
        assert!(tokio::spawn(relay).await.unwrap_err().is_panic());
        assert_eq!(reasons(&endings), [None]);
    }

    #[tokio::test]
    async fn a_relay_that_is_dropped_or_cut_is_reported_once_as_an_end_from_outside() {
        let (dropped, _far, endings, _handle) = relay(limits()).await;
        drop(dropped);
        assert_eq!(reasons(&endings), [None]);

        let (running, _far, endings, handle) = relay(limits()).await;
        let running = tokio::spawn(running);
        handle.cut();
        running.await.unwrap();
        assert_eq!(reasons(&endings), [None]);
    }

    #[tokio::test]
    async fn the_first_end_is_the_one_that_is_reported() {
        let (relay, [client, target], endings, handle) = relay(limits()).await;
        let relay = tokio::spawn(relay);
        drop(target);
        let gone = client.readable().await;
        assert!(gone.is_ok());
        drop(client);
        relay.await.unwrap();
        assert_eq!(reasons(&endings), [Some(CloseReason::TargetClosed)]);
        assert_eq!(handle.bytes(), (0, 0));
    }

    #[test]
    fn a_relay_is_small() {
        assert!(size_of::<Relay>() <= 640, "{} bytes", size_of::<Relay>());
    }
}
