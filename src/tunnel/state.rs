//! How far a tunnel has come: all that its relay knows, but for the sockets.
//!
//! It is data, so that it can be told to another process. Whatever becomes of it, dropping it
//! reports the tunnel's end, once, unless the tunnel goes on elsewhere.

use std::io;
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use super::ending::{Ending, Verdict};
use super::flow::{Flow, Pumped};
use super::frames::{Follower, Sender, close_frame};
use super::handle::Handle;
use super::limits::Limits;
use super::on_end::OnEnd;
use super::shards::Entry;
use super::timer_wheel::TimerWheel;
use crate::os::keepalive::probe_when_silent;
use crate::os::random;
use crate::stream::{ClientStream, TargetStream};
use crate::telemetry::CloseReason;

/// Shorter than any keep-alive.
const UNPROBED: Duration = Duration::from_secs(1);

/// What holds for a tunnel.
pub(super) struct Rules {
    pub(super) limits: Limits,
    /// Whether it carries WebSocket's frames.
    pub(super) has_frames: bool,
    /// Whether the client's socket is probed otherwise than this tunnel's should be.
    pub(super) probes_client: bool,
}

pub(super) struct State {
    pub(super) handle: Arc<Handle>,
    pub(super) timer_wheel: Arc<TimerWheel>,
    pub(super) limits: Limits,
    pub(super) inward: Flow,
    pub(super) outward: Flow,
    pub(super) verdict: Verdict,
    /// When the last byte moved.
    pub(super) active: Instant,
    /// When the clocks will have the relay look again.
    pub(super) watched: Instant,
    /// When the sockets get their keep-alive: most tunnels that end early need none, and it costs a
    /// system call for each option.
    pub(super) unprobed: Option<Instant>,
    /// Whether the client's socket has to get it too.
    pub(super) probes_client: bool,
    /// When it has lived for long enough.
    pub(super) death: Option<Instant>,
    /// By when all must be over, once one side has ended or we end the tunnel.
    pub(super) until: Option<Instant>,
    pub(super) on_end: OnEnd,
    pub(super) _entry: Entry,
}

impl State {
    /// A tunnel that begins, in which these bytes have been read already, from the client and from
    /// the target.
    pub(super) fn new(
        handle: Arc<Handle>,
        timer_wheel: Arc<TimerWheel>,
        rules: &Rules,
        early: [Vec<u8>; 2],
        on_end: OnEnd,
        entry: Entry,
    ) -> Self {
        let now = Instant::now();
        let follower = |sender| match rules.has_frames {
            true => Follower::new(sender),
            false => Follower::off(sender),
        };
        let [from_client, from_target] = early;
        State {
            handle,
            timer_wheel,
            limits: rules.limits,
            inward: Flow::new(follower(Sender::Client), from_client),
            outward: Flow::new(follower(Sender::Target), from_target),
            verdict: Verdict::default(),
            active: now,
            watched: never(now),
            unprobed: Some(now + UNPROBED),
            probes_client: rules.probes_client,
            death: rules.limits.death(now),
            until: None,
            on_end,
            _entry: entry,
        }
    }

    /// Moves what can be moved, and looks at the clocks; tells whether there may be more.
    pub(super) fn go_on(
        &mut self,
        client: &mut ClientStream,
        target: &mut TargetStream,
        buffer: &mut [u8],
        cx: &mut Context<'_>,
    ) -> bool {
        let passed_before = self.passed();
        let has_more = self.pump(client, target, buffer, cx);
        let now = Instant::now();
        if self.passed() != passed_before {
            self.active = now;
            self.show();
        }
        if self.unprobed.is_some_and(|moment| moment <= now) {
            self.unprobed = None;
            self.probe(client, target);
        }
        has_more | self.look_at_clocks(now)
    }

    fn passed(&self) -> (u64, u64) {
        (self.inward.passed(), self.outward.passed())
    }

    /// Has others know what has passed.
    pub(super) fn show(&self) {
        let frames = [&self.inward, &self.outward].map(|flow| flow.follower().frames());
        self.handle.moved(self.passed(), frames.into(), self.active);
    }

    /// Whether nothing is left to do.
    pub(super) fn is_over(&self) -> bool {
        self.inward.is_over() && self.outward.is_over()
    }

    /// A socket was lost on the way from one runtime to another.
    pub(super) fn broke_on_the_way(&mut self, reason: CloseReason, error: &io::Error) {
        self.verdict.broke(reason, error);
    }

    /// Reports the end that it has come to.
    pub(super) fn report(&mut self) {
        self.report_as(self.verdict.reason());
    }

    /// Moves what can be moved; tells whether there may be more.
    fn pump(
        &mut self,
        client: &mut ClientStream,
        target: &mut TargetStream,
        buffer: &mut [u8],
        cx: &mut Context<'_>,
    ) -> bool {
        let was_awaited = !self.outward.is_not_awaited();
        let inward = self.inward.pump(client, target, buffer, &self.outward, cx);
        let outward = self.outward.pump(target, client, buffer, &self.inward, cx);
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

    fn probe(&self, client: &ClientStream, target: &TargetStream) {
        let client = client.socket().filter(|_| self.probes_client);
        for socket in client.into_iter().chain(target.socket()) {
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

    fn report_as(&mut self, reason: Option<CloseReason>) {
        let ending = self.ending(reason);
        self.on_end.end(ending);
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let reason = self.verdict.reason().filter(|_| !std::thread::panicking());
        self.report_as(reason);
    }
}

/// Later than any deadline.
fn never(now: Instant) -> Instant {
    now + Duration::from_secs(u32::MAX.into())
}
