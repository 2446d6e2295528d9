//! The wire: what the taps and the exchange of one connection tell each other. All run in one task;
//! the atomics are there because Pingora wants its streams to be `Sync`.

mod backlog;
mod kept;
mod passage;
mod phase;
mod target;
mod trailers;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use self::backlog::{Download, Upload};
use self::kept::Kept;
use self::passage::Passage;
pub use self::phase::{ClientEnd, Phase};
use super::framing::{Framing, Told};
use super::head_end::HeadEnd;

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
    head_answer_head: AtomicU64,
    began: Instant,
    /// How long to wait for the client, in milliseconds.
    client_limit: AtomicU64,
    /// When the handshake has to be answered, in milliseconds from `began`.
    handshake_end: AtomicU64,
    /// How long a client may wait for an answer after it has ended its side, in milliseconds.
    half_close_limit: AtomicU64,
    /// The client has ended its side.
    half_closed: AtomicBool,
    body: Told,
    being_reset: AtomicBool,
    left: Mutex<Left>,
    /// The request's body, from the client to the target.
    pub upload: Upload,
    /// The answer's body, from the target to the client.
    pub download: Download,
    /// Of the bodies on its streams, what is kept for another try.
    pub kept: Kept,
    /// How the request is framed that goes to the target.
    sent_framing: Told,
    /// How the target's answer is framed.
    answer_framing: Told,
    answer_reader: AtomicWaker,
    /// The target's connection may carry another request after this answer.
    keeps_target: AtomicBool,
    /// The target's connection had carried other requests.
    is_target_kept: AtomicBool,
    /// The target is asked in HTTP/2.
    is_target_http2: AtomicBool,
    /// The answer goes to a client of HTTP/1.1 in chunks.
    answers_in_chunks: AtomicBool,
    /// The answer is that the client has to upgrade.
    requires_upgrade: AtomicBool,
}

