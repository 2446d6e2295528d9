//! The trailers of the present request and of its answer.

use http::HeaderMap;

use super::Wire;

impl Wire {
    /// The trailers of the request.
    pub fn bring_request_trailers(&self, trailers: HeaderMap) {
        self.left.lock().request_trailers.bring(trailers);
    }

    /// The request has come to its end: of its trailers those may pass that `purge` leaves.
    pub fn pass_request_trailers(&self, purge: impl FnOnce(&mut HeaderMap)) {
        self.left.lock().request_trailers.pass(purge);
    }

    /// The trailers of the request, if it has any that may pass.
    pub(crate) fn request_trailers(&self) -> Option<HeaderMap> {
        self.left.lock().request_trailers.passed()
    }

    /// The trailers of the target's answer.
    pub(crate) fn bring_trailers(&self, trailers: HeaderMap) {
        self.left.lock().answer_trailers.bring(trailers);
    }

    /// The answer has come to its end: of its trailers those may pass that `purge` leaves.
    pub fn pass_trailers(&self, purge: impl FnOnce(&mut HeaderMap)) {
        self.left.lock().answer_trailers.pass(purge);
    }

    /// The trailers of the target's answer, if it has any that may pass.
    pub fn fetch_trailers(&self) -> Option<HeaderMap> {
        self.left.lock().answer_trailers.fetch()
    }
}
