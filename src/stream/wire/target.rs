//! What is noted of the target's side: what it was sent, what its answer is, and over what.

use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use super::Wire;
use super::passage::Passage;
use crate::stream::framing::Framing;

impl Wire {
    /// Notes whether the connection to the target had carried other requests, and whether it is one
    /// of HTTP/2.
    pub fn connected(&self, is_kept: bool, is_http2: bool) {
        self.is_target_kept.store(is_kept, Relaxed);
        self.is_target_http2.store(is_http2, Relaxed);
    }

    /// Whether the target is asked in HTTP/2.
    pub fn is_target_http2(&self) -> bool {
        self.is_target_http2.load(Relaxed)
    }

    /// Whether the connection to the target had carried other requests.
    pub fn is_target_kept(&self) -> bool {
        self.is_target_kept.load(Relaxed)
    }

    /// The request is about to go to a target, with a body that is framed so.
    pub fn send_request(&self, framing: Framing) {
        self.sent_framing.tell(Some(framing));
        self.answer_framing.tell(None);
        self.keeps_target.store(false, Relaxed);
        self.download.reset();
        self.left.lock().answer_trailers = Passage::default();
    }

    /// The head of that request, for a target of HTTP/2.
    pub fn bring_head(&self, head: http::Request<()>) {
        self.left.lock().head = Some(Box::new(head));
    }

    pub(crate) fn fetch_head(&self) -> Option<http::Request<()>> {
        self.left.lock().head.take().map(|head| *head)
    }

    /// The head of the target's answer has come; its body is framed so. The connection may carry
    /// another request if `keeps_target`.
    pub fn expect_answer(&self, framing: Framing, keeps_target: bool) {
        self.keeps_target.store(keeps_target, Relaxed);
        self.answer_framing.tell(Some(framing));
        self.answer_reader.wake();
    }

    pub(crate) fn sent_framing(&self) -> Option<Framing> {
        self.sent_framing.get()
    }

    pub(crate) fn answer_framing(&self) -> Option<Framing> {
        self.answer_framing.get()
    }

    /// How the answer is framed, once that is known.
    pub(crate) fn poll_answer_framing(&self, cx: &mut Context<'_>) -> Poll<Framing> {
        self.answer_reader.register(cx.waker());
        self.answer_framing().map_or(Poll::Pending, Poll::Ready)
    }

    pub(crate) fn keeps_target(&self) -> bool {
        self.keeps_target.load(Relaxed)
    }
}
