//! What one side has given, and the other has not taken: how much of a body is between a client and
//! its target.
//!
//! Pingora keeps up to ten reads of a body between its halves, whatever they hold. So there is one
//! at a time: the next read waits until all of the last was taken, its bytes stay in the sockets,
//! and the sender waits. Where the other side takes all at once, nobody waits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// The body of a request.
#[derive(Debug, Default)]
pub struct Upload {
    given: AtomicU64,
    taken: AtomicU64,
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
    }

    /// So much went to the target.
    pub(crate) fn take(&self, payload: usize) {
        if payload > 0 {
            self.taken.fetch_add(payload as u64, Relaxed);
            self.reader.wake();
        }
    }

    /// Ready when more may be read.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        poll_room(&self.reader, cx, || {
            let is_taken = self.taken.load(Relaxed) >= self.given.load(Relaxed);
            is_taken || self.is_unmetered.load(Relaxed)
        })
    }
}

/// The body of an answer.
#[derive(Debug, Default)]
pub struct Download {
    given: AtomicU64,
    /// What has gone through the filters: it is being written.
    passed: AtomicU64,
    /// The client does not take what is being written.
    is_stuck: AtomicBool,
    reader: AtomicWaker,
}

impl Download {
    /// Begins anew, for another answer.
    pub(crate) fn reset(&self) {
        self.given.store(0, Relaxed);
        self.passed.store(0, Relaxed);
        self.is_stuck.store(false, Relaxed);
    }

    /// So much was read from the target.
    pub(crate) fn give(&self, payload: usize) {
        self.given.fetch_add(payload as u64, Relaxed);
    }

    /// So much more goes to the client.
    pub fn pass(&self, payload: usize) {
        self.passed.fetch_add(payload as u64, Relaxed);
        self.reader.wake();
    }

    /// Notes whether the client takes what is being written.
    pub fn stick(&self, is_stuck: bool) {
        let was_stuck = self.is_stuck.swap(is_stuck, Relaxed);
        if was_stuck && !is_stuck {
            self.reader.wake();
        }
    }

    /// Ready when more may be read. All that has passed has been sent, unless the client is stuck:
    /// it is written at once.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        poll_room(&self.reader, cx, || {
            let has_passed = self.passed.load(Relaxed) >= self.given.load(Relaxed);
            has_passed && !self.is_stuck.load(Relaxed)
        })
    }
}

fn poll_room(reader: &AtomicWaker, cx: &mut Context<'_>, has_room: impl Fn() -> bool) -> Poll<()> {
    if has_room() {
        return Poll::Ready(());
    }
    reader.register(cx.waker());
    match has_room() {
        true => Poll::Ready(()),
        false => Poll::Pending,
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn has_room(poll: impl Fn(&mut Context<'_>) -> Poll<()>) -> bool {
        poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_client_is_read_as_far_as_its_target_takes() {
        let upload = Upload::default();
        let has_room = || has_room(|cx| upload.poll_room(cx));
        assert!(has_room());
        upload.give(10);
        assert!(!has_room());
        upload.take(9);
        assert!(!has_room());
        upload.take(1);
        assert!(has_room());
        // Another target gets all of it from the beginning.
        upload.restart();
        assert!(!has_room());
        upload.take(10);
        assert!(has_room());
        upload.give(1);
        upload.unmeter();
        assert!(has_room());
    }

    #[test]
    fn a_target_is_read_as_far_as_its_client_takes() {
        let download = Download::default();
        let has_room = || has_room(|cx| download.poll_room(cx));
        download.give(10);
        assert!(!has_room(), "it is on its way");
        download.pass(10);
        assert!(has_room(), "it was written at once");
        download.stick(true);
        assert!(!has_room(), "it was not");
        download.stick(false);
        assert!(has_room());
    }
}
