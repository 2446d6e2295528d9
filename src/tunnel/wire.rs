//! What the tap and the exchange of one connection tell each other. Both run in one task; the atomics are there because
//! Pingora wants its streams to be `Sync`.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::relay::End;
use super::{Opening, TargetStream};

/// How far the connection has come with its present request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Waiting for a request's head.
    Head,
    /// A plain request and its answer.
    Exchange,
    /// A WebSocket handshake that has no answer yet. What the client sends meanwhile stays in its socket.
    Handshake,
    /// After the 101.
    Tunnel,
}

/// How the client's side of a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ClientEnd {
    /// It has not.
    Open,
    /// The client sent its FIN.
    Closed,
    /// The connection broke.
    Broken,
    /// The client did not send its head in time.
    HeadExpired,
    /// The client's head has a request line that is none.
    HeadMalformed,
    /// The client's head has too many bytes.
    HeadTooLarge,
    /// The client's head has too many headers.
    TooManyHeaders,
    /// The handshake got no answer in time.
    HandshakeExpired,
}

/// The notes of one connection.
#[derive(Debug)]
pub struct Wire {
    phase: AtomicU8,
    end: AtomicU8,
    exchanges: AtomicU64,
    read: AtomicU64,
    written: AtomicU64,
    head_read: AtomicU64,
    head_answer: AtomicU16,
    began: Instant,
    /// How long to wait for the client, in milliseconds.
    client_limit: AtomicU64,
    /// When the handshake has to be answered, in milliseconds from `began`.
    handshake_end: AtomicU64,
    body_left: AtomicU64,
    handed_over: AtomicBool,
    being_reset: AtomicBool,
    meeting: Mutex<Meeting>,
}

/// Where what belongs to a tunnel waits for its other half: the target's socket, from the end of the 101 on, and what to do
/// with both.
#[derive(Debug, Default)]
struct Meeting {
    target: Option<End<TargetStream>>,
    opening: Option<Opening>,
}

