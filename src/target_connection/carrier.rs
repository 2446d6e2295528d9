//! Connections to targets of HTTP/2, each of which carries many requests at a time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use tokio::time::Instant;

use super::frames::Frames;
use crate::stream::TargetStream;

/// How many requests a connection carries at a time, if its target allows as many.
const STREAMS: usize = 64;
/// How much of an answer a target may send that its client does not take, in bytes. All streams of
/// a connection may be as slow without stopping the others.
const STREAM_WINDOW: u32 = 16 << 10;
/// How much of a request waits for the target's connection.
const SEND_BUFFER: usize = 8 << 10;
/// What a target may send in small frames before they are read, as h2 counts it: 256 for each. The
/// windows bound what they hold.
const SMALL_FRAMES: usize = 256 * STREAM_WINDOW as usize * STREAMS;
/// How many requests that clients have given up are remembered, and for how long: their targets do
/// not know yet, and answer on.
const MOST_RESET: usize = 4096;
const RESET_FOR: Duration = Duration::from_secs(10);
/// How long the head of an answer may be, as HTTP/2 counts it.
const LONGEST_HEAD: u32 = 256 << 10;

/// A connection, as the pool has it.
#[derive(Debug)]
pub(crate) struct Carrier {
    sender: SendRequest<Bytes>,
    load: Arc<Load>,
    /// Since when it has nothing to carry, as far as that was seen.
    idle_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Load {
    streams: AtomicUsize,
    /// How many of them wait for the target to take more of their bodies.
    stuck: AtomicUsize,
    /// It gets no more requests.
    is_retired: AtomicBool,
}

/// The right to send one request on a connection.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) sender: SendRequest<Bytes>,
    load: Arc<Load>,
    is_stuck: bool,
}

impl Carrier {
    /// Begins HTTP/2 on a connection.
    pub(crate) async fn begin(stream: TargetStream) -> io::Result<Self> {
        let begun = builder().handshake(Frames::new(stream)).await;
        let (sender, connection) = begun.map_err(super::failure::words)?;
        tokio::spawn(drive(connection));
        Ok(Carrier {
            sender,
            load: Arc::default(),
            idle_since: None,
        })
    }

    /// One more request, unless it carries as many as it may; none with a body while another waits
    /// for the target to take some.
    pub(crate) fn ticket(&self, has_body: bool) -> Option<Ticket> {
        if has_body && self.load.stuck.load(Relaxed) > 0 {
            return None;
        }
        let most = STREAMS.min(self.sender.current_max_send_streams());
        let one_more = |streams| (streams < most).then_some(streams + 1);
        let streams = &self.load.streams;
        let counted = streams.fetch_update(Relaxed, Relaxed, one_more);
        counted.ok().map(|_| Ticket {
            sender: self.sender.clone(),
            load: Arc::clone(&self.load),
            is_stuck: false,
        })
    }

    /// Whether it may get requests still: the target has neither closed it nor said that it will.
    pub(crate) fn is_open(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let is_gone = matches!(self.sender.poll_ready(&mut cx), Poll::Ready(Err(_)));
        !is_gone && !self.load.is_retired.load(Relaxed)
    }

    /// How long it has had nothing to carry.
    pub(crate) fn idle(&mut self, now: Instant) -> Option<Duration> {
        match self.load.streams.load(Relaxed) {
            0 => Some(now.duration_since(*self.idle_since.get_or_insert(now))),
            _ => {
                self.idle_since = None;
                None
            }
        }
    }
}

impl Ticket {
    /// Notes whether the target takes nothing of the body.
    pub(crate) fn stick(&mut self, is_stuck: bool) {
        if std::mem::replace(&mut self.is_stuck, is_stuck) != is_stuck {
            match is_stuck {
                true => self.load.stuck.fetch_add(1, Relaxed),
                false => self.load.stuck.fetch_sub(1, Relaxed),
            };
        }
    }

    /// The connection gets no more requests: its target says nothing any more.
    pub(crate) fn retire(&self) {
        self.load.is_retired.store(true, Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.stick(false);
        self.load.streams.fetch_sub(1, Relaxed);
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW * STREAMS as u32)
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(SMALL_FRAMES)
        .max_concurrent_reset_streams(MOST_RESET)
        .reset_stream_duration(RESET_FOR)
        .max_local_error_reset_streams(None)
        .max_header_list_size(LONGEST_HEAD);
    builder
}

/// Reads and writes for all that it carries, until the pool has let it go and the last of them is
/// over.
async fn drive(connection: Connection<Frames, Bytes>) {
    if let Err(error) = connection.await {
        log::debug!("a target's connection of HTTP/2: {error}");
    }
}