/// What one side leaves for the other: of a request the head that a target of HTTP/2 gets, and the
/// trailers of both messages.
#[derive(Debug, Default)]
struct Left {
    head: Option<Box<http::Request<()>>>,
    request_trailers: Passage,
    answer_trailers: Passage,
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
            head_answer_head: AtomicU64::new(0),
            began: Instant::now(),
            client_limit: AtomicU64::new(0),
            handshake_end: AtomicU64::new(0),
            half_close_limit: AtomicU64::new(0),
            half_closed: AtomicBool::new(false),
            body: Told::default(),
            being_reset: AtomicBool::new(false),
            left: Mutex::default(),
            upload: Upload::default(),
            download: Download::default(),
            kept: Kept::default(),
            sent_framing: Told::default(),
            answer_framing: Told::default(),
            answer_reader: AtomicWaker::new(),
            keeps_target: AtomicBool::new(false),
            is_target_kept: AtomicBool::new(false),
            is_target_http2: AtomicBool::new(false),
            answers_in_chunks: AtomicBool::new(false),
            requires_upgrade: AtomicBool::new(false),
        }
    }

    /// How far the connection has come with its present request.
    pub fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Relaxed))
    }

    /// From here on the next request's head is awaited. The client may take this long for it, and
    /// for each of its parts in what follows.
    pub fn await_head(&self, limit: Duration) {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.client_limit.store(millis, Relaxed);
        self.head_read.store(0, Relaxed);
        self.head_answer.store(0, Relaxed);
        self.enter(Phase::Head);
    }

    pub(crate) fn client_limit(&self) -> Duration {
        Duration::from_millis(self.client_limit.load(Relaxed))
    }

    /// A head has arrived, and its exchange begins.
    pub fn begin_exchange(&self) {
        self.exchanges.fetch_add(1, Relaxed);
        self.upload.reset();
        self.expect_body(Framing::Length(0));
        self.answers_in_chunks.store(false, Relaxed);
        self.requires_upgrade.store(false, Relaxed);
        self.left.lock().request_trailers = Passage::default();
        self.enter(Phase::Exchange);
    }

    /// The request has a body that is framed so.
    pub fn expect_body(&self, framing: Framing) {
        self.body.tell(Some(framing));
    }

    /// What is still to come of the body.
    pub fn body_left(&self) -> Framing {
        self.body.get().unwrap_or(Framing::Length(0))
    }

    /// Whether all of the body has come.
    pub fn is_body_over(&self) -> bool {
        self.body_left() == Framing::Length(0)
    }

    /// So many bytes of the body have come.
    pub fn body_read(&self, bytes: usize) {
        if let Framing::Length(left) = self.body_left() {
            self.expect_body(Framing::Length(left.saturating_sub(bytes as u64)));
        }
    }

    /// The request will go to a target, whose answer has this long to begin once the client has
    /// ended its side.
    pub fn forward(&self, half_close_limit: Duration) {
        let millis = u64::try_from(half_close_limit.as_millis()).unwrap_or(u64::MAX);
        self.half_close_limit.store(millis, Relaxed);
    }

    pub(crate) fn half_close_limit(&self) -> Duration {
        Duration::from_millis(self.half_close_limit.load(Relaxed))
    }

    /// The client has ended its side, behind a whole request at least.
    pub(crate) fn half_closed(&self) {
        self.half_closed.store(true, Relaxed);
    }

    /// Whether the client has ended its side: it may want its answer, or be gone.
    pub fn is_half_closed(&self) -> bool {
        self.half_closed.load(Relaxed)
    }

    /// The answer goes out in HTTP/1.1, in chunks or otherwise.
    pub fn answer_in_chunks(&self, is_chunked: bool) {
        self.answers_in_chunks.store(is_chunked, Relaxed);
    }

    pub(crate) fn answers_in_chunks(&self) -> bool {
        self.answers_in_chunks.load(Relaxed)
    }

    /// The answer has an `Upgrade`, and is not a 101.
    pub fn require_upgrade(&self) {
        self.requires_upgrade.store(true, Relaxed);
    }

    pub(crate) fn requires_upgrade(&self) -> bool {
        self.requires_upgrade.load(Relaxed)
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

    /// Whoever is in the middle of something on it is dropped now, and the client is to see a
    /// reset.
    pub fn begin_reset(&self) {
        self.being_reset.store(true, Relaxed);
    }

    /// All that was to be dropped has been: nothing is being reset any more.
    pub fn end_reset(&self) {
        self.being_reset.store(false, Relaxed);
    }

    /// Whether the connection is being reset.
    pub fn is_being_reset(&self) -> bool {
        self.being_reset.load(Relaxed)
    }

    /// The exchange is over: nobody fetches any more what was left for it.
    pub fn end_exchange(&self) {
        *self.left.lock() = Left::default();
    }

    /// How long the handshake still has to be answered.
    pub fn handshake_left(&self) -> Duration {
        let end = Duration::from_millis(self.handshake_end.load(Relaxed));
        end.saturating_sub(self.began.elapsed())
    }

    /// How the client's side ended, as far as it was read.
    pub fn client_end(&self) -> ClientEnd {
        ClientEnd::of(self.end.load(Relaxed))
    }

    /// Notes the first end only.
    pub fn ended(&self, end: ClientEnd) {
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

    /// How long the head of that answer is.
    pub fn head_answer_head(&self) -> u64 {
        self.head_answer_head.load(Relaxed)
    }

    pub(crate) fn count_read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Relaxed);
        if self.phase() == Phase::Head {
            self.head_read.fetch_add(bytes as u64, Relaxed);
        }
    }

    pub(crate) fn count_written(&self, bytes: &[u8]) {
        self.written.fetch_add(bytes.len() as u64, Relaxed);
        if self.phase() == Phase::Head && self.head_answer().is_none() {
            self.head_answer
                .store(status_of(bytes).unwrap_or(0), Relaxed);
            let end = HeadEnd::default().find(bytes);
            self.head_answer_head
                .store(end.unwrap_or(bytes.len()) as u64, Relaxed);
        }
    }
}

impl Default for Wire {
    fn default() -> Self {
        Self::new()
    }
}

/// The status of an answer that begins with these bytes: `HTTP/1.1 400 …`.
pub(crate) fn status_of(answer: &[u8]) -> Option<u16> {
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