impl Wire {
    /// A connection that waits for its first head.
    pub fn new() -> Self {
        Wire {
            phase: AtomicU8::new(Phase::Head as u8),
            end: AtomicU8::new(ClientEnd::Open as u8),
            exchanges: AtomicU64::new(0),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            head_read: AtomicU64::new(0),
            head_answer: AtomicU16::new(0),
            began: Instant::now(),
            client_limit: AtomicU64::new(0),
            handshake_end: AtomicU64::new(0),
            body_left: AtomicU64::new(0),
            handed_over: AtomicBool::new(false),
            being_reset: AtomicBool::new(false),
            meeting: Mutex::default(),
        }
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Head,
            1 => Phase::Exchange,
            2 => Phase::Handshake,
            _ => Phase::Tunnel,
        }
    }

    /// From here on the next request's head is awaited. The client may take this long for it, and for each of its parts in what
    /// follows.
    pub fn await_head(&self, limit: Duration) {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.client_limit.store(millis, Relaxed);
        self.head_read.store(0, Relaxed);
        self.head_answer.store(0, Relaxed);
        self.enter(Phase::Head);
    }

    pub(super) fn client_limit(&self) -> Duration {
        Duration::from_millis(self.client_limit.load(Relaxed))
    }

    /// A head has arrived, and its exchange begins.
    pub fn begin_exchange(&self) {
        self.exchanges.fetch_add(1, Relaxed);
        self.expect_body(Some(0));
        self.enter(Phase::Exchange);
    }

    /// The request has a body of this length; `None` where only Pingora will know its end.
    pub fn expect_body(&self, length: Option<u64>) {
        self.body_left.store(length.unwrap_or(u64::MAX), Relaxed);
    }

    /// How much of the body is still to come.
    pub fn body_left(&self) -> u64 {
        self.body_left.load(Relaxed)
    }

    pub(super) fn body_read(&self, bytes: usize) {
        let left = self.body_left();
        if left < u64::MAX {
            self.body_left
                .store(left.saturating_sub(bytes as u64), Relaxed);
        }
    }

    /// The exchange turns out to be a handshake, which has this long to be answered.
    pub fn begin_handshake(&self, limit: Duration) {
        let end = (self.began.elapsed() + limit).as_millis();
        self.handshake_end
            .store(u64::try_from(end).unwrap_or(u64::MAX), Relaxed);
        self.enter(Phase::Handshake);
    }

    /// The handshake was answered: with a 101, or with anything else.
    pub fn end_handshake(&self, upgraded: bool) {
        self.enter(if upgraded {
            Phase::Tunnel
        } else {
            Phase::Exchange
        });
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// The target's socket, right after its 101.
    pub(super) fn bring_target(&self, target: End<TargetStream>) {
        self.meeting().target = Some(target);
    }

    /// What opens the tunnel once the 101 has gone out to the client.
    pub fn bring_opening(&self, opening: Opening) {
        self.meeting().opening = Some(opening);
    }

    /// Both halves; once, when both are there.
    pub(super) fn meet(&self) -> Option<(Opening, End<TargetStream>)> {
        let mut meeting = self.meeting();
        if meeting.opening.is_none() || meeting.target.is_none() {
            return None;
        }
        self.handed_over.store(true, Relaxed);
        meeting.opening.take().zip(meeting.target.take())
    }

    /// Ends the waiting: nothing will be handed over any more. Returns the opening, if it was brought and not fetched.
    pub fn part(&self) -> Option<Opening> {
        std::mem::take(&mut *self.meeting()).opening
    }

    pub(super) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Relaxed)
    }

    /// Whoever is in the middle of something on it is dropped now, and the client is to see a reset.
    pub fn begin_reset(&self) {
        self.being_reset.store(true, Relaxed);
    }

    /// All that was to be dropped has been.
    pub fn end_reset(&self) {
        self.being_reset.store(false, Relaxed);
    }

    /// Between the two.
    pub fn is_being_reset(&self) -> bool {
        self.being_reset.load(Relaxed)
    }

    fn meeting(&self) -> MutexGuard<'_, Meeting> {
        self.meeting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the handshake still has to be answered.
    pub fn handshake_left(&self) -> Duration {
        let end = Duration::from_millis(self.handshake_end.load(Relaxed));
        end.saturating_sub(self.began.elapsed())
    }

    /// How the client's side ended, as far as it was read.
    pub fn client_end(&self) -> ClientEnd {
        match self.end.load(Relaxed) {
            0 => ClientEnd::Open,
            1 => ClientEnd::Closed,
            2 => ClientEnd::Broken,
            3 => ClientEnd::HeadExpired,
            4 => ClientEnd::HeadMalformed,
            5 => ClientEnd::HeadTooLarge,
            6 => ClientEnd::TooManyHeaders,
            _ => ClientEnd::HandshakeExpired,
        }
    }

    /// Notes the first end only.
    pub(super) fn ended(&self, end: ClientEnd) {
        let open = ClientEnd::Open as u8;
        self.end
            .compare_exchange(open, end as u8, Relaxed, Relaxed)
            .ok();
    }

    /// How many exchanges have begun.
    pub fn exchanges(&self) -> u64 {
        self.exchanges.load(Relaxed)
    }

    /// All bytes read from the client.
    pub fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// All bytes written to the client.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Bytes read of a head that is still incomplete, or was never understood.
    pub fn head_read(&self) -> u64 {
        self.head_read.load(Relaxed)
    }

    /// The status that was answered to such a head.
    pub fn head_answer(&self) -> Option<u16> {
        Some(self.head_answer.load(Relaxed)).filter(|status| *status > 0)
    }

    pub(super) fn count_read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Relaxed);
        if self.phase() == Phase::Head {
            self.head_read.fetch_add(bytes as u64, Relaxed);
        }
    }

    pub(super) fn count_written(&self, bytes: &[u8]) {
        self.written.fetch_add(bytes.len() as u64, Relaxed);
        if self.phase() == Phase::Head && self.head_answer().is_none() {
            self.head_answer
                .store(status_of(bytes).unwrap_or(0), Relaxed);
        }
    }
}

impl Default for Wire {
    fn default() -> Self {
        Self::new()
    }
}

/// The status of an answer that begins with these bytes: `HTTP/1.1 400 …`.
fn status_of(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_a_bad_head_is_noted_with_its_status() {
        let wire = Wire::new();
        wire.count_read(10);
        wire.count_written(b"HTTP/1.1 400 Bad Request\r\n");
        wire.count_written(b"HTTP/1.1 500 No\r\n");
        assert_eq!((wire.head_read(), wire.head_answer()), (10, Some(400)));

        wire.await_head(Duration::from_secs(1));
        wire.begin_exchange();
        wire.count_read(5);
        wire.count_written(b"HTTP/1.1 200 OK\r\n");
        assert_eq!(
            (wire.head_read(), wire.head_answer(), wire.read()),
            (0, None, 15)
        );
    }

    #[test]
    fn only_the_first_end_counts() {
        let wire = Wire::new();
        wire.ended(ClientEnd::Closed);
        wire.ended(ClientEnd::Broken);
        assert_eq!(wire.client_end(), ClientEnd::Closed);
    }
}
