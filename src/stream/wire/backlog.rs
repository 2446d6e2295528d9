//! What one side has given, and the other has not taken: how much of a body is between a client and
//! its target.
//!
//! Pingora keeps up to ten reads of a body between its halves, whatever they hold. So a read gets
//! only as much as there is room for, and none while there is no room: the bytes stay in the
//! sockets, and the sender waits. Where the other side takes all at once, there is always room.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// How many parts of a request's body may wait: Pingora looks away from a client when it has four.
const MOST_PARTS: usize = 3;

/// The body of a request.
#[derive(Debug, Default)]
pub struct Upload {
    given: AtomicU64,
    taken: AtomicU64,
    /// How many reads have given since all was taken.
    parts: AtomicUsize,
    is_unmetered: AtomicBool,
    reader: AtomicWaker,
}

impl Upload {
    /// Begins anew, for another request.
    pub(crate) fn reset(&self) {
        self.given.store(0, Relaxed);
        self.restart();
    }

    /// The request goes to a target that tells what it takes, from the beginning.
    pub fn restart(&self) {
        self.taken.store(0, Relaxed);
        self.is_unmetered.store(false, Relaxed);
    }

    /// What is read from here on goes where nobody tells what was taken: away, or over HTTP/2,
    /// whose windows bound it.
    pub fn unmeter(&self) {
        self.is_unmetered.store(true, Relaxed);
        self.reader.wake();
    }

    /// So much was read from the client.
    pub fn give(&self, payload: usize) {
        self.given.fetch_add(payload as u64, Relaxed);
        self.parts.fetch_add(1, Relaxed);
    }

    /// So much went to the target.
    pub(crate) fn take(&self, payload: usize) {
        if payload > 0 {
            self.taken.fetch_add(payload as u64, Relaxed);
            self.reader.wake();
        }
    }

    /// How much more may be read, of `most`; pending where that is nothing.
    pub fn poll_room(&self, cx: &mut Context<'_>, most: usize) -> Poll<usize> {
        if self.is_unmetered.load(Relaxed) {
            return Poll::Ready(most);
        }
        poll_room(&self.reader, cx, most, || self.waiting())
    }

    /// What was given and not taken; more than there is room for where it is in too many parts.
    fn waiting(&self) -> u64 {
        let given = self.given.load(Relaxed);
        let waiting = given.saturating_sub(self.taken.load(Relaxed));
        if waiting == 0 {
            self.parts.store(0, Relaxed);
        }
        match self.parts.load(Relaxed) < MOST_PARTS {
            true => waiting,
            false => u64::MAX,
        }
    }
}

/// The body of an answer.
#[derive(Debug, Default)]
pub struct Download {
    given: AtomicU64,
    /// What has gone through the filters: it is being written.
    passed: AtomicU64,
    sent: AtomicU64,
    /// The client does not take what is being written.
    is_stuck: AtomicBool,
    reader: AtomicWaker,
}

impl Download {
    /// Begins anew, for another answer.
    pub(crate) fn reset(&self) {
        for count in [&self.given, &self.passed, &self.sent] {
            count.store(0, Relaxed);
        }
        self.is_stuck.store(false, Relaxed);
    }

    /// So much was read from the target.
    pub(crate) fn give(&self, payload: usize) {
        self.given.fetch_add(payload as u64, Relaxed);
    }

    /// So much more goes to the client, who has had so much in all.
    pub fn pass(&self, payload: usize, sent: usize) {
        self.passed.fetch_add(payload as u64, Relaxed);
        self.sent.store(sent as u64, Relaxed);
        self.reader.wake();
    }

    /// Notes whether the client takes what is being written.
    pub fn stick(&self, is_stuck: bool) {
        let was_stuck = self.is_stuck.swap(is_stuck, Relaxed);
        if was_stuck && !is_stuck {
            self.reader.wake();
        }
    }

    /// How much more may be read, of `most`; pending where that is nothing.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, most: usize) -> Poll<usize> {
        poll_room(&self.reader, cx, most, || self.waiting())
    }

    /// What was read, and has not been sent. All that has passed has been sent, unless the client
    /// is stuck: it is written at once.
    fn waiting(&self) -> u64 {
        let given = self.given.load(Relaxed);
        let is_sent = given <= self.passed.load(Relaxed) && !self.is_stuck.load(Relaxed);
        match is_sent {
            true => 0,
            false => given.saturating_sub(self.sent.load(Relaxed)),
        }
    }
}

fn poll_room(
    reader: &AtomicWaker,
    cx: &mut Context<'_>,
    most: usize,
    waiting: impl Fn() -> u64,
) -> Poll<usize> {
    let room = || most.saturating_sub(usize::try_from(waiting()).unwrap_or(usize::MAX));
    match room() {
        0 => {
            reader.register(cx.waker());
            match room() {
                0 => Poll::Pending,
                room => Poll::Ready(room),
            }
        }
        room => Poll::Ready(room),
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn room(poll: impl Fn(&mut Context<'_>) -> Poll<usize>) -> Option<usize> {
        match poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(room) => Some(room),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_client_is_read_as_far_as_its_target_takes() {
        let upload = Upload::default();
        let room = || room(|cx| upload.poll_room(cx, 10));
        upload.give(4);
        assert_eq!(room(), Some(6));
        upload.give(6);
        assert_eq!(room(), None);
        upload.take(3);
        assert_eq!(room(), Some(3));
        // Another target gets all of it from the beginning.
        upload.restart();
        assert_eq!(room(), None);
        upload.take(10);
        assert_eq!(room(), Some(10));
        for _ in 0..MOST_PARTS {
            assert!(room().is_some());
            upload.give(1);
        }
        assert_eq!(room(), None, "too many parts");
        upload.unmeter();
        assert_eq!(room(), Some(10));
    }

    #[test]
    fn a_target_is_read_as_far_as_its_client_takes() {
        let download = Download::default();
        let room = || room(|cx| download.poll_room(cx, 10));
        download.give(10);
        assert_eq!(room(), None, "it is on its way");
        download.pass(10, 0);
        assert_eq!(room(), Some(10), "it was written at once");
        download.stick(true);
        assert_eq!(room(), None, "it was not");
        download.stick(false);
        download.give(4);
        assert_eq!(room(), None, "of what was sent nobody knows yet");
        download.pass(4, 10);
        download.stick(true);
        assert_eq!(room(), Some(6));
    }
}
